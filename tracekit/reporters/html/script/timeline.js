// The timeline: a lane a thread, drawn anew for each view from what the window can show.

import { Columns } from "./bins.js";
import { button, colours, el, fitCanvas } from "./dom.js";
import { STATE_NAMES, describe, fillColumns, longestHold, longestWait, moment, sharesOf } from "./hover.js";
import { LaneList, ORDERS } from "./lanes.js";
import { LABEL_ROOM, drawEvents, drawFlag, drawLabels, drawSignals, eventNames, within } from "./marks.js";
import { CLOCK, ORDER } from "./model.js";
import { Overview } from "./overview.js";
import { paintLane, pixel } from "./raster.js";
import { axisTicks, count, duration, exact, integer, percent, short } from "./words.js";

const COLOURS = [
  "held", "entering", "busy", "busyLine", "retried", "retriedLine", "off", "paper", "ink", "muted", "edge", "release",
  "retry", "label", "flag", "flagInk", "shade", "accent", "band", "grid",
];
const KINDS = { battles: "battles", convoys: "convoys", frozen_signals: "frozen signals", long_holds: "long holds" };
const TRACK = 13; // pixels a row of findings
const AXIS = 22;
const TALLEST = 0.68; // of the window
const STEP = 0.15; // of the view, that a key pans
const ZOOM = 1.35;
const TINY = 400; // events, up to which a trace is first shown in the order of its events

/** The axis on which a trace is first shown. */
export function firstAxis(model) {
  return model.whole && (model.events <= TINY || !model.duration) ? ORDER : CLOCK;
}

export class Timeline {
  constructor(model, view, announce) {
    this.model = model;
    this.view = view;
    this.announce = announce;
    this.list = new LaneList(model.lanes);
    this.selection = null;
    this.marked = null;
    this.current = 0;
    this.pointer = null;
    this.kinds = Object.keys(KINDS).filter((kind) => model.about.bands.some((band) => band.kind === kind));
    this.readColours();
    this.overview = new Overview(model, view, () => this.palette);
    this.build();
    this.listen();
    view.addEventListener("change", () => this.changed());
  }

  // What stands on the page

  build() {
    this.labels = el("div", { class: "gutter lane-labels" });
    this.canvas = el("canvas", { class: "lanes", "aria-hidden": "true" });
    this.head = el("canvas", { class: "head", "aria-hidden": "true" });
    this.headLabels = el("div", { class: "gutter head-labels" });
    this.space = el("div", { class: "lane-space" });
    this.sticky = el("div", { class: "lane-window" }, this.labels, this.canvas);
    this.scroller = el(
      "div",
      { class: "lane-scroller", tabindex: 0, role: "group", "aria-label": this.alternative(), "aria-describedby": "keys-hint" },
      this.space,
    );
    this.space.append(this.sticky);
    this.tip = el("div", { class: "tip", role: "tooltip", hidden: true });
    this.status = el("p", { class: "in-view", "aria-live": "polite" });
    this.note = el("p", { class: "note", hidden: true });
    this.panel = el("div", { class: "selection", hidden: true });
    this.element = el(
      "div",
      { class: "timeline" },
      this.toolbar(),
      this.overview.element,
      el("div", { class: "head-row" }, this.headLabels, this.head),
      this.scroller,
      this.tip,
      this.status,
      this.note,
      this.panel,
      this.legend(),
    );
  }

  /** The figure in a sentence or two, for those who do not see it. */
  alternative() {
    const { about, duration: whole, unit } = this.model;
    const threads = [...about.threads].sort((a, b) => b.waited - a.waited).slice(0, 3);
    const shares = threads.map((t) => `${t.label} held the GIL ${percent(whole ? t.held / whole : 0)} and waited ${percent(whole ? t.waited / whole : 0)} of it`);
    return `Timeline of ${count(about.threads.length, "thread")} over ${duration(whole, unit)}: ${shares.join("; ")}. The tables below say the same in numbers.`;
  }

