// A selected stretch of a timeline, and what each thread did in it.

import { aboutBlame } from "./about.js";
import { causesBar } from "./causes.js";
import { button, copy, el } from "./dom.js";
import { FlameGraph, linesTable } from "./flame.js";
import { STATE_NAMES, moment, sharesOf } from "./hover.js";
import { CLOCK } from "./model.js";
import { NOBODY, asCauses, asLines, waitedIn } from "./steps.js";
import { disclosure } from "./verdict.js";
import { count, duration, integer, percent } from "./words.js";

const SHOWN = 12; // threads; the others on demand
const HOLDERS = 4; // of each, by name
const SETTLED = 80; // ms without another selection, after which more is found out about it
const sum = (shares) => shares.reduce((all, part) => all + part, 0);

/** What each thread waited, by who held the GIL meanwhile: a Map of Maps. */
function holdersOf({ byHolder }) {
  const all = new Map();
  for (const [key, length] of byHolder) {
    const [thread, holder] = key.split(" ").map(Number);
    const mine = all.get(thread) ?? new Map();
    mine.set(holder, (mine.get(holder) ?? 0) + length);
    all.set(thread, mine);
  }
  return all;
}

export class Selection {
  constructor(timeline) {
    this.timeline = timeline;
    this.stretch = null;
    this.all = false;
    this.behind = null;
    this.waited = null;
    this.why = el("div", { class: "why-here" });
    this.element = el("div", { class: "selection", hidden: true });
  }

  /** Selects a stretch, `[from, to]`, or nothing; a panel tells what each thread did in it, who waited for whom, and why. */
  select(stretch) {
    this.stretch = stretch && stretch[1] > stretch[0] ? stretch : null;
    this.element.hidden = !this.stretch;
    this.behind = null;
    this.waited = null;
    this.why.replaceChildren();
    if (this.stretch) {
      this.tell();
      clearTimeout(this.asked);
      this.asked = setTimeout(() => this.findWhy(), SETTLED);
    }
    this.timeline.changed();
  }

  /** The same stretch on the clock. */
  clocks() {
    const { timeline, stretch } = this;
    return timeline.view.axis === CLOCK ? stretch : stretch.map((at) => timeline.across(at, CLOCK));
  }

  /** Who waited for whom in it, why, and at which lines, where each hold and wait of it is there. */
  async findWhy() {
    const { stretch, timeline: { model } } = this;
    if (!stretch) return;
    const [from, to] = this.clocks();
    const cancelled = () => this.stretch !== stretch;
    if (to <= from) return;
    if (!model.exact(from, to)) {
      this.behind = await aboutBlame(model, from, to, cancelled);
      if (this.behind) this.tell();
      if (this.behind) this.why.replaceChildren(el("p", { class: "quiet" }, `This trace is too large to carry whole: who waited behind whom is about right here, to the nearest ${duration(model.width, model.unit)}, and in each such piece shared out by how long each thread held the GIL. The first command below tells exactly, with the causes and lines.`));
      return;
    }
    const waited = await waitedIn(model, from, to, cancelled);
    if (!waited) return;
    this.behind = holdersOf(waited);
    this.waited = waited;
    this.tell();
    this.tellWhy(waited);
  }

  tellWhy(waited) {
    const { model } = this.timeline;
    const lines = asLines(model, waited);
    const parts = [causesBar(model, asCauses(model, waited), "Why it was waited here")];
    if (lines) {
      const graph = new FlameGraph(lines, model.unit);
      const all = el("div", { class: "lines" }, linesTable(lines, model.unit, "Lines of what is selected"), graph.element);
      const control = disclosure("at which lines", "fewer details", all);
      control.addEventListener("click", () => graph.draw());
      parts.push(control, all);
    }
    if (model.about.causes.cut) parts.push(el("p", { class: "quiet" }, model.about.causes.cut));
    this.why.replaceChildren(...parts.filter(Boolean));
  }

  tell() {
    const [from, to] = this.stretch;
    const { model, view, list } = this.timeline;
    const onClock = view.axis === CLOCK;
    const length = onClock ? duration(to - from, model.unit) : count(Math.round(to - from), "event");
    const size = (part) => (onClock ? `${duration(part * (to - from), model.unit)} · ${percent(part)}` : percent(part));
    const lanes = list.lanes.map((lane) => ({ lane, shares: sharesOf(lane, view.axis, from, to) }));
    const busy = lanes.filter(({ shares }) => shares.some((part) => part > 0)).sort((a, b) => sum(b.shares) - sum(a.shares));
    const shown = this.all ? busy : busy.slice(0, SHOWN);
    const states = [0, 1, 2, 3];
    const heads = ["thread", ...states.map((state) => STATE_NAMES[state]), ...(this.behind ? ["waited behind"] : [])];
    const rows = shown.map(({ lane, shares }) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, lane.info.label),
        states.map((state) => el("td", {}, shares[state] > 0 ? size(shares[state]) : "–")),
        this.behind ? el("td", { class: "text" }, this.tellBehind(lane.thread)) : null,
      ),
    );
    this.element.replaceChildren(
      el(
        "p",
        {},
        el("b", {}, `${length} selected`), onClock ? `, from ${moment(model, from)} to ${moment(model, to)}. ` : ". ",
        button("zoom there (f)", () => view.set(from, to), { class: "link" }), " ",
        button("clear (Esc)", () => this.select(null), { class: "link" }),
      ),
      this.why,
      el("table", {}, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)),
      ...(busy.length > shown.length ? [el("p", {}, `The ${integer(SHOWN)} busiest of ${count(busy.length, "thread")}. `, button("show all", () => { this.all = true; this.tell(); }, { class: "link" }))] : []),
      ...(onClock ? this.commands(from, to) : []),
    );
  }

  /** For whom a thread waited, most first. */
  tellBehind(thread) {
    const { model } = this.timeline;
    const parts = [...(this.behind.get(thread) ?? [])].sort(([, a], [, b]) => b - a);
    const words = parts.slice(0, HOLDERS).map(([holder, length]) => `${holder === NOBODY ? "nobody, the GIL was free" : model.about.threads[holder].label} ${duration(length, model.unit)}`);
    return words.length ? words.join(" · ") + (parts.length > HOLDERS ? ` · and ${parts.length - HOLDERS} more` : "") : "–";
  }

  /** For the command line: the causes, lines and findings of the stretch alone; and who waited for whom as SQL. */
  commands(from, to) {
    const { about, unit } = this.timeline.model;
    const suffix = unit === "ns" ? "ns" : "";
    const [low, high] = [Math.round(from) + about.firstClock, Math.round(to) + about.firstClock];
    const begin = "coalesce(w.entry_clock, w.busy_clock)";
    const sql =
      `select w.thread as waiter, h.thread as holder, sum(least(w.end_clock, h.end_clock, ${high}) - greatest(${begin}, h.start_clock, ${low})) as waited ` +
      `from waits w join holds h on h.start_clock < least(w.end_clock, ${high}) and h.end_clock > greatest(${begin}, ${low}) ` +
      `where w.end_clock > ${low} and ${begin} < ${high} group by 1, 2 order by 3 desc`;
    return [
      ["Its causes, lines and findings", `tracekit analyze ${about.shellPath} --from ${Math.round(from)}${suffix} --to ${Math.round(to)}${suffix}`],
      ["Who waited for whom", `tracekit query ${about.shellPath} "${sql}"`],
    ].map(([what, line]) => el("p", { class: "command" }, `${what}: `, el("code", {}, line), " ", button("copy", async () => { await copy(line); this.timeline.announce("Copied."); }, { class: "link" })));
  }
}
