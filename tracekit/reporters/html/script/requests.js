// Requests and tasks by name: they ran, waited for the GIL, or were blocked; who kept them waiting; and the slowest ones.

import { button, el, svg } from "./dom.js";
import { CLOCK } from "./model.js";
import { duration, integer, percent } from "./words.js";

const PARTS = ["held", "waited", "blocked"];
const SAID = ["ran", "waited for the GIL", "blocked"];

/** Takes a timeline to the time of a request, and to its thread. */
function show(timeline, request) {
  timeline.view.use(CLOCK);
  timeline.view.show(request.begin, request.begin + request.duration);
  timeline.reveal(request.thread);
  timeline.changed();
  timeline.element.scrollIntoView({ block: "nearest" });
}

function bar(row) {
  const whole = Math.max(1, row.duration);
  let from = 0;
  const parts = PARTS.map((part, place) => {
    const wide = (100 * row[part]) / whole;
    const rect = svg("rect", { x: from, y: 0, width: wide, height: 12, class: `request-${part}` }, svg("title", {}, `${SAID[place]} ${percent(row[part] / whole)}`));
    from += wide;
    return rect;
  });
  return svg("svg", { class: "request-bar", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" }, parts);
}

function table(label, columns, rows) {
  const head = columns.map(([name, text]) => el("th", { scope: "col", class: text ? "text" : null }, name));
  const body = rows.map((cells) => el("tr", {}, cells.map((cell, place) => el("td", { class: columns[place][1] ? "text" : null }, cell))));
  return el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": label }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

/** The section of a trace that tells regions. */
export function requestsOf(model, timeline) {
  const { names, slowest, leftOut, more } = model.about.requests;
  const { unit } = model;
  const length = (row) => (part) => duration(row[part], unit);
  const shares = (row) => PARTS.map((part) => percent(row[part] / Math.max(1, row.duration)));
  const lines = (texts) => texts.map((text) => el("div", {}, text));
  const quantiles = ["p50", "p90", "p99", "max"];
  const heads = [["request", true], ["count"], ...quantiles.map((name) => [name]), ["its time"], ...SAID.map((said) => [said]), ["waited, p90"], ["who kept them waiting", true]];
  const byName = names.map((row) => [row.name, integer(row.requests), ...quantiles.map(length(row)), bar(row), ...shares(row), duration(row.waited_p90, unit), lines(row.behind)]);
  const one = (row) => [button(row.name, () => show(timeline, row), { class: "link", title: "show it in the timeline" }), model.about.threads[row.thread].label, ...["duration", ...PARTS].map(length(row)), lines(row.behind)];
  return el(
    "div",
    { class: "requests" },
    el("p", { class: "quiet" }, "What the program named as a region: how its time was spent, by name. A request runs while it holds the GIL."),
    table("Requests by name", heads, byName),
    more ? el("p", { class: "quiet" }, more) : null,
    el("h3", {}, "The slowest"),
    table("The slowest requests", [["request", true], ["thread", true], ["took"], ...SAID.map((said) => [said]), ["who kept it waiting", true]], slowest.map(one)),
    leftOut ? el("p", { class: "quiet" }, leftOut) : null,
  );
}
