// The processes of a program: which of them matter, each with a link to its timeline.

import { button, el } from "./dom.js";
import { count, duration, integer, percent } from "./words.js";

/** What a process is called above its timeline. */
export function processName([pid, of, , , , command]) {
  return [el("b", {}, `process ${pid}`), el("small", { class: "quiet" }, ` ${command}${of === "-" ? "" : `, of process ${of}`}`)];
}

/** `timelineOf`: of the process at a place. */
export function processesTable({ verdict, rows, hidden, offsets }, models, timelineOf) {
  const body = rows.map(([pid, of, length, threads, cost, command, finding], i) =>
    el("tr", {},
      el("th", { scope: "row" }, button(pid, () => timelineOf(i).element.scrollIntoView({ block: "start" }), { class: "link", "aria-label": `Show the timeline of process ${pid}` })),
      el("td", {}, of),
      el("td", {}, duration(length, models[i].unit)),
      el("td", {}, integer(threads)),
      el("td", {}, cost === null ? "–" : percent(cost)),
      el("td", { class: "text" }, finding ? el("b", {}, finding) : "nothing worth naming", el("br"), el("small", { class: "quiet" }, command), " ", el("small", {}, el("code", {}, `tracekit report ${models[i].about.shellPath}`)))));
  const heads = ["process", "of", "ran for", "threads", "costs", "what is wrong with it, and what it is"];
  return el("div", {},
    el("p", { class: "matter" }, verdict),
    el("div", { class: "table-scroll processes", tabindex: 0, role: "region", "aria-label": "Processes" },
      el("table", {}, el("thead", {}, el("tr", {}, heads.map((name, i) => el("th", { scope: "col", class: i === 5 ? "text" : null }, name)))), el("tbody", {}, body))),
    el("p", { class: "quiet" }, "of: the process that forked or started it. costs: the share of its time that its costliest finding costs.",
      hidden ? ` ${count(hidden, "process", "processes")} that cost less are not shown.` : "",
      offsets ? "" : " Not all of these traces tell when they began, so each begins at 0 here."));
}
