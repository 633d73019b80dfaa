// A selected stretch of a timeline, and what each thread did in it.

import { button, copy, el } from "./dom.js";
import { STATE_NAMES, moment, sharesOf } from "./hover.js";
import { CLOCK } from "./model.js";
import { blameIn } from "./story.js";
import { count, duration, integer, percent } from "./words.js";

const SHOWN = 12; // threads; the others on demand
const HOLDERS = 4; // of each, by name
const sum = (shares) => shares.reduce((all, part) => all + part, 0);

export class Selection {
  constructor(timeline) {
    this.timeline = timeline;
    this.stretch = null;
    this.all = false;
    this.blame = null;
    this.element = el("div", { class: "selection", hidden: true });
  }

  /** Selects a stretch, `[from, to]`, or nothing; a panel tells what each thread did in it, and who waited for whom. */
  select(stretch) {
    this.stretch = stretch && stretch[1] > stretch[0] ? stretch : null;
    this.element.hidden = !this.stretch;
    this.blame = null;
    if (this.stretch) {
      this.tell();
      this.findBlame();
    }
    this.timeline.changed();
  }

  /** Who waited for whom in it, where each hold and wait of it is there. */
  async findBlame() {
    const { stretch, timeline } = this;
    if (timeline.view.axis !== CLOCK || !timeline.model.exact(...stretch)) return;
    const blame = await blameIn(timeline.model, ...stretch, () => this.stretch !== stretch);
    if (!blame) return;
    this.blame = blame;
    this.tell();
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
    const heads = ["thread", ...states.map((state) => STATE_NAMES[state]), ...(this.blame ? ["waited behind"] : [])];
    const rows = shown.map(({ lane, shares }) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, lane.info.label),
        states.map((state) => el("td", {}, shares[state] > 0 ? size(shares[state]) : "–")),
        this.blame ? el("td", { class: "text" }, this.behind(lane.thread)) : null,
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
      el("table", {}, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)),
      ...(busy.length > shown.length ? [el("p", {}, `The ${integer(SHOWN)} busiest of ${count(busy.length, "thread")}. `, button("show all", () => { this.all = true; this.tell(); }, { class: "link" }))] : []),
      ...(onClock ? this.commands(from, to) : []),
    );
  }

  /** For whom a thread waited, most first. */
  behind(thread) {
    const { model } = this.timeline;
    const parts = [...(this.blame.get(thread) ?? [])].sort(([, a], [, b]) => b - a);
    const words = parts.slice(0, HOLDERS).map(([holder, length]) => `${holder < 0 ? "nobody, the GIL was free" : model.about.threads[holder].label} ${duration(length, model.unit)}`);
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
    ].map(([what, line]) => el("p", { class: "same" }, `${what}: `, el("code", {}, line), " ", button("copy", async () => { await copy(line); this.timeline.announce("Copied."); }, { class: "link" })));
  }
}
