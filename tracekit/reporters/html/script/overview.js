// The strip above the lanes: how much of the GIL was used and how many waited, over all of the trace.

import { BUSY, Columns, ENTERING, HELD, RETRIED, STATES } from "./bins.js";
import { el, fitCanvas } from "./dom.js";
import { fillColumns } from "./hover.js";
import { integer } from "./words.js";

const HEIGHT = 64;
const GRIP = 8; // pixels around an edge of the window within which it is that edge which is dragged

export class Overview {
  constructor(model, view, palette) {
    this.model = model;
    this.view = view;
    this.palette = palette;
    this.made = "";
    this.canvas = el("canvas", { class: "overview", "aria-hidden": "true" });
    this.labels = el("div", { class: "gutter overview-labels" }, el("span", {}, "waiters"), el("span", {}, "GIL held"));
    this.element = el("div", { class: "overview-row" }, this.labels, this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.grab(event));
    this.canvas.addEventListener("pointermove", (event) => this.hint(event));
    this.canvas.addEventListener("dblclick", () => view.reset());
  }

  x(at) {
    return ((at - this.view.begin) / this.view.extent) * this.width;
  }

  at(event) {
    return this.view.begin + (event.offsetX / this.width) * this.view.extent;
  }

  hint(event) {
    const [left, right] = [this.x(this.view.from), this.x(this.view.to)];
    const edge = Math.min(Math.abs(event.offsetX - left), Math.abs(event.offsetX - right)) < GRIP;
    this.canvas.style.cursor = edge ? "ew-resize" : event.offsetX > left && event.offsetX < right ? "grab" : "crosshair";
  }

  grab(event) {
    const { view } = this;
    const [left, right] = [this.x(view.from), this.x(view.to)];
    const whole = view.span >= view.extent;
    const start = this.at(event);
    const { from, to } = view;
    let move = (at) => view.set(Math.min(start, at), Math.max(start, at));
    if (!whole && Math.abs(event.offsetX - left) < GRIP) move = (at) => view.set(Math.min(at, to), to);
    else if (!whole && Math.abs(event.offsetX - right) < GRIP) move = (at) => view.set(from, Math.max(at, from));
    else if (!whole && event.offsetX > left && event.offsetX < right) move = (at) => view.set(from + at - start, to + at - start);
    const follow = (moved) => {
      const box = this.canvas.getBoundingClientRect();
      const across = Math.min(Math.max(0, moved.clientX - box.left), this.width);
      if (Math.abs(moved.clientX - event.clientX) > 2) move(view.begin + (across / this.width) * view.extent);
    };
    const drop = () => {
      window.removeEventListener("pointermove", follow);
      window.removeEventListener("pointerup", drop);
      window.removeEventListener("pointercancel", drop);
    };
    window.addEventListener("pointermove", follow);
    window.addEventListener("pointerup", drop);
    window.addEventListener("pointercancel", drop);
    event.preventDefault();
  }

  /** The sums over all lanes, a number for each column: made anew only where the width or axis changed. */
  sums(columns) {
    const name = `${columns} ${this.view.axis}`;
    if (this.made === name) return this.kept;
    const lane = new Columns(columns);
    const sums = new Float64Array(columns * STATES);
    for (const each of this.model.lanes) {
      lane.clear();
      fillColumns(lane, each, this.view.axis, this.view.begin, this.view.begin + this.view.extent);
      for (let i = 0; i < sums.length; i++) sums[i] += lane.shares[i];
    }
    this.made = name;
    this.kept = sums;
    return sums;
  }

  draw(width) {
    this.width = width;
    const context = fitCanvas(this.canvas, width, HEIGHT);
    const palette = this.palette();
    const columns = Math.max(1, Math.round(width));
    const sums = this.sums(columns);
    const half = HEIGHT / 2 - 2;
    context.clearRect(0, 0, width, HEIGHT);
    context.fillStyle = palette.off;
    context.fillRect(0, 0, width, half);
    context.fillRect(0, half + 4, width, half);
    const most = Math.max(1, this.model.about.mostWaiting);
    const scale = half / most;
    for (let x = 0; x < columns; x++) {
      let y = half;
      for (const [state, colour] of [[ENTERING, palette.entering], [BUSY, palette.busy], [RETRIED, palette.retried]]) {
        const share = sums[x * STATES + state];
        if (!share) continue;
        const tall = Math.max(1, share * scale);
        context.fillStyle = colour;
        context.fillRect(x, y - tall, 1, tall);
        y -= tall;
      }
      const held = Math.min(1, sums[x * STATES + HELD]) * half;
      if (!held) continue;
      context.fillStyle = palette.held;
      context.fillRect(x, HEIGHT - Math.max(1, held), 1, Math.max(1, held));
    }
    context.fillStyle = palette.paper;
    const [before, behind] = [this.x(0), this.x(this.model.extent(this.view.axis))];
    if (before > 0) context.fillRect(0, 0, before, HEIGHT);
    if (behind < width) context.fillRect(behind, 0, width - behind, HEIGHT);
    this.labels.firstChild.textContent = `waiters, at most ${integer(most)}`;
    this.drawWindow(context, width, palette);
  }

  drawWindow(context, width, palette) {
    const [left, right] = [this.x(this.view.from), this.x(this.view.to)];
    context.fillStyle = palette.shade;
    context.fillRect(0, 0, left, HEIGHT);
    context.fillRect(right, 0, width - right, HEIGHT);
    context.strokeStyle = context.fillStyle = palette.accent;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, Math.max(2, right - left - 1.5), HEIGHT - 1.5);
    for (const edge of [left, right]) {
      context.beginPath();
      context.roundRect(Math.min(Math.max(edge - 2.5, 0), width - 5), HEIGHT / 2 - 9, 5, 18, 2.5);
      context.fill();
    }
  }
}
