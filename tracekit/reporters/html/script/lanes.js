// Which lanes are shown, in which order and how tall.

export const ORDERS = {
  seen: ["first seen", (a, b) => a.thread - b.thread],
  waited: ["most waited", (a, b) => b.info.waited - a.info.waited],
  held: ["most held", (a, b) => b.info.held - a.info.held],
  retries: ["most failed retries", (a, b) => b.info.failedRetries - a.info.failedRetries],
  name: ["name", (a, b) => a.info.label.localeCompare(b.info.label, "en", { numeric: true })],
};
const HEIGHTS = [3, 6, 10, 14, 20, 28, 40, 56, 76];
const FOLDED = 5;

function usualHeight(lanes) {
  return [[3, 56], [6, 40], [14, 28], [40, 20]].find(([most]) => lanes <= most)?.[1] ?? 14;
}

export class LaneList {
  constructor(lanes) {
    this.lanes = lanes;
    this.order = lanes.length > 8 ? "waited" : "seen";
    this.usual = { order: this.order, height: usualHeight(lanes.length) };
    this.filter = "";
    this.pinned = new Set();
    this.folded = new Set();
    this.height = this.usual.height;
    this.room = false;
  }

  /** The lanes from the top, pinned ones first: `{lane, top, height, pinned}`. */
  rows() {
    const wanted = this.filter.toLowerCase();
    const shown = this.lanes.filter((lane) => this.pinned.has(lane.thread) || lane.info.label.toLowerCase().includes(wanted));
    const sorted = shown.sort(ORDERS[this.order][1]);
    const rows = [];
    let top = 0;
    for (const pinned of [true, false]) {
      for (const lane of sorted) {
        if (this.pinned.has(lane.thread) !== pinned) continue;
        const height = this.folded.has(lane.thread) ? Math.min(FOLDED, this.height) : this.height;
        rows.push({ lane, top, height, pinned });
        top += height + this.gap;
      }
    }
    return rows;
  }

  /** Between two lanes; `room` where what happens between threads is drawn there. */
  get gap() {
    if (this.room && this.height >= 40) return 30;
    return this.height >= 20 ? 4 : this.height >= 10 ? 2 : this.height >= 6 ? 1 : 0;
  }

  taller(by) {
    const place = HEIGHTS.findIndex((height) => height >= this.height);
    this.height = HEIGHTS[Math.min(HEIGHTS.length - 1, Math.max(0, place + by))];
  }

  toggle(which, thread) {
    if (!this[which].delete(thread)) this[which].add(thread);
  }

  /** Folds the lanes that hardly held or waited; unfolds all if any is folded. */
  foldQuiet(duration) {
    if (this.folded.size) {
      this.folded.clear();
      return;
    }
    for (const { thread, info } of this.lanes) {
      if (info.held + info.waited < 0.01 * duration) this.folded.add(thread);
    }
  }

  /** What a link keeps; null where it is as usual. */
  get state() {
    return {
      sort: this.order === this.usual.order ? null : this.order,
      filter: this.filter || null,
      pin: [...this.pinned].join(".") || null,
      fold: [...this.folded].join(".") || null,
      height: this.height === this.usual.height ? null : this.height,
    };
  }

  restore({ sort, filter, pin, fold, height }) {
    if (Object.hasOwn(ORDERS, sort ?? "")) this.order = sort;
    this.filter = filter ?? "";
    this.pinned = this.threads(pin);
    this.folded = this.threads(fold);
    if (HEIGHTS.includes(Number(height))) this.height = Number(height);
  }

  threads(listed) {
    return new Set((listed ?? "").split(".").filter(Boolean).map(Number).filter((thread) => thread in this.lanes));
  }
}