  toolbar() {
    const axes = this.axes();
    this.axisButtons = axes.map(([axis, name, why]) =>
      button(name, () => this.useAxis(axis), { title: why, "aria-pressed": String(axis === this.view.axis), "data-axis": axis }),
    );
    this.sort = el(
      "select",
      { "aria-label": "Order of the lanes", onchange: () => { this.list.order = this.sort.value; this.rearranged(); } },
      Object.entries(ORDERS).map(([order, [name]]) => el("option", { value: order }, name)),
    );
    this.sort.value = this.list.order;
    this.filter = el("input", {
      type: "search", placeholder: "filter threads", "aria-label": "Show only threads whose name has this",
      oninput: () => { this.list.filter = this.filter.value; this.rearranged(); },
    });
    const many = this.model.lanes.length > 1;
    return el(
      "div",
      { class: "toolbar" },
      axes.length > 1 ? el("div", { class: "segments", role: "group", "aria-label": "Axis" }, this.axisButtons) : null,
      many ? el("label", { class: "field" }, el("span", {}, "order"), this.sort) : null,
      many ? this.filter : null,
      el(
        "div",
        { class: "segments", role: "group", "aria-label": "Lanes" },
        button("−", () => this.taller(-1), { title: "Lower lanes", "aria-label": "Lower lanes" }),
        button("+", () => this.taller(1), { title: "Taller lanes", "aria-label": "Taller lanes" }),
        many ? button("fold quiet", () => { this.list.foldQuiet(this.model.duration); this.rearranged(); }, { title: "Fold the lanes that held and waited less than 1 % of the time, or unfold all" }) : null,
      ),
      el(
        "div",
        { class: "segments", role: "group", "aria-label": "Zoom" },
        button("zoom out", () => this.view.zoom(ZOOM * ZOOM), { title: "Zoom out (s)" }),
        button("zoom in", () => this.view.zoom(1 / ZOOM / ZOOM), { title: "Zoom in (w)" }),
        button("all", () => this.view.reset(), { title: "Show all of the trace (double click)" }),
      ),
    );
  }

  axes() {
    const { unit, whole, duration: length } = this.model;
    const axes = length ? [[CLOCK, unit === "ns" ? "time" : "ticks", unit === "ns" ? "The time column" : "The tick clock, about one bytecode each"]] : [];
    if (whole) axes.push([ORDER, "event order", "One step an event: what happens at the same instant stands side by side"]);
    return axes;
  }

  legend() {
    const swatch = (name, words) => el("span", { class: "key" }, el("i", { class: `swatch ${name}` }), words);
    return el(
      "div",
      { class: "legend", "aria-label": "Colours" },
      swatch("held", "holds the GIL"),
      swatch("entering", "wants it, not yet refused"),
      swatch("busy", "waits, found it taken"),
      swatch("retried", "waits, tried in vain"),
      swatch("off", "off: I/O, C code"),
      el("span", { class: "key" }, el("b", { class: "glyph retry" }, "▼"), "RETRY"),
      el("span", { class: "key" }, el("b", { class: "glyph release" }, "▲"), "release at a check"),
      el("span", { class: "key" }, el("b", { class: "glyph release" }, "○"), "release around a blocking call"),
    );
  }

  readColours() {
    this.palette = colours(COLOURS);
    for (const kind of Object.keys(KINDS)) this.palette[kind] = colours([kind])[kind];
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
    this.select(null);
    this.rearranged();
  }

  /** About where a place on the present axis lies on the other. */
  across(at, axis) {
    const from = this.view.axis;
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
    this.rearranged();
  }

  /** Takes the view to a stretch that is given on both axes: `{begin, end, startSeq, endSeq, threads}`. */
  goTo(span) {
    const [from, to] = this.stretch(span);
    this.marked = span;
    this.view.show(from, to);
    if (span.threads?.length) this.reveal(span.threads[0]);
    this.rearranged();
  }

  stretch(span) {
    return this.view.axis === CLOCK ? [span.begin, span.end] : [span.startSeq, span.endSeq ?? this.model.events];
  }

  /** Makes a lane current and scrolls to it. */
  reveal(thread) {
    let rows = this.list.rows();
    if (!rows.some((row) => row.lane.thread === thread)) {
      this.list.filter = this.filter.value = "";
      rows = this.list.rows();
    }
    this.current = Math.max(0, rows.findIndex((row) => row.lane.thread === thread));
    const row = rows[this.current];
    if (!row || row.pinned) return;
    const { scrollTop, clientHeight } = this.scroller;
    if (row.top < scrollTop) this.scroller.scrollTop = row.top - 8;
    else if (row.top + row.height > scrollTop + clientHeight) this.scroller.scrollTop = row.top + row.height - clientHeight + 8;
  }

