// Which part of a trace is shown, along which axis; linked timelines share one.

import { CLOCK, ORDER } from "./model.js";

const LEAST = { [CLOCK]: 10, [ORDER]: 8 };

export class View extends EventTarget {
  /** `begins`: where each axis begins, 0 unless others begin earlier. */
  constructor(extents, axis, begins = {}) {
    super();
    this.extents = extents;
    this.begins = begins;
    this.use(axis);
  }

  /** Shows the whole of this axis. */
  use(axis) {
    this.axis = axis;
    this.extent = this.extents[axis];
    this.begin = this.begins[axis] ?? 0;
    this.reset();
  }

  get span() {
    return this.to - this.from;
  }

  /** Shows this stretch, or the nearest one that there is. */
  set(from, to) {
    const span = Math.min(this.extent, Math.max(to - from, Math.min(this.extent, LEAST[this.axis])));
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(this.begin, middle - span / 2), this.begin + this.extent - span);
    this.to = this.from + span;
    this.dispatchEvent(new Event("change"));
  }

  pan(by) {
    this.set(this.from + by, this.to + by);
  }

  /** Shows `factor` times as much, `at` staying where it is. */
  zoom(factor, at = (this.from + this.to) / 2) {
    const span = Math.min(this.extent, Math.max(this.span * factor, Math.min(this.extent, LEAST[this.axis])));
    const from = at - ((at - this.from) / this.span) * span;
    this.set(from, from + span);
  }

  reset() {
    this.set(this.begin, this.begin + this.extent);
  }

  /** Shows a stretch with some room on both sides. */
  show(from, to) {
    const room = Math.max((to - from) * 0.15, LEAST[this.axis] / 2);
    this.set(from - room, to + room);
  }
}

const NUMBERS = new Set(["from", "to"]);

/** What a link to a spot says: `#from=…&to=…`, with a number behind each name from the second trace on. */
export function readFragment(fragment, place) {
  const said = {};
  const suffix = place ? String(place + 1) : "";
  for (const [name, value] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    if (!name.endsWith(suffix)) continue;
    const plain = suffix ? name.slice(0, -suffix.length) : name;
    if (/\d$/.test(plain)) continue;
    if (!NUMBERS.has(plain)) said[plain] = value;
    else if (value !== "" && Number.isFinite(Number(value))) said[plain] = Number(value);
  }
  return said;
}

export function writeFragment(states) {
  const all = new URLSearchParams();
  states.forEach((state, place) => {
    for (const [name, value] of Object.entries(state)) {
      if (value !== null && value !== "") all.set(place ? `${name}${place + 1}` : name, String(value));
    }
  });
  const text = all.toString();
  return text ? `#${text}` : "";
}
