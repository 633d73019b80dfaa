// What the pointer, the wheel and the keys do to a timeline.

import { el } from "./dom.js";
import { describe } from "./hover.js";
import { within } from "./marks.js";
import { percent } from "./words.js";

const STEP = 0.15; // of the view, that a key pans
export const ZOOM = 1.35;

export class Gestures {
  constructor(timeline) {
    this.timeline = timeline;
    this.touches = new Map();
    this.tip = el("div", { class: "tip", role: "tooltip", hidden: true });
    this.pointer = null;
  }

  listen() {
    const { canvas, scroller } = this.timeline;
    scroller.addEventListener("scroll", () => this.timeline.changed());
    scroller.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("dblclick", () => this.timeline.view.reset());
  }

  wheel(event) {
    const zooms = event.ctrlKey || event.metaKey || (!this.timeline.scrollable && document.activeElement === this.timeline.scroller);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.timeline.view.pan(((event.deltaX || event.deltaY) / this.timeline.width) * this.timeline.view.span);
    } else if (zooms) {
      this.timeline.view.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), this.timeline.at(event.offsetX));
    } else {
      return;
    }
    event.preventDefault();
  }

  grab(event) {
    this.timeline.scroller.focus({ preventScroll: true });
    this.touches.set(event.pointerId, event.clientX);
    this.timeline.canvas.setPointerCapture(event.pointerId);
    const { from, to } = this.timeline.view;
    const selecting = event.shiftKey;
    const start = this.timeline.at(event.offsetX);
    const [x0, y0, scrolled] = [event.clientX, event.clientY, this.timeline.scroller.scrollTop];
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
        const here = this.timeline.at(Math.min(Math.max(0, x0 - now.clientX > 0 ? event.offsetX - (x0 - now.clientX) : event.offsetX + now.clientX - x0), this.timeline.width));
        this.timeline.selection.select([Math.min(start, here), Math.max(start, here)]);
      } else {
        const by = ((x0 - now.clientX) / this.timeline.width) * (to - from);
        this.timeline.view.set(from + by, to + by);
        if (event.pointerType === "mouse") this.timeline.scroller.scrollTop = scrolled + y0 - now.clientY;
      }
    };
    const drop = (now) => {
      if (now.pointerId !== event.pointerId) return;
      this.touches.delete(now.pointerId);
      this.timeline.canvas.removeEventListener("pointermove", follow);
      this.timeline.canvas.removeEventListener("pointerup", drop);
      this.timeline.canvas.removeEventListener("pointercancel", drop);
      if (!moved) this.choose(event);
    };
    this.timeline.canvas.addEventListener("pointermove", follow);
    this.timeline.canvas.addEventListener("pointerup", drop);
    this.timeline.canvas.addEventListener("pointercancel", drop);
  }

  pinch(now) {
    const [other] = [...this.touches].filter(([id]) => id !== now.pointerId).map(([, x]) => x);
    const before = Math.abs(this.touches.get(now.pointerId) - other);
    const after = Math.abs(now.clientX - other);
    this.touches.set(now.pointerId, now.clientX);
    const left = this.timeline.canvas.getBoundingClientRect().left;
    if (before > 10 && after > 10) this.timeline.view.zoom(before / after, this.timeline.at((now.clientX + other) / 2 - left));
  }

  rowAt(offset) {
    return this.timeline.rows.find((row) => offset >= row.y && offset < row.y + row.height + this.timeline.list.gap) ?? null;
  }

  /** A click keeps what is there in the panel; where that is no single hold or wait, it ends a selection. */
  choose(event) {
    const { timeline } = this;
    const row = this.rowAt(event.offsetY);
    const told = row && describe(row.lane, timeline.view.axis, timeline.at(event.offsetX), timeline.view.span / timeline.width / 2);
    if (row) timeline.current = row.lane.thread;
    if (row?.lane.members) timeline.list.toggleGroup(row.lane.thread);
    timeline.panel.lock(told?.item ?? null);
    if (!told?.item) timeline.selection.select(null);
  }

  hover(event) {
    if (event.buttons && event.pointerType === "mouse") return;
    const row = this.rowAt(event.offsetY);
    if (!row) {
      this.leave();
      return;
    }
    this.showTip(row, this.timeline.at(event.offsetX), event.offsetX, event.offsetY);
  }

  showTip(row, at, left, top) {
    const told = describe(row.lane, this.timeline.view.axis, at, this.timeline.view.span / this.timeline.width / 2);
    this.pointer = { lane: row.lane, at, told };
    this.tip.replaceChildren(
      el("b", {}, told.title),
      el("p", {}, told.state === null ? null : el("i", { class: `swatch ${["held", "entering", "busy", "retried"][told.state]}` }), told.words),
      el("dl", {}, told.facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
    );
    this.tip.hidden = false;
    const box = this.timeline.element.getBoundingClientRect();
    const over = this.timeline.canvas.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.tip;
    const x = Math.min(over.left - box.left + left + 16, box.width - offsetWidth - 4);
    const below = over.top + top + 18 + offsetHeight < window.innerHeight;
    this.tip.style.left = `${Math.max(0, x)}px`;
    this.tip.style.top = `${over.top - box.top + top + (below ? 18 : -offsetHeight - 12)}px`;
    this.timeline.changed();
    return told;
  }

  leave() {
    this.tip.hidden = true;
    if (!this.pointer) return;
    this.pointer = null;
    this.timeline.changed();
  }

  currentRow() {
    return this.timeline.list.rows().find(({ lane }) => lane.thread === this.timeline.current) ?? null;
  }

  /** Steps to the next span of the current lane, or the one before, and tells of it. */
  step(by) {
    const row = this.currentRow();
    if (!row || row.lane.members || !this.timeline.model.exact(...this.timeline.clocks())) return;
    const { axis } = this.timeline.view;
    const places = [row.lane.heldSpans(axis), row.lane.waitSpans(axis)].flatMap(({ begin, end }) => {
      const now = this.pointer?.lane === row.lane ? this.pointer.told.begin ?? this.pointer.at : by > 0 ? this.timeline.view.from - 1 : this.timeline.view.to;
      const [, after] = within(begin, -1, now);
      const [before] = within(begin, now, Infinity);
      const i = by > 0 ? after : before - 1;
      return i >= 0 && i < begin.length ? [(begin[i] + end[i]) / 2] : [];
    });
    if (!places.length) return;
    const at = by > 0 ? Math.min(...places) : Math.max(...places);
    if (at < this.timeline.view.from || at > this.timeline.view.to) this.timeline.view.set(at - this.timeline.view.span / 2, at + this.timeline.view.span / 2);
    this.timeline.reveal(row.lane.thread);
    this.timeline.draw();
    const placed = this.timeline.rows.find((each) => each.lane === row.lane);
    if (!placed) return;
    const told = this.showTip(placed, at, this.timeline.x(at), placed.y + placed.height);
    this.timeline.announce([told.title, told.words, ...told.facts.map((fact) => fact.join(" "))].join(", "));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.timeline.scroller) return;
    const { view } = this.timeline;
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
      Home: () => view.set(view.begin, view.begin + view.span),
      End: () => view.set(view.begin + view.extent - view.span, view.begin + view.extent),
      0: () => view.reset(),
      n: () => this.timeline.nextFinding(event.shiftKey ? -1 : 1),
      "[": () => this.step(-1),
      "]": () => this.step(1),
      p: () => this.toggleCurrent("pinned"),
      c: () => this.toggleCurrent("folded"),
      f: () => this.timeline.selection.stretch && view.set(...this.timeline.selection.stretch),
      m: () => this.timeline.selection.select([view.from, view.to]),
      Enter: () => this.pointer?.told.item && this.timeline.panel.goTo(this.pointer.told.item),
      e: () => this.timeline.notes.write(this.pointer?.at ?? (view.from + view.to) / 2, this.pointer?.lane.thread ?? this.timeline.current),
      x: () => this.timeline.toggleArrows(),
      Escape: () => { this.timeline.panel.lock(null); this.timeline.selection.select(null); this.timeline.marked = null; this.leave(); this.timeline.changed(); },
    };
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    act();
    event.preventDefault();
  }

  move(by) {
    const rows = this.timeline.list.rows();
    const place = rows.findIndex(({ lane }) => lane.thread === this.timeline.current);
    const lane = rows[Math.min(rows.length - 1, Math.max(0, place + by))]?.lane;
    if (!lane) return;
    this.timeline.reveal(lane.thread);
    this.timeline.announce(`${lane.info.label}: held ${percent(lane.info.held / (this.timeline.model.duration || 1))}, waited ${percent(lane.info.waited / (this.timeline.model.duration || 1))}`);
    this.timeline.changed();
  }

  toggleCurrent(which) {
    const { list, current } = this.timeline;
    const group = which === "folded" && (current < 0 || (list.groupOf(current) && list.unfolded.has(list.groupOf(current).thread))) ? list.toggleGroup(current) : null;
    if (group) this.timeline.current = list.unfolded.has(group.thread) ? group.members[0].thread : group.thread;
    else if (current >= 0) list.toggle(which, current);
    this.timeline.changed();
  }
}