  rearranged() {
    this.sort.value = this.list.order;
    this.filter.value = this.list.filter;
    this.changed();
  }

  changed() {
    for (const each of this.axisButtons) each.setAttribute("aria-pressed", String(each.dataset.axis === this.view.axis));
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
    const gutter = this.labels.getBoundingClientRect().width;
    const width = Math.max(80, this.scroller.clientWidth - gutter);
    this.width = width;
    this.named = this.view.axis === ORDER && width / this.view.span >= LABEL_ROOM;
    this.list.room = this.named;
    const rows = this.list.rows();
    const last = rows.at(-1);
    const total = last ? last.top + last.height + 6 : 40;
    const height = Math.min(total, Math.max(160, Math.round(window.innerHeight * TALLEST)));
    this.space.style.height = `${total}px`;
    this.scroller.style.height = `${height}px`;
    this.sticky.style.height = `${height}px`;
    this.scrollable = total > height + 1;
    this.rows = this.placed(rows, height);
    this.overview.draw(width);
    this.drawHead(width);
    this.drawLanes(width, height);
    this.placeLabels();
    this.tell();
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

  x(at) {
    return ((at - this.view.from) / this.view.span) * this.width;
  }

  drawLanes(width, height) {
    const context = fitCanvas(this.canvas, width, height);
    const ratio = window.devicePixelRatio || 1;
    const { width: across, height: down } = this.canvas;
    if (!this.image || this.image.width !== across || this.image.height !== down) {
      this.image = context.createImageData(across, down);
      this.raster = new Uint32Array(this.image.data.buffer);
      this.columns = new Columns(across);
    }
    this.raster.fill(this.pixels.paper);
    for (const row of [...this.rows].reverse()) { // pinned ones come last, on top of what scrolls below them
      const top = Math.max(0, Math.round(row.y * ratio));
      const bottom = Math.min(down, Math.round((row.y + row.height) * ratio));
      if (bottom <= top) continue;
      this.columns.clear();
      fillColumns(this.columns, row.lane, this.view.axis, this.view.from, this.view.to);
      paintLane(this.raster, across, top, bottom - top, this.columns, this.pixels, ratio);
    }
    context.putImageData(this.image, 0, 0);
    const behind = this.x(this.model.extent(this.view.axis)); // a longer trace may share the view
    context.fillStyle = this.palette.paper;
    if (behind < width) context.fillRect(behind, 0, width - behind, height);
    const frame = { view: this.view, width, palette: this.palette, x: (at) => this.x(at) };
    this.drawBands(context, height);
    if (this.model.exact(...this.clocks())) {
      for (const row of this.rows) drawEvents(context, row, frame);
      drawSignals(context, this.rows, frame, this.named);
      frame.names = this.named ? eventNames(this.model.lanes, this.view) : null;
      for (const row of this.rows) drawLabels(context, row, frame);
    }
    this.drawFlags(context, frame);
    this.drawSelection(context, height);
    this.drawPointer(context, height);
  }

  clocks() {
    return this.view.axis === CLOCK ? [this.view.from, this.view.to] : [0, this.model.duration];
  }

  /** Findings as bands over the lanes of the threads involved: all while they are few, else the one that was chosen. */
  drawBands(context, height) {
    const shown = this.bandsInView();
    const few = shown.length <= 12 ? shown : [];
    const chosen = this.marked && !few.some((band) => band === this.marked) ? [this.marked] : [];
    for (const band of [...few, ...chosen]) {
      const [from, to] = this.stretch(band);
      const [left, right] = [Math.max(-2, this.x(from)), Math.min(this.width + 2, this.x(to))];
      if (right < 0 || left > this.width) continue;
      const involved = this.rows.filter((row) => !band.threads?.length || band.threads.includes(row.lane.thread));
      if (!involved.length) continue;
      const top = Math.max(0, Math.min(...involved.map((row) => row.y)) - 2);
      const bottom = Math.min(height, Math.max(...involved.map((row) => row.y + row.height)) + 2);
      const strong = band === this.marked;
      context.fillStyle = context.strokeStyle = this.palette[band.kind] ?? this.palette.accent;
      context.globalAlpha = strong ? 0.14 : 0.08;
      const most = right - left > 0.6 * this.width; // what covers nearly all would only dull the colours
      if (!most) context.fillRect(left, top, Math.max(1, right - left), bottom - top);
      context.globalAlpha = strong ? 0.95 : 0.55;
      context.lineWidth = strong ? 2 : 1;
      context.strokeRect(left + 0.5, top + 0.5, Math.max(1, right - left - 1), bottom - top - 1);
      context.globalAlpha = 1;
    }
  }

  bandsInView() {
    return this.model.about.bands.filter((band) => {
      const [from, to] = this.stretch(band);
      return to >= this.view.from && from <= this.view.to;
    });
  }

  drawHead(width) {
    const height = AXIS + (this.model.knots && this.view.axis === CLOCK ? AXIS - 6 : 0) + this.kinds.length * TRACK;
    const context = fitCanvas(this.head, width, height);
    context.clearRect(0, 0, width, height);
    context.font = '11px ui-sans-serif, system-ui, sans-serif';
    context.textBaseline = "middle";
    context.textAlign = "left";
    const { axis, from, to } = this.view;
    const { base, ticks } = axisTicks(from, to, axis === CLOCK ? this.model.unit : "", Math.max(2, width / 110));
    let y = AXIS;
    let free = -10;
    for (const { at, text } of ticks) {
      const left = this.x(at);
      context.fillStyle = this.palette.grid;
      context.fillRect(Math.round(left), y - 7, 1, 7);
      const room = context.measureText(text).width;
      if (left + 4 < free || left + 4 + room > width) continue;
      context.fillStyle = this.palette.muted;
      context.fillText(text, left + 4, y - 9);
      free = left + room + 14;
    }
    if (this.model.knots && axis === CLOCK) y += AXIS - 6;
    if (this.model.knots && axis === CLOCK) this.drawTickAxis(context, width, y);
    this.headTexts(base);
    for (const kind of this.kinds) {
      this.drawTrack(context, kind, width, y);
      y += TRACK;
    }
  }

  /** The second axis of a timed trace: its tick clock. */
  drawTickAxis(context, width, y) {
    let free = -10;
    const most = Math.max(2, Math.floor(width / 110));
    if (this.view.span / most < 2 * this.model.width) {
      context.fillStyle = this.palette.muted;
      context.fillText(`about ${integer(Math.round(this.model.ticksAt((this.view.from + this.view.to) / 2)))}`, 4, y - 8);
      return;
    }
    for (let i = 0; i < most; i++) {
      const left = (i * width) / most;
      const ticks = this.model.ticksAt(this.view.from + (left / width) * this.view.span);
      const text = integer(Math.round(ticks));
      if (left < free) continue;
      context.fillStyle = this.palette.grid;
      context.fillRect(Math.round(left), y - 5, 1, 5);
      context.fillStyle = this.palette.muted;
      context.fillText(text, left + 4, y - 8);
      free = left + context.measureText(text).width + 12;
    }
  }

  headTexts(base) {
    const { axis } = this.view;
    const unit = axis === ORDER ? "event" : this.model.unit === "ns" ? "time" : "tick clock";
    const texts = [base ? `${unit} ${base}` : unit];
    if (this.model.knots && axis === CLOCK) texts.push("tick clock");
    const wanted = [...texts, ...this.kinds].join("\n");
    if (this.headWords === wanted) return;
    this.headWords = wanted;
    this.headLabels.replaceChildren(
      ...texts.map((text, i) => el("span", { class: i ? "axis-name second" : "axis-name" }, text)),
      ...this.kinds.map((kind) => {
        const found = this.model.about.found[kind];
        return el("span", { class: `track-name ${kind}`, title: `${integer(found)} ${KINDS[kind]}` }, KINDS[kind], el("b", {}, integer(found)));
      }),
    );
  }

  drawTrack(context, kind, width, y) {
    context.fillStyle = this.palette.grid;
    context.fillRect(0, y + TRACK / 2, width, 1);
    context.fillStyle = this.palette[kind];
    let drawn = -1;
    for (const band of this.model.about.bands) {
      if (band.kind !== kind) continue;
      const [from, to] = this.stretch(band);
      const [left, right] = [Math.max(0, this.x(from)), Math.min(width, this.x(to))];
      if (right < 0 || left > width || right <= drawn) continue;
      context.fillRect(left, y + 3, Math.max(2, right - left - 0.5), TRACK - 6);
      drawn = Math.max(drawn, left + 1);
    }
  }

  /** Flags on the longest wait and the longest hold in view, and what is said of them below. */
  drawFlags(context, frame) {
    this.longest = {};
    const whole = this.view.span >= this.view.extent;
    for (const [name, find] of [["wait", longestWait], ["hold", longestHold]]) {
      let best = null;
      for (const { lane } of this.list.rows()) {
        const found = find(lane, this.view.axis, this.view.from, this.view.to);
        if (found && (!best || found.length > best.length)) best = found;
      }
      this.longest[name] = best;
    }
    const best = this.longest.wait;
    if (!best || best.length <= 0) return;
    const row = this.rows.find((each) => each.lane === best.lane);
    const [left, right] = [this.x(best.begin), this.x(best.end)];
    // Where the wait is long on the screen it is plain to see, and says its length itself.
    if (!row || right - left > this.width / 12 || (!whole && right - left > 60)) return;
    drawFlag(context, `longest wait ${duration(best.length, this.model.unit)}`, (left + right) / 2, row, frame);
  }

  drawSelection(context, height) {
    if (!this.selection) return;
    const [left, right] = this.selection.map((at) => this.x(at));
    context.fillStyle = this.palette.accent;
    context.globalAlpha = 0.16;
    context.fillRect(left, 0, right - left, height);
    context.globalAlpha = 1;
    context.fillRect(left - 0.5, 0, 1, height);
    context.fillRect(right - 0.5, 0, 1, height);
  }

  drawPointer(context, height) {
    if (!this.pointer) return;
    const at = this.x(this.pointer.at);
    context.fillStyle = this.palette.ink;
    context.globalAlpha = 0.35;
    context.fillRect(at, 0, 1, height);
    context.globalAlpha = 1;
    const row = this.rows.find((each) => each.lane === this.pointer.lane);
    const { begin, end } = this.pointer.told;
    if (!row || begin === null) return;
    const [left, right] = [Math.max(-3, this.x(begin)), Math.min(this.width + 3, this.x(end))];
    context.strokeStyle = this.palette.ink;
    context.lineWidth = 1.5;
    context.strokeRect(left, row.y + 0.75, Math.max(2, right - left), row.height - 1.5);
  }

  placeLabels() {
    const known = new Map([...this.labels.children].map((label) => [Number(label.dataset.thread), label]));
    const shown = new Set();
    for (const row of this.rows) {
      const { lane, y, height, pinned } = row;
      shown.add(lane.thread);
      const label = known.get(lane.thread) ?? this.makeLabel(lane);
      label.style.transform = `translateY(${y}px)`;
      label.style.height = `${height}px`;
      label.classList.toggle("pinned", pinned);
      label.classList.toggle("low", height < 12);
      label.classList.toggle("tall", height >= 40);
      label.classList.toggle("current", row.place === this.current);
      const [pin, fold] = label.querySelectorAll("button");
      pin.setAttribute("aria-pressed", String(pinned));
      fold.setAttribute("aria-expanded", String(!this.list.folded.has(lane.thread)));
      if (!label.isConnected) this.labels.append(label);
    }
    for (const [thread, label] of known) if (!shown.has(thread)) label.remove();
  }

  makeLabel(lane) {
    const { label, held, waited } = lane.info;
    const whole = this.model.duration;
    const shares = whole ? `held ${percent(held / whole)}, waited ${percent(waited / whole)}` : "";
    return el(
      "div",
      { class: "lane-label", "data-thread": lane.thread, title: `${label}: ${shares}` },
      el("span", { class: "lane-name" }, el("b", {}, label), el("small", {}, shares)),
      button("⌃", () => { this.list.toggle("pinned", lane.thread); this.rearranged(); }, { class: "pin", tabindex: -1, title: "Pin to the top (p)", "aria-label": `Pin ${label}` }),
      button("▾", () => { this.list.toggle("folded", lane.thread); this.rearranged(); }, { class: "fold", tabindex: -1, title: "Fold (c)", "aria-label": `Fold ${label}` }),
    );
  }

  /** Says below the lanes what is in view, and what of the trace is not there. */
  tell() {
    const { view, model } = this;
    const { unit } = model;
    const step = Math.max(1, view.span / 1000);
    const order = view.axis === ORDER;
    const stretch = order
      ? `events ${integer(Math.round(view.from))} – ${integer(Math.round(view.to))} of ${integer(model.events)}`
      : `${duration(view.span, unit)} from ${exact(view.from, step, unit, view.to)} on, of ${duration(model.duration, unit)}`;
    const parts = [`In view: ${stretch}.`];
    for (const [name, found] of Object.entries(this.longest)) {
      if (!found || found.length <= 0) continue;
      const words = `${duration(found.length, unit)} (${short(found.lane.info.label, 30)})`;
      parts.push(` Longest ${name} `, button(words, () => this.goTo(this.asSpan(found)), { class: "link" }), ".");
    }
    const key = parts.map((part) => part.textContent ?? part).join("");
    if (this.told !== key) {
      this.told = key;
      this.status.replaceChildren(...parts);
    }
    this.tellMissing();
  }

  asSpan({ lane, begin, end }) {
    return { begin, end, startSeq: begin, endSeq: end, threads: [lane.thread], kind: "accent" };
  }

  tellMissing() {
    const { view, model } = this;
    const deep = view.axis === CLOCK && view.span / this.width < model.width && !model.exact(view.from, view.to);
    this.note.hidden = !deep;
    if (!deep) return;
    const first = model.about.firstClock;
    const [from, to] = [Math.floor(view.from) + first, Math.ceil(view.to) + first];
    const command = `tracekit query ${model.about.shellPath} "select * from waits where end_clock >= ${from} and entry_clock <= ${to}"`;
    this.note.replaceChildren(
      `This trace is too large to carry whole. Here, outside the findings, the page knows how much each thread held and waited in every ${duration(model.width, model.unit)}, but not each hold and wait. This shows them: `,
      el("code", {}, command),
    );
  }

  // Pointer, wheel, keys

  listen() {
    const { canvas, scroller } = this;
    scroller.addEventListener("scroll", () => this.changed());
    scroller.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("dblclick", () => this.view.reset());
    this.head.addEventListener("click", (event) => this.pick(event));
    this.head.addEventListener("pointermove", (event) => { this.head.style.cursor = this.bandAt(event) ? "pointer" : ""; });
    new ResizeObserver(() => this.changed()).observe(this.element);
    this.touches = new Map();
  }

  at(offset) {
    return this.view.from + (offset / this.width) * this.view.span;
  }

  wheel(event) {
    const zooms = event.ctrlKey || event.metaKey || (!this.scrollable && document.activeElement === this.scroller);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.view.pan(((event.deltaX || event.deltaY) / this.width) * this.view.span);
    } else if (zooms) {
      this.view.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), this.at(event.offsetX));
    } else {
      return;
    }
    event.preventDefault();
  }

  grab(event) {
    this.scroller.focus({ preventScroll: true });
    this.touches.set(event.pointerId, event.clientX);
    this.canvas.setPointerCapture(event.pointerId);
    const { from, to } = this.view;
    const selecting = event.shiftKey;
    const start = this.at(event.offsetX);
    const [x0, y0, scrolled] = [event.clientX, event.clientY, this.scroller.scrollTop];
    let moved = false;
    const follow = (now) => {
      if (now.pointerId !== event.pointerId) return;
      if (this.touches.size === 2) {
        this.pinch(now);
        return;
      }
      this.touches.set(now.pointerId, now.clientX);
      if (Math.abs(now.clientX - x0) + Math.abs(now.clientY - y0) > 3) moved = true;
      if (!moved) return;
      if (selecting) {
        const here = this.at(Math.min(Math.max(0, x0 - now.clientX > 0 ? event.offsetX - (x0 - now.clientX) : event.offsetX + now.clientX - x0), this.width));
        this.select([Math.min(start, here), Math.max(start, here)]);
      } else {
        const by = ((x0 - now.clientX) / this.width) * (to - from);
        this.view.set(from + by, to + by);
        if (event.pointerType === "mouse") this.scroller.scrollTop = scrolled + y0 - now.clientY;
      }
    };
    const drop = (now) => {
      if (now.pointerId !== event.pointerId) return;
      this.touches.delete(now.pointerId);
      this.canvas.removeEventListener("pointermove", follow);
      this.canvas.removeEventListener("pointerup", drop);
      this.canvas.removeEventListener("pointercancel", drop);
      if (!moved) this.choose(event);
    };
    this.canvas.addEventListener("pointermove", follow);
    this.canvas.addEventListener("pointerup", drop);
    this.canvas.addEventListener("pointercancel", drop);
  }

  pinch(now) {
    const [other] = [...this.touches].filter(([id]) => id !== now.pointerId).map(([, x]) => x);
    const before = Math.abs(this.touches.get(now.pointerId) - other);
    const after = Math.abs(now.clientX - other);
    this.touches.set(now.pointerId, now.clientX);
    const left = this.canvas.getBoundingClientRect().left;
    if (before > 10 && after > 10) this.view.zoom(before / after, this.at((now.clientX + other) / 2 - left));
  }

  rowAt(offset) {
    return this.rows.find((row) => offset >= row.y && offset < row.y + row.height + this.list.gap) ?? null;
  }

  /** A click makes a lane current, and ends a selection. */
  choose(event) {
    const row = this.rowAt(event.offsetY);
    if (row) this.current = row.place;
    this.select(null);
    this.changed();
  }

  hover(event) {
    if (event.buttons && event.pointerType === "mouse") return;
    const row = this.rowAt(event.offsetY);
    if (!row) {
      this.leave();
      return;
    }
    this.showTip(row, this.at(event.offsetX), event.offsetX, event.offsetY);
  }

  showTip(row, at, left, top) {
    const told = describe(row.lane, this.view.axis, at, this.view.span / this.width / 2);
    this.pointer = { lane: row.lane, at, told };
    this.tip.replaceChildren(
      el("b", {}, told.title),
      el("p", {}, told.state === null ? null : el("i", { class: `swatch ${["held", "entering", "busy", "retried"][told.state]}` }), told.words),
      el("dl", {}, told.facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
    );
    this.tip.hidden = false;
    const box = this.element.getBoundingClientRect();
    const over = this.canvas.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.tip;
    const x = Math.min(over.left - box.left + left + 16, box.width - offsetWidth - 4);
    const below = over.top + top + 18 + offsetHeight < window.innerHeight;
    this.tip.style.left = `${Math.max(0, x)}px`;
    this.tip.style.top = `${over.top - box.top + top + (below ? 18 : -offsetHeight - 12)}px`;
    this.changed();
    return told;
  }

  leave() {
    this.tip.hidden = true;
    if (!this.pointer) return;
    this.pointer = null;
    this.changed();
  }

  bandAt(event) {
    const first = this.head.offsetHeight - this.kinds.length * TRACK;
    const kind = this.kinds[Math.floor((event.offsetY - first) / TRACK)];
    if (event.offsetY < first || !kind) return null;
    const near = (4 / this.width) * this.view.span;
    const at = this.at(event.offsetX);
    return this.model.about.bands.find((band) => {
      const [from, to] = this.stretch(band);
      return band.kind === kind && from - near <= at && at <= to + near;
    });
  }

  pick(event) {
    const band = this.bandAt(event);
    if (band) this.goTo(band);
  }

  /** Steps to the next span of the current lane, or the one before, and tells of it. */
  step(by) {
    const rows = this.list.rows();
    const row = rows[this.current];
    if (!row || !this.model.exact(...this.clocks())) return;
    const { axis } = this.view;
    const places = [row.lane.heldSpans(axis), row.lane.waitSpans(axis)].flatMap(({ begin, end }) => {
      const now = this.pointer?.lane === row.lane ? this.pointer.told.begin ?? this.pointer.at : by > 0 ? this.view.from - 1 : this.view.to;
      const [, after] = within(begin, -1, now);
      const [before] = within(begin, now, Infinity);
      const i = by > 0 ? after : before - 1;
      return i >= 0 && i < begin.length ? [(begin[i] + end[i]) / 2] : [];
    });
    if (!places.length) return;
    const at = by > 0 ? Math.min(...places) : Math.max(...places);
    if (at < this.view.from || at > this.view.to) this.view.set(at - this.view.span / 2, at + this.view.span / 2);
    this.reveal(row.lane.thread);
    this.draw();
    const placed = this.rows.find((each) => each.lane === row.lane);
    if (!placed) return;
    const told = this.showTip(placed, at, this.x(at), placed.y + placed.height);
    this.announce([told.title, told.words, ...told.facts.map((fact) => fact.join(" "))].join(", "));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.scroller) return;
    const { view } = this;
    const keys = {
      w: () => view.zoom(1 / ZOOM, this.pointer?.at),
      s: () => view.zoom(ZOOM, this.pointer?.at),
      "+": () => view.zoom(1 / ZOOM),
      "-": () => view.zoom(ZOOM),
      a: () => view.pan(-STEP * view.span),
      d: () => view.pan(STEP * view.span),
      ArrowLeft: () => view.pan(-STEP * view.span),
      ArrowRight: () => view.pan(STEP * view.span),
      ArrowUp: () => this.move(-1),
      ArrowDown: () => this.move(1),
      Home: () => view.set(0, view.span),
      End: () => view.set(view.extent - view.span, view.extent),
      0: () => view.reset(),
      "[": () => this.step(-1),
      "]": () => this.step(1),
      p: () => this.toggleCurrent("pinned"),
      c: () => this.toggleCurrent("folded"),
      f: () => this.selection && view.set(...this.selection),
      m: () => this.select([view.from, view.to]),
      Escape: () => { this.select(null); this.marked = null; this.leave(); this.changed(); },
    };
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    act();
    event.preventDefault();
  }

  move(by) {
    const rows = this.list.rows();
    this.current = Math.min(rows.length - 1, Math.max(0, this.current + by));
    const lane = rows[this.current]?.lane;
    if (!lane) return;
    this.reveal(lane.thread);
    this.announce(`${lane.info.label}: held ${percent(lane.info.held / (this.model.duration || 1))}, waited ${percent(lane.info.waited / (this.model.duration || 1))}`);
    this.changed();
  }

  toggleCurrent(which) {
    const lane = this.list.rows()[this.current]?.lane;
    if (lane) this.list.toggle(which, lane.thread);
    this.rearranged();
  }

  // A selected stretch

  /** Selects a stretch, `[from, to]`, or nothing; a panel tells what each thread did in it. */
  select(stretch) {
    this.selection = stretch && stretch[1] > stretch[0] ? stretch : null;
    this.panel.hidden = !this.selection;
    if (this.selection) this.tellSelection();
    this.changed();
  }

  tellSelection() {
    const [from, to] = this.selection;
    const { axis } = this.view;
    const { unit } = this.model;
    const length = axis === CLOCK ? duration(to - from, unit) : count(Math.round(to - from), "event");
    const size = (part) => (axis === CLOCK ? `${duration(part * (to - from), unit)} · ${percent(part)}` : percent(part));
    const lanes = this.list.rows().map(({ lane }) => ({ lane, shares: sharesOf(lane, axis, from, to) }));
    const busiest = lanes.filter(({ shares }) => shares.some((part) => part > 0)).slice(0, 12);
    const states = [0, 1, 2, 3];
    this.panel.replaceChildren(
      el(
        "p",
        {},
        el("b", {}, `${length} selected`), axis === CLOCK ? `, from ${moment(this.model, from)} to ${moment(this.model, to)}. ` : ". ",
        button("zoom there (f)", () => this.view.set(from, to), { class: "link" }), " ",
        button("clear (Esc)", () => this.select(null), { class: "link" }),
      ),
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "thread"), states.map((state) => el("th", { scope: "col" }, STATE_NAMES[state])))),
        el("tbody", {}, busiest.map(({ lane, shares }) => el("tr", {}, el("th", { scope: "row" }, lane.info.label), states.map((state) => el("td", {}, shares[state] > 0 ? size(shares[state]) : "–"))))),
      ),
    );
  }
}
