// The findings of a trace, the costliest first: a line each, with reasons and advice on demand.

import { button, el } from "./dom.js";
import { count, percent } from "./words.js";

const SHOWN = matchMedia("(max-width: 720px)").matches ? 1 : 3; // findings; the others are folded

/** A button that opens and closes what stands below it. */
export function disclosure(closed, opened, content, open = false) {
  const set = (now) => {
    content.hidden = !now;
    control.setAttribute("aria-expanded", String(now));
    control.textContent = now ? opened : closed;
  };
  const control = button("", () => set(content.hidden), { class: "more-less", "aria-expanded": "false" });
  content.classList.add("disclosed");
  set(open);
  return control;
}

function finding(each, show, glossary) {
  const { severity, cost, title, explanation, advice, lines } = each;
  const said = new Set();
  const why = el("div", { class: "why" }, lines.map((line) => el("p", {}, line)), el("p", {}, glossary.explain(explanation, said)), el("p", { class: "advice" }, glossary.explain(advice, said)));
  return el(
    "li",
    { class: `finding ${severity}` },
    el("span", { class: "cost" }, el("b", {}, percent(cost)), el("span", { class: "severity" }, severity)),
    button(title, () => show(each), { class: "title" }),
    disclosure("why?", "less", why),
    why,
  );
}

/** `show`: takes the timeline to a finding. */
export function verdict(about, show, glossary) {
  const { findings, healthy } = about;
  if (healthy) return [el("p", { class: "healthy" }, healthy), completeness(about, glossary)];
  const shown = findings.slice(0, SHOWN).map((each) => finding(each, show, glossary));
  const rest = findings.slice(SHOWN).map((each) => finding(each, show, glossary));
  const folded = el("ol", { class: "findings", start: SHOWN + 1 }, rest);
  const notes = el("p", { class: "verdict-notes" }, completeness(about, glossary));
  if (rest.length) notes.prepend(disclosure(count(rest.length, "smaller finding"), "fewer findings", folded));
  return [el("ol", { class: "findings" }, shown), rest.length ? folded : null, notes];
}

function completeness({ complete, thresholds }, glossary) {
  const errors = complete.filter((each) => each.severity === "error").length;
  const said = errors ? "The trace has faults" : complete.length ? "The trace is sound, with notes" : "The trace is complete";
  return el(
    "details",
    { class: "complete" },
    el("summary", {}, el("span", { class: errors ? "fault" : null }, said), " · thresholds in force"),
    complete.length ? el("ul", {}, complete.map((each) => el("li", { class: each.severity === "error" ? "fault" : null }, glossary.explain(each.text)))) : null,
    el("dl", {}, thresholds.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  );
}
