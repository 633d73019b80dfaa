// What a click on a hold or wait keeps: all that is known of it, with links to what it has to do with.

import { button, copy, el } from "./dom.js";
import { describeHold, describeWait } from "./hover.js";
import { CLOCK, OPEN } from "./model.js";
import { framesIn, stacksIn, stepsOf } from "./steps.js";
import { clockOf, holderAfter, holdersIn, placeOf, waitersIn, wakerOf } from "./story.js";
import { count, duration, percent, shellQuote } from "./words.js";

const LISTED = 6; // holders or waiters; the others are summed
const STACKS = 3; // of those that held the GIL meanwhile
const FRAMES = 4; // of a stack; the others are counted

export class Panel {
  constructor(timeline) {
    this.timeline = timeline;
    this.item = null;
    this.element = el("div", { class: "panel", role: "region", "aria-label": "The hold or wait that was clicked", tabindex: -1, hidden: true });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.lock(null);
      timeline.scroller.focus({ preventScroll: true });
    });
  }

  /** Keeps `{lane, table, row}`, a hold or a wait, or nothing. */
  lock(item) {
    this.item = item;
    this.element.hidden = !item;
    if (item) {
      this.timeline.current = item.lane.thread;
      this.tell();
    }
    this.timeline.changed();
  }

  /** Keeps another one, and takes the view there if it is out of sight. */
  goTo(item) {
    const { view } = this.timeline;
    const [from, to] = placeOf(item, view.axis);
    if (to < view.from || from > view.to || to - from < 2 * (view.span / this.timeline.width)) view.show(from, to);
    this.timeline.reveal(item.lane.thread);
    this.lock(item);
    this.element.focus({ preventScroll: true });
  }

  link(words, item) {
    return button(words, () => this.goTo(item), { class: "link" });
  }

  /** The same kind of thing before or after, in the same lane. */
  neighbour(by) {
    const { lane, table, row } = this.item;
    return row + by >= 0 && row + by < lane[table].rows ? { lane, table, row: row + by } : null;
  }

  tell() {
    const { lane, table, row } = this.item;
    const [from] = placeOf(this.item, CLOCK);
    const told = table === "holds" ? describeHold(lane, CLOCK, row) : describeWait(lane, CLOCK, row, from);
    const what = table === "holds" ? "hold" : "wait";
    const facts = told.facts.filter(([name]) => name !== "while");
    const more = table === "holds" ? this.ofHold() : this.ofWait();
    const { glossary } = this.timeline;
    const said = new Set();
    const [before, after] = [this.neighbour(-1), this.neighbour(1)];
    this.words = [`${told.title}: ${what}`, ...facts.map((fact) => fact.join(" ")), ...more.map(([name, , text]) => `${name} ${text}`), this.command()].join("\n");
    this.element.replaceChildren(
      el(
        "div",
        { class: "panel-head" },
        el("b", {}, `${told.title}: `, glossary.explain(what, said)),
        before ? this.link(`‹ ${what} before`, before) : null,
        after ? this.link(`${what} after ›`, after) : null,
        button("note", () => this.timeline.notes.write(from, lane.thread), { class: "link", title: "Write a note here (e)" }),
        button("copy", () => this.copy(), { class: "link", title: "Copy all of this as text" }),
        button("close", () => this.lock(null), { class: "link", title: "Close (Esc)" }),
      ),
      el("dl", {}, [...facts.map(([name, text]) => [name, glossary.explain(text, said)]), ...more].map(([name, nodes, , wide]) => el("div", wide ? { class: "wide" } : {}, el("dt", {}, glossary.explain(name, said)), el("dd", {}, nodes)))),
      el("code", {}, this.command()),
    );
  }

  async copy() {
    await copy(this.words);
    this.timeline.announce("Copied.");
  }

  /** Who held the GIL during a wait, the longest first, each with its longest hold there; and how long it was free. */
  parts(wait) {
    const [from, to] = clockOf(wait);
    const holders = new Map();
    let free = to - from;
    for (const part of holdersIn(this.timeline.model, from, to)) {
      const kept = holders.get(part.lane) ?? { ...part, overlap: 0, most: 0 };
      if (part.overlap > kept.most) Object.assign(kept, { row: part.row, most: part.overlap });
      kept.overlap += part.overlap;
      free -= part.overlap;
      holders.set(part.lane, kept);
    }
    return { holders: [...holders.values()].sort((a, b) => b.overlap - a.overlap), free };
  }

  /** Rows of name, nodes and text: by whom the GIL was held, and who woke this thread. */
  ofWait() {
    const { lane, row } = this.item;
    const { model } = this.timeline;
    const [from, to] = clockOf(this.item);
    const { holders, free } = this.parts(this.item);
    const rows = [...this.why(), this.listed("behind", holders, "holds", to - from)];
    if (free > 0) rows.push(["GIL free", [this.size(free, to - from)], this.size(free, to - from)]);
    if (!(lane.waits.flags[row] & OPEN)) {
      const end = lane.waits.startSeq[row] + lane.waits.events[row];
      const waker = wakerOf(model, lane, end);
      if (waker) rows.push(["woken by", [this.link(`the RELEASE of ${waker.lane.info.label}`, { lane: waker.lane, table: "holds", row: waker.row })], `the RELEASE of ${waker.lane.info.label}`]);
      const hold = holderAfter(model, end);
      if (hold?.lane === lane) rows.push(["then", [this.link("its hold", { lane, table: "holds", row: hold.row })], "its hold"]);
    }
    return rows.filter(Boolean);
  }

  /** Why it was waited, where the thread stood, and where those stood that held the GIL. */
  why() {
    const { lane, row } = this.item;
    const { model, glossary } = this.timeline;
    const [from, to] = clockOf(this.item);
    if (to <= from) return [];
    const { flags, stack } = lane.waits;
    const [causes, stacks] = [new Map(), new Map()];
    stepsOf(model, { begin: from, end: to, flags: flags[row], stack: stack[row] }, from, to, (cause, holder, held, length) => {
      causes.set(cause, (causes.get(cause) ?? 0) + length);
      if (held > 0) stacks.set(held, (stacks.get(held) ?? 0) + length);
    });
    const parts = [...causes].sort(([, a], [, b]) => b - a).map(([cause, length]) => `${model.about.causes.words[cause].label} ${this.size(length, to - from)}`);
    const why = ["cause", glossary.explain(parts.join("; ")), parts.join("; ")];
    const own = stack[row] > 0 ? [["waits at", ...this.stack(stack[row]), true]] : [];
    return [why, ...own, ...this.stacks("while this ran", stacks, to - from)];
  }

  /** Rows of the stacks that take longest. */
  stacks(name, lengths, whole) {
    const sorted = [...lengths].sort(([, a], [, b]) => b - a).slice(0, STACKS);
    return sorted.map(([stack, length]) => {
      const [nodes, text] = this.stack(stack);
      return [name, [`${this.size(length, whole)}: `, ...nodes], `${this.size(length, whole)}: ${text}`, true];
    });
  }

  /** A stack as nodes and as text, its innermost frame first. */
  stack(place) {
    const [first, ...callers] = framesIn(this.timeline.model, place);
    const more = callers.length > FRAMES ? `, and ${count(callers.length - FRAMES, "more frame")}` : "";
    const shown = callers.length ? ` in ${callers.slice(0, FRAMES).join(", in ")}${more}` : "";
    return [[el("code", {}, first), el("small", { title: callers.join("\n") }, shown)], [first, ...callers].join(", in ")];
  }

  ofHold() {
    const { lane, row } = this.item;
    const { model } = this.timeline;
    const [from, to] = clockOf(this.item);
    const stacks = new Map();
    if (model.about.lines && to > from) stacksIn(model, this.item, from, to, (stack, length) => stack > 0 && stacks.set(stack, (stacks.get(stack) ?? 0) + length));
    const rows = [...this.stacks("runs", stacks, to - from), this.listed("waited meanwhile", waitersIn(model, from, to), "waits", to - from)];
    if (!(lane.holds.flags[row] & OPEN)) {
      const next = holderAfter(model, lane.holds.startSeq[row] + lane.holds.events[row]);
      if (next) rows.push(["then held by", [this.link(next.lane.info.label, { lane: next.lane, table: "holds", row: next.row })], next.lane.info.label]);
    }
    return rows.filter(Boolean);
  }

  size(length, whole) {
    return `${duration(length, this.timeline.model.unit)}${whole ? `, ${percent(length / whole)}` : ""}`;
  }

  listed(name, found, table, whole) {
    if (!found.length) return null;
    const shown = found.slice(0, LISTED);
    const texts = shown.map((each) => `${each.lane.info.label} (${this.size(each.overlap, whole)})`);
    const nodes = shown.flatMap((each, i) => [i ? ", " : "", this.link(texts[i], { lane: each.lane, table, row: each.row })]);
    const more = found.length > shown.length ? ` and ${found.length - shown.length} more` : "";
    return [name, [...nodes, more], texts.join(", ") + more, true];
  }

  /** The row of the table that this is, for the command line. */
  command() {
    const { lane, table, row } = this.item;
    const { startSeq, busyEvents } = lane[table];
    const [key, seq] = table === "holds" ? ["start_seq", startSeq[row]] : ["busy_seq", startSeq[row] + busyEvents[row]];
    return `tracekit query ${this.timeline.model.about.shellPath} ${shellQuote(`select * from ${table} where ${key} = ${seq}`)}`;
  }
}
