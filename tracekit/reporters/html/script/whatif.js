// What another switch interval would change, and a hog in a process of its own: predictions made beforehand.

import { button, el } from "./dom.js";
import { duration, percent } from "./words.js";

const WORDS = { good: "good", rough: "rough", refused: "nothing is predicted" };

function interval(ns) {
  return `${ns / 1e6} ms`;
}

/** Two shares, one below the other: as it was, as it would be. */
function bars(before, after) {
  const bar = (share, when) => el("i", { class: `whatif-bar ${when}`, style: `width: ${(100 * Math.min(1, share)).toFixed(1)}%` });
  return el("span", { class: "whatif-bars", "aria-hidden": "true" }, bar(before, "before"), bar(after, "after"));
}

export class WhatIf {
  constructor(model, glossary) {
    this.model = model;
    this.glossary = glossary;
    this.ladder = model.about.whatif;
    this.ids = new Map(model.about.threads.map(({ id, label }) => [id, label]));
    this.element = el("div", { class: "whatif" });
    if (this.ladder.reason) this.element.append(el("p", { class: "quiet" }, "Nothing is predicted for this trace. ", glossary.explain(this.ladder.reason)));
    else this.build();
  }

  build() {
    const { intervals, hogs, interval: now } = this.ladder;
    const nearest = intervals.reduce((best, ns, i) => (Math.abs(ns - now) < Math.abs(intervals[best] - now) ? i : best), 0);
    this.range = el("input", { type: "range", min: 0, max: intervals.length - 1, step: 1, "aria-label": "Switch interval", oninput: () => this.tell() });
    this.range.value = nearest;
    this.shown = el("output", {});
    this.hog = 0;
    const choices = ["all in one process", ...hogs.map((hog) => `${this.ids.get(hog) ?? hog} in a process of its own`)];
    this.switches = choices.map((words, place) => button(words, () => { this.hog = place; this.tell(); }));
    this.told = el("p", { "aria-live": "polite" });
    this.body = el("tbody");
    const heads = ["thread", "waited", "", "finished after", "90 % of its waits were shorter than"];
    this.table = el("table", {}, el("thead", {}, el("tr", {}, heads.map((name) => (name ? el("th", { scope: "col" }, name) : el("td"))))), this.body);
    this.element.append(
      el("p", { class: "quiet" }, ...this.glossary.explain(`The trace, replayed under another switch interval (measured: ${interval(Number((now / 1e6).toPrecision(2)) * 1e6)}), and with a thread that keeps the GIL busy in a process of its own.`)),
      el("div", { class: "toolbar" },
        el("label", { class: "field whatif-range" }, el("span", {}, "switch interval"), this.range, this.shown),
        hogs.length ? el("div", { class: "segments", role: "group", "aria-label": "Which thread gets a process of its own" }, this.switches) : null),
      this.told,
      el("div", { class: "metrics-scroll", tabindex: 0, role: "region", "aria-label": "Predictions by thread" }, this.table),
    );
    this.tell();
  }

  tell() {
    const { intervals, rungs } = this.ladder;
    const place = Number(this.range.value);
    const { condition, told, confidence, reason, threads } = rungs[place][this.hog];
    this.shown.textContent = interval(intervals[place]);
    this.range.setAttribute("aria-valuetext", interval(intervals[place]));
    this.switches.forEach((each, i) => each.setAttribute("aria-pressed", String(i === this.hog)));
    this.told.replaceChildren(el("b", {}, `${condition}: `), told, ` Confidence: ${WORDS[confidence]}${reason ? `: ${reason}` : "."}`);
    this.table.hidden = !threads.length;
    this.body.replaceChildren(...threads.map((row) => this.row(row)));
  }

  row([id, duration0, waited0, wait0, duration1, waited1, wait1]) {
    const share = (waited, whole) => (whole ? waited / whole : 0);
    const [before, after] = [share(waited0, duration0), share(waited1, duration1)];
    const size = (length) => (length === null ? "–" : duration(length, "ns"));
    const pair = (a, b) => (a === b ? a : `${a} → ${b}`);
    return el("tr", {},
      el("th", { scope: "row" }, this.ids.get(id) ?? id),
      el("td", {}, pair(percent(before), percent(after))),
      el("td", {}, bars(before, after)),
      el("td", {}, pair(size(duration0), size(duration1))),
      el("td", {}, pair(size(wait0), size(wait1))));
  }
}
