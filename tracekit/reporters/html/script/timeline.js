// The timeline: a lane a thread, drawn anew for each view from what the window can show.

import { colours, drawForPaper, el } from "./dom.js";
import { Drawing } from "./drawing.js";
import { Gestures } from "./gestures.js";
import { Header } from "./header.js";
import { InView, LaneLabels } from "./labels.js";
import { LaneList } from "./lanes.js";
import { LABEL_ROOM, within } from "./marks.js";
import { CLOCK, ORDER } from "./model.js";
import { Notes } from "./notes.js";
import { Overview } from "./overview.js";
import { Panel } from "./panel.js";
import { pixel } from "./raster.js";
import { Selection } from "./selection.js";
import { Toolbar, legend } from "./toolbar.js";
import { count, duration, integer, percent } from "./words.js";

const COLOURS = [
  "held", "entering", "busy", "busyLine", "retried", "retriedLine", "off", "paper", "ink", "muted", "edge", "release",
  "retry", "label", "flag", "flagInk", "shade", "accent", "band", "grid",
];
const TALLEST = 0.68; // of the window
const PAPER = 700; // CSS pixels across A4 or Letter
const PRINTED = 64; // lanes, up to which groups are unfolded on paper
const TINY = 400; // events, up to which a trace is first shown in the order of its events

/** The axis on which a trace is first shown. */
export function firstAxis(model) {
  return model.whole && (model.events <= TINY || !model.duration) ? ORDER : CLOCK;
}

export class Timeline {
  constructor(model, view, glossary, announce) {
    this.model = model;
    this.view = view;
    this.glossary = glossary;
    this.announce = announce;
    this.list = new LaneList(model.lanes);
    this.marked = null;
    this.current = model.lanes[0]?.thread ?? 0;
    this.printing = false;
    this.kinds = Object.keys(model.about.kinds).filter((kind) => model.about.bands.some((band) => band.kind === kind));
    this.readColours();
    this.overview = new Overview(model, view, () => this.palette);
    this.build();
    this.gestures.listen();
    new ResizeObserver(() => this.changed()).observe(this.element);
    view.addEventListener("change", () => this.changed());
  }

  // What stands on the page

  build() {
    this.canvas = el("canvas", { class: "lanes", "aria-hidden": "true" });
    this.toolbar = new Toolbar(this);
    this.header = new Header(this);
    this.labels = new LaneLabels(this);
    this.drawing = new Drawing(this);
    this.inView = new InView(this);
    this.selection = new Selection(this);
    this.panel = new Panel(this);
    this.notes = new Notes(this);
    this.gestures = new Gestures(this);
    this.space = el("div", { class: "lane-space" });
    this.sticky = el("div", { class: "lane-window" }, this.labels.element, this.canvas);
    this.scroller = el(
      "div",
      { class: "lane-scroller", tabindex: 0, role: "group", "aria-label": this.alternative(), "aria-describedby": "keys-hint" },
      this.space,
    );
    this.space.append(this.sticky);
    this.element = el(
      "div",
      { class: "timeline" },
      this.toolbar.element,
      this.overview.element,
      this.header.element,
      this.scroller,
      this.gestures.tip,
      this.inView.status,
      this.inView.note,
      this.panel.element,
      this.notes.element,
      this.selection.element,
      legend(),
    );
  }

  /** The figure in a sentence or two, for those who do not see it. */
  alternative() {
    const { about, duration: whole, unit } = this.model;
    const threads = [...about.threads].sort((a, b) => b.waited - a.waited).slice(0, 3);
    const shares = threads.map((t) => `${t.label} held the GIL ${percent(whole ? t.held / whole : 0)} and waited ${percent(whole ? t.waited / whole : 0)} of it`);
    return `Timeline of ${count(about.threads.length, "thread")} over ${duration(whole, unit)}: ${shares.join("; ")}. The tables below say the same in numbers.`;
  }

  axes() {
    const { unit, whole, duration: length } = this.model;
    const axes = length ? [[CLOCK, unit === "ns" ? "time" : "ticks", unit === "ns" ? "The time column" : "The tick clock, about one bytecode each"]] : [];
    if (whole && !this.model.shared) axes.push([ORDER, "event order", "One step an event: what happens at the same instant stands side by side"]);
    return axes;
  }

  readColours() {
    this.palette = colours(COLOURS);
    for (const [kind, { colour }] of Object.entries(this.model.about.kinds)) this.palette[kind] = colours([colour])[colour];
    this.pixels = Object.fromEntries(
      ["held", "entering", "busy", "busyLine", "retried", "retriedLine", "off", "paper"].map((name) => [name, pixel(this.palette[name])]),
    );
  }

  // Changing what is shown

  useAxis(axis) {
    if (axis === this.view.axis) return;
    const { view } = this;
    const whole = view.span >= view.extent;
    const [from, to] = whole ? [0, 0] : [this.across(view.from, axis), this.across(view.to, axis)];
    view.use(axis);
    if (!whole) view.set(from, to);
    this.selection.select(null);
    this.changed();
  }

  /** About where a place on one axis, the present one unless another is named, lies on the other. */
  across(at, axis, from = this.view.axis) {
    let best = 0;
    for (const lane of this.model.lanes) {
      const [here, there] = [lane.heldSpans(from), lane.heldSpans(axis)];
      const [, end] = within(here.begin, -1, at);
      if (end) best = Math.max(best, at <= here.end[end - 1] ? there.begin[end - 1] : there.end[end - 1]);
    }
    return best;
  }

