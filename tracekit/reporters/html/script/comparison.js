// What changed between two traces: the largest changes first, the numbers of both beside each other.

import { el } from "./dom.js";
import { disclosure } from "./verdict.js";
import { count, duration, integer, percent } from "./words.js";

const SHOWN = 10; // changes; the others are folded

function value(number, unit, isChange = false) {
  if (number === null) return "–";
  const size = isChange ? Math.abs(number) : number;
  const none = size < (unit === "share" || unit === "ratio" ? 0.0005 : 1);
  const sign = !isChange || none ? "" : number > 0 ? "+" : "−";
  if (unit === "share") return `${sign}${(100 * size).toFixed(1)}${isChange ? " points" : " %"}`;
  if (unit === "ns" || unit === "ticks") return sign + duration(size, unit);
  return sign + (unit === "ratio" ? size.toFixed(3) : integer(size));
}

function change(each) {
  return el(
    "li",
    { class: "change" },
    el("span", { class: `what ${each.what}` }, each.what),
    el("span", { class: "costs" }, `${percent(each.before)} → ${percent(each.after)}`),
    el("span", { class: "title" }, each.quoted ? `${each.quoted}: ` : null, each.title),
  );
}

function lineChanges(lines) {
  const row = ([where, before, after]) => el("tr", {}, el("th", { scope: "row" }, where), el("td", {}, value(before, "share")), el("td", {}, value(after, "share")), el("td", {}, value(after - before, "share", true)));
  const head = el("thead", {}, el("tr", {}, ["waited while the GIL was held at", "A", "B", "change"].map((name) => el("th", { scope: "col" }, name))));
  const rest = el("tbody", {}, lines.slice(SHOWN).map(row));
  const table = el("table", { class: "metrics" }, head, el("tbody", {}, lines.slice(0, SHOWN).map(row)), rest);
  return [
    el("div", { class: "metrics-scroll", tabindex: 0, role: "region", "aria-label": "Lines of both" }, table),
    rest.childElementCount ? disclosure(count(rest.childElementCount, "smaller line"), "fewer lines", rest) : null,
  ];
}

export function comparison({ metrics, findings, lines }, glossary) {
  const rest = el("ol", { class: "changes" }, findings.slice(SHOWN).map(change));
  return el(
    "div",
    {},
    findings.length ? el("ol", { class: "changes" }, findings.slice(0, SHOWN).map(change)) : el("p", { class: "healthy" }, "Nothing worth naming in either."),
    rest.childElementCount ? [disclosure(count(rest.childElementCount, "smaller change"), "fewer changes", rest), rest] : null,
    lines.length ? lineChanges(lines) : null,
    el("div", { class: "metrics-scroll", tabindex: 0, role: "region", "aria-label": "Numbers of both" }, el(
      "table",
      { class: "metrics" },
      el("thead", {}, el("tr", {}, el("td"), ["A", "B", "change"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, metrics.map((m) => el("tr", {}, el("th", { scope: "row" }, glossary.explain(m.name)), el("td", {}, value(m.before, m.unit)), el("td", {}, value(m.after, m.unit)), el("td", {}, value(m.change, m.unit, true))))),
    )),
  );
}
