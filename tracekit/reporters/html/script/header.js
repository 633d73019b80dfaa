// The head of a timeline: its axis, the tick clock below it, and a row of marks for each kind of finding.

import { el, fitCanvas } from "./dom.js";
import { CLOCK, ORDER } from "./model.js";
import { axisTicks, integer } from "./words.js";

const TRACK = 13; // pixels a row of findings
const AXIS = 22;

export class Header {
  constructor(timeline) {
    this.timeline = timeline;
    this.canvas = el("canvas", { class: "head", "aria-hidden": "true" });
    this.labels = el("div", { class: "gutter head-labels" });
    this.element = el("div", { class: "head-row" }, this.labels, this.canvas);
    this.canvas.addEventListener("click", (event) => this.pick(event));
    this.canvas.addEventListener("pointermove", (event) => { this.canvas.style.cursor = this.bandAt(event) ? "pointer" : ""; });
  }

  draw(width) {
    const height = AXIS + (this.timeline.model.knots && this.timeline.view.axis === CLOCK ? AXIS - 6 : 0) + this.timeline.kinds.length * TRACK;
    const context = fitCanvas(this.canvas, width, height);
    context.clearRect(0, 0, width, height);
    context.font = '11px ui-sans-serif, system-ui, sans-serif';
    context.textBaseline = "middle";
    context.textAlign = "left";
    const { axis, from, to, begin } = this.timeline.view;
    const { base, ticks } = axisTicks(from - begin, to - begin, axis === CLOCK ? this.timeline.model.unit : "", Math.max(2, width / 110));
    let y = AXIS;
    let free = -10;
    for (const { at, text } of ticks) {
      const left = this.timeline.x(at + begin);
      context.fillStyle = this.timeline.palette.grid;
      context.fillRect(Math.round(left), y - 7, 1, 7);
      const room = context.measureText(text).width;
      if (left + 4 < free || left + 4 + room > width) continue;
      context.fillStyle = this.timeline.palette.muted;
      context.fillText(text, left + 4, y - 9);
      free = left + room + 14;
    }
    if (this.timeline.model.knots && axis === CLOCK) y += AXIS - 6;
    if (this.timeline.model.knots && axis === CLOCK) this.drawTickAxis(context, width, y);
    this.tellTexts(base);
    for (const kind of this.timeline.kinds) {
      this.drawTrack(context, kind, width, y);
      y += TRACK;
    }
  }

  /** The second axis of a timed trace: its tick clock. */
  drawTickAxis(context, width, y) {
    let free = -10;
    const most = Math.max(2, Math.floor(width / 110));
    if (this.timeline.view.span / most < 2 * this.timeline.model.width) {
      context.fillStyle = this.timeline.palette.muted;
      context.fillText(`about ${integer(Math.round(this.timeline.model.ticksAt((this.timeline.view.from + this.timeline.view.to) / 2)))}`, 4, y - 8);
      return;
    }
    for (let i = 0; i < most; i++) {
      const left = (i * width) / most;
      const ticks = this.timeline.model.ticksAt(this.timeline.view.from + (left / width) * this.timeline.view.span);
      const text = integer(Math.round(ticks));
      if (left < free) continue;
      context.fillStyle = this.timeline.palette.grid;
      context.fillRect(Math.round(left), y - 5, 1, 5);
      context.fillStyle = this.timeline.palette.muted;
      context.fillText(text, left + 4, y - 8);
      free = left + context.measureText(text).width + 12;
    }
  }

  tellTexts(base) {
    const { axis } = this.timeline.view;
    const unit = axis === ORDER ? "event" : this.timeline.model.unit === "ns" ? "time" : "tick clock";
    const texts = [base ? `${unit} ${base}` : unit];
    if (this.timeline.model.knots && axis === CLOCK) texts.push("tick clock");
    const wanted = [...texts, ...this.timeline.kinds].join("\n");
    if (this.words === wanted) return;
    this.words = wanted;
    this.labels.replaceChildren(
      ...texts.map((text, i) => el("span", { class: i ? "axis-name second" : "axis-name" }, text)),
      ...this.timeline.kinds.map((kind) => {
        const found = this.timeline.model.about.found[kind];
        const { label } = this.timeline.model.about.kinds[kind];
        return el("span", { class: "track-name", title: `${integer(found)} ${label}` }, label, el("b", {}, integer(found)));
      }),
    );
  }

  drawTrack(context, kind, width, y) {
    context.fillStyle = this.timeline.palette.grid;
    context.fillRect(0, y + TRACK / 2, width, 1);
    context.fillStyle = this.timeline.palette[kind];
    let drawn = -1;
    for (const band of this.timeline.model.about.bands) {
      if (band.kind !== kind) continue;
      const [from, to] = this.timeline.stretch(band);
      const [left, right] = [Math.max(0, this.timeline.x(from)), Math.min(width, this.timeline.x(to))];
      if (right < 0 || left > width || right <= drawn) continue;
      context.fillRect(left, y + 3, Math.max(2, right - left - 0.5), TRACK - 6);
      drawn = Math.max(drawn, left + 1);
    }
  }

  bandAt(event) {
    const first = this.canvas.offsetHeight - this.timeline.kinds.length * TRACK;
    const kind = this.timeline.kinds[Math.floor((event.offsetY - first) / TRACK)];
    if (event.offsetY < first || !kind) return null;
    const near = (4 / this.timeline.width) * this.timeline.view.span;
    const at = this.timeline.at(event.offsetX);
    const there = this.timeline.model.about.bands.filter((band) => {
      const [from, to] = this.timeline.stretch(band);
      return band.kind === kind && from - near <= at && at <= to + near;
    });
    // Where several lie at one place, each click takes the next of them.
    return there[(there.indexOf(this.timeline.marked) + 1) % there.length] ?? null;
  }

  pick(event) {
    const band = this.bandAt(event);
    if (band) this.timeline.goTo(band);
  }
}