  taller(by) {
    this.list.taller(by);
    this.changed();
  }

  /** Takes the view to a stretch that is given on both axes: `{begin, end, startSeq, endSeq, threads}`. */
  goTo(span) {
    const [from, to] = this.stretch(span);
    this.marked = span;
    this.view.show(from, to);
    if (span.threads?.length) this.reveal(span.threads[0]);
    this.changed();
  }

  /** The same, and makes sure that it is seen. */
  visit(span) {
    this.goTo(span);
    this.element.scrollIntoView({ block: "nearest" });
    this.scroller.focus({ preventScroll: true });
  }

  /** Takes the view to the next finding, or the one before, in the order in which they begin. */
  nextFinding(by) {
    const { bands } = this.model.about;
    if (!bands.length) return;
    const here = bands.indexOf(this.marked);
    const [from, to] = [this.view.from, this.view.to];
    const beyond = by > 0 ? bands.findIndex((band) => this.stretch(band)[0] >= from) : bands.findLastIndex((band) => this.stretch(band)[1] <= to);
    const place = here >= 0 ? here + by : beyond >= 0 ? beyond : by > 0 ? 0 : bands.length - 1;
    const band = bands[(place + bands.length) % bands.length];
    this.goTo(band);
    const names = (band.threads ?? []).map((thread) => this.model.about.threads[thread].label);
    this.announce(`${this.model.about.kinds[band.kind].label}: finding ${integer(bands.indexOf(band) + 1)} of ${integer(bands.length)}, ${names.join(" and ")}`);
  }

  toggleArrows() {
    this.drawing.arrows = !this.drawing.arrows;
    this.changed();
  }

  /** Drawn for paper: as wide as a page, with all lanes. */
  print(now) {
    const { list } = this;
    if (now) this.wasUnfolded = list.unfolded;
    list.unfolded = now && list.lanes.length <= PRINTED ? new Set(list.groups.map(({ thread }) => thread)) : this.wasUnfolded;
    this.printing = now;
    this.element.style.width = now ? `${PAPER}px` : "";
    drawForPaper(now);
  }

  stretch(span) {
    return this.view.axis === CLOCK ? [span.begin, span.end] : [span.startSeq, span.endSeq ?? this.model.events];
  }

  /** Makes a lane current and scrolls to it. */
  reveal(thread) {
    let rows = this.list.rows();
    if (!rows.some((row) => row.lane.thread === thread)) {
      this.list.filter = "";
      const group = this.list.groupOf(thread);
      if (group) this.list.unfolded.add(group.thread);
      rows = this.list.rows();
    }
    this.current = thread;
    const row = rows.find(({ lane }) => lane.thread === thread);
    if (!row || row.pinned) return;
    const { scrollTop, clientHeight } = this.scroller;
    if (row.top < scrollTop) this.scroller.scrollTop = row.top - 8;
    else if (row.top + row.height > scrollTop + clientHeight) this.scroller.scrollTop = row.top + row.height - clientHeight + 8;
  }

  changed() {
    this.toolbar.update();
    if (this.onchange) this.onchange();
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  // Drawing

  /** Draws at once; returns how long it took, in ms. */
  draw() {
    const began = performance.now();
    const gutter = this.labels.element.getBoundingClientRect().width;
    const width = Math.max(80, this.scroller.clientWidth - gutter);
    this.width = width;
    this.named = this.view.axis === ORDER && width / this.view.span >= LABEL_ROOM;
    this.list.room = this.named;
    const rows = this.list.rows();
    const last = rows.at(-1);
    const total = last ? last.top + last.height + 6 : 40;
    const height = this.printing ? total : Math.min(total, Math.max(160, Math.round(window.innerHeight * TALLEST)));
    this.space.style.height = `${total}px`;
    this.scroller.style.height = `${height}px`;
    this.sticky.style.height = `${height}px`;
    this.scrollable = total > height + 1;
    this.rows = this.placed(rows, height);
    this.overview.draw(width);
    this.header.draw(width);
    this.drawing.draw(width, height);
    this.labels.place();
    this.inView.tell();
    return performance.now() - began;
  }

  /** The rows that the window shows, each with its `y` in it. */
  placed(rows, height) {
    const scrolled = this.scroller.scrollTop;
    const pinned = rows.filter((row) => row.pinned).at(-1);
    const fixed = pinned ? pinned.top + pinned.height + this.list.gap : 0;
    this.fixed = fixed;
    return rows
      .map((row, place) => ({ ...row, place, y: row.pinned ? row.top : row.top - scrolled }))
      .filter((row) => row.pinned || (row.y + row.height > fixed && row.y < height));
  }

  /** The row in which a thread's lane is shown, alone or in its group; null where it is out of sight. */
  rowOf(thread) {
    return this.rows.find(({ lane }) => lane.thread === thread || lane.members?.some((each) => each.thread === thread)) ?? null;
  }

  x(at) {
    return ((at - this.view.from) / this.view.span) * this.width;
  }

  at(offset) {
    return this.view.from + (offset / this.width) * this.view.span;
  }

  clocks() {
    return this.view.axis === CLOCK ? [this.view.from, this.view.to] : [0, this.model.duration];
  }

  bandsInView() {
    return this.model.about.bands.filter((band) => {
      const [from, to] = this.stretch(band);
      return to >= this.view.from && from <= this.view.to;
    });
  }
}
