// The lanes of a timeline as pixels, and what stands on top of them: findings, flags, the selection, the pointer.

import { Columns } from "./bins.js";
import { fitCanvas, pixelRatio } from "./dom.js";
import { fillColumns, fillGroup, longestHold, longestWait } from "./hover.js";
import { drawArrow, drawEvents, drawFlag, drawLabels, drawNote, drawSignals, eventNames } from "./marks.js";
import { CLOCK } from "./model.js";
import { paintLane } from "./raster.js";
import { clockOf, holdersIn, placeOf, waitsIn } from "./story.js";
import { duration } from "./words.js";

const MOST_ARROWS = 400;

export class Drawing {
  constructor(timeline) {
    this.timeline = timeline;
    this.longest = {};
    this.arrows = false;
  }

  draw(width, height) {
    const context = fitCanvas(this.timeline.canvas, width, height);
    const ratio = pixelRatio();
    const { width: across, height: down } = this.timeline.canvas;
    if (!this.image || this.image.width !== across || this.image.height !== down) {
      this.image = context.createImageData(across, down);
      this.raster = new Uint32Array(this.image.data.buffer);
      this.columns = new Columns(across);
    }
    this.raster.fill(this.timeline.pixels.paper);
    for (const row of [...this.timeline.rows].reverse()) { // pinned ones come last, on top of what scrolls below them
      const top = Math.max(0, Math.round(row.y * ratio));
      const bottom = Math.min(down, Math.round((row.y + row.height) * ratio));
      if (bottom <= top) continue;
      this.columns.clear();
      (row.lane.members ? fillGroup : fillColumns)(this.columns, row.lane, this.timeline.view.axis, this.timeline.view.from, this.timeline.view.to);
      paintLane(this.raster, across, top, bottom - top, this.columns, this.timeline.pixels, ratio);
    }
    context.putImageData(this.image, 0, 0);
    // Another trace that shares the view may begin earlier, and end later.
    const [before, behind] = [0, this.timeline.model.extent(this.timeline.view.axis)].map((at) => this.timeline.x(at));
    context.fillStyle = this.timeline.palette.paper;
    if (before > 0) context.fillRect(0, 0, before, height);
    if (behind < width) context.fillRect(behind, 0, width - behind, height);
    const frame = { view: this.timeline.view, width, palette: this.timeline.palette, x: (at) => this.timeline.x(at) };
    this.drawBands(context, height);
    if (this.timeline.model.exact(...this.timeline.clocks())) {
      const single = this.timeline.rows.filter(({ lane }) => !lane.members);
      for (const row of single) drawEvents(context, row, frame);
      drawSignals(context, single, frame, this.timeline.named);
      frame.names = this.timeline.named ? eventNames(this.timeline.model.lanes, this.timeline.view) : null;
      for (const row of single) drawLabels(context, row, frame);
    }
    this.drawFlags(context, frame);
    this.drawArrows(context);
    this.drawNotes(context);
    this.drawSelection(context, height);
    this.drawLock(context);
    this.drawPointer(context, height);
  }

  /** Findings as bands over the lanes of the threads involved: all while they are few, else the one that was chosen. */
  drawBands(context, height) {
    const { timeline } = this;
    const shown = timeline.bandsInView();
    const few = shown.length <= 12 ? shown : [];
    const chosen = timeline.marked && !few.includes(timeline.marked) ? [timeline.marked] : [];
    for (const band of [...few, ...chosen]) {
      const [from, to] = timeline.stretch(band);
      const [left, right] = [Math.max(-2, timeline.x(from)), Math.min(timeline.width + 2, timeline.x(to))];
      if (right < 0 || left > timeline.width) continue;
      const strong = band === timeline.marked;
      context.fillStyle = context.strokeStyle = timeline.palette[band.kind] ?? timeline.palette.accent;
      context.lineWidth = strong ? 2 : 1;
      for (const [first, last] of this.involved(band)) {
        const top = Math.max(0, first.y - 2);
        const bottom = Math.min(height, last.y + last.height + 2);
        context.globalAlpha = strong ? 0.14 : 0.08;
        const most = right - left > 0.6 * timeline.width; // what covers nearly all would only dull the colours
        if (!most) context.fillRect(left, top, Math.max(1, right - left), bottom - top);
        context.globalAlpha = strong ? 0.95 : 0.55;
        context.strokeRect(left + 0.5, top + 0.5, Math.max(1, right - left - 1), bottom - top - 1);
      }
      context.globalAlpha = 1;
    }
  }

  /** The rows that take part in a finding, as runs of neighbours: first and last of each. */
  involved(band) {
    const runs = [];
    for (const row of this.timeline.rows) {
      const threads = row.lane.members?.map(({ thread }) => thread) ?? [row.lane.thread];
      if (band.threads?.length && !threads.some((thread) => band.threads.includes(thread))) continue;
      const run = runs.at(-1);
      if (run && run[1].place === row.place - 1) run[1] = row;
      else runs.push([row, row]);
    }
    return runs;
  }

