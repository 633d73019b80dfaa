// A selected stretch of a timeline, and what each thread did in it.

import { button, el } from "./dom.js";
import { STATE_NAMES, moment, sharesOf } from "./hover.js";
import { CLOCK } from "./model.js";
import { count, duration, integer, percent } from "./words.js";

const SHOWN = 12; // threads; the others on demand
const sum = (shares) => shares.reduce((all, part) => all + part, 0);

export class Selection {
  constructor(timeline) {
    this.timeline = timeline;
    this.stretch = null;
    this.all = false;
    this.element = el("div", { class: "selection", hidden: true });
  }

  /** Selects a stretch, `[from, to]`, or nothing; a panel tells what each thread did in it. */
  select(stretch) {
    this.stretch = stretch && stretch[1] > stretch[0] ? stretch : null;
    this.element.hidden = !this.stretch;
    if (this.stretch) this.tell();
    this.timeline.changed();
  }

  tell() {
    const [from, to] = this.stretch;
    const { axis } = this.timeline.view;
    const { unit } = this.timeline.model;
    const length = axis === CLOCK ? duration(to - from, unit) : count(Math.round(to - from), "event");
    const size = (part) => (axis === CLOCK ? `${duration(part * (to - from), unit)} · ${percent(part)}` : percent(part));
    const lanes = this.timeline.model.lanes.map((lane) => ({ lane, shares: sharesOf(lane, axis, from, to) }));
    const busy = lanes.filter(({ shares }) => shares.some((part) => part > 0)).sort((a, b) => sum(b.shares) - sum(a.shares));
    const busiest = this.all ? busy : busy.slice(0, SHOWN);
    const states = [0, 1, 2, 3];
    this.element.replaceChildren(...[
      el(
        "p",
        {},
        el("b", {}, `${length} selected`), axis === CLOCK ? `, from ${moment(this.timeline.model, from)} to ${moment(this.timeline.model, to)}. ` : ". ",
        button("zoom there (f)", () => this.timeline.view.set(from, to), { class: "link" }), " ",
        button("clear (Esc)", () => this.select(null), { class: "link" }),
      ),
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "thread"), states.map((state) => el("th", { scope: "col" }, STATE_NAMES[state])))),
        el("tbody", {}, busiest.map(({ lane, shares }) => el("tr", {}, el("th", { scope: "row" }, lane.info.label), states.map((state) => el("td", {}, shares[state] > 0 ? size(shares[state]) : "–"))))),
      ),
      busy.length > busiest.length
        ? el("p", {}, `The ${integer(SHOWN)} busiest of ${count(busy.length, "thread")}. `, button("show all", () => { this.all = true; this.tell(); }, { class: "link" }))
        : null,
    ].filter(Boolean));
  }
}