  /** Flags on the longest wait and the longest hold in view, and what is said of them below. */
  drawFlags(context, frame) {
    this.longest = {};
    const whole = this.timeline.view.span >= this.timeline.view.extent;
    for (const [name, find] of [["wait", longestWait], ["hold", longestHold]]) {
      let best = null;
      for (const lane of this.timeline.list.rows().flatMap((row) => row.lane.members ?? row.lane)) {
        const found = find(lane, this.timeline.view.axis, this.timeline.view.from, this.timeline.view.to);
        if (found && (!best || found.length > best.length)) best = found;
      }
      this.longest[name] = best;
    }
    const best = this.longest.wait;
    if (!best || best.length <= 0) return;
    const row = this.timeline.rowOf(best.lane.thread);
    const [left, right] = [this.timeline.x(best.begin), this.timeline.x(best.end)];
    // Where the wait is long on the screen it is plain to see, and says its length itself.
    if (!row || right - left > this.timeline.width / 12 || (!whole && right - left > 60)) return;
    drawFlag(context, `longest wait ${duration(best.length, this.timeline.model.unit)}`, (left + right) / 2, row, frame);
  }

  /** Arrows from waits to the holds that they wait for: of the wait that is kept, or of all while they are few. */
  drawArrows(context) {
    const { timeline } = this;
    const { view, rows, model } = timeline;
    if (view.axis !== CLOCK) return;
    const kept = timeline.panel.item;
    const waits = kept?.table === "waits" ? [kept] : [];
    if (this.arrows) for (const { lane } of rows.filter((row) => !row.lane.members)) waits.push(...waitsIn(lane, view.from, view.to));
    const byLane = new Map(rows.map((row) => [row.lane, row]));
    let drawn = 0;
    for (const wait of waits) {
      const from = byLane.get(wait.lane);
      if (!from) continue;
      const [begin, end] = clockOf(wait);
      for (const part of holdersIn(model, Math.max(begin, view.from), Math.min(end, view.to))) {
        const to = byLane.get(part.lane);
        const at = timeline.x((part.begin + part.end) / 2);
        if (!to || to === from || ++drawn > MOST_ARROWS) continue;
        drawArrow(context, at, from, to, wait === kept ? timeline.palette.accent : timeline.palette.ink);
      }
    }
  }

  /** Notes as numbered flags in their lanes. */
  drawNotes(context) {
    const { timeline } = this;
    timeline.notes.all.forEach((note, i) => {
      const row = timeline.rowOf(note.thread);
      const at = timeline.x(timeline.notes.place(note));
      if (row && at >= 0 && at <= timeline.width) drawNote(context, String(i + 1), at, row, timeline.palette);
    });
  }

  /** The hold or wait that was clicked. */
  drawLock(context) {
    const { timeline } = this;
    const { item } = timeline.panel;
    const row = item && timeline.rowOf(item.lane.thread);
    if (!row) return;
    const [begin, end] = placeOf(item, timeline.view.axis).map((at) => timeline.x(at));
    const [left, right] = [Math.max(-3, begin), Math.min(timeline.width + 3, end)];
    context.strokeStyle = timeline.palette.accent;
    context.lineWidth = 3;
    context.strokeRect(left, row.y + 1.5, Math.max(3, right - left), row.height - 3);
  }

  drawSelection(context, height) {
    if (!this.timeline.selection.stretch) return;
    const [left, right] = this.timeline.selection.stretch.map((at) => this.timeline.x(at));
    context.fillStyle = this.timeline.palette.accent;
    context.globalAlpha = 0.16;
    context.fillRect(left, 0, right - left, height);
    context.globalAlpha = 1;
    context.fillRect(left - 0.5, 0, 1, height);
    context.fillRect(right - 0.5, 0, 1, height);
  }

  drawPointer(context, height) {
    if (!this.timeline.gestures.pointer) return;
    const at = this.timeline.x(this.timeline.gestures.pointer.at);
    context.fillStyle = this.timeline.palette.ink;
    context.globalAlpha = 0.35;
    context.fillRect(at, 0, 1, height);
    context.globalAlpha = 1;
    const row = this.timeline.rows.find((each) => each.lane === this.timeline.gestures.pointer.lane);
    const { begin, end } = this.timeline.gestures.pointer.told;
    if (!row || begin === null) return;
    const [left, right] = [Math.max(-3, this.timeline.x(begin)), Math.min(this.timeline.width + 3, this.timeline.x(end))];
    context.strokeStyle = this.timeline.palette.ink;
    context.lineWidth = 1.5;
    context.strokeRect(left, row.y + 0.75, Math.max(2, right - left), row.height - 1.5);
  }
}
