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
const GROUP_HEIGHT = 56;

function usualHeight(lanes) {
  return [[3, 56], [6, 40], [14, 28], [40, 20]].find(([most]) => lanes <= most)?.[1] ?? 14;
}

const MANY = 24; // lanes, from which on those of one folded name are shown as one
const LEAST_GROUP = 4;

/** The lanes of one folded name, such as `worker-*`, as one lane of sums. */
export class Group {
  constructor(key, members, place) {
    this.key = key;
    this.members = members;
    this.thread = -2 - place; // no thread has it
    this.trace = members[0].trace;
    const sum = (name) => members.reduce((all, { info }) => all + info[name], 0);
    this.info = { label: `${key}: ${members.length} threads`, held: sum("held"), waited: sum("waited"), failedRetries: sum("failedRetries") };
  }

  /** The cells of all members, summed; made once. */
  get cells() {
    this.summed ??= this.sumCells();
    return this.summed;
  }

  sumCells() {
    const states = ["held", "entering", "busy", "retried"];
    const bins = Math.floor(this.trace.duration / this.trace.width) + 1;
    const seen = new Uint8Array(bins);
    const sums = states.map(() => new Float64Array(bins));
    for (const { cells } of this.members) {
      for (let i = 0; i < cells.rows; i++) seen[cells.bin[i]] = 1;
      states.forEach((state, place) => {
        const [sum, values] = [sums[place], cells[state]];
        for (let i = 0; i < cells.rows; i++) sum[cells.bin[i]] += values[i];
      });
    }
    const there = [...seen.keys()].filter((bin) => seen[bin]);
    const columns = states.map((state, place) => [state, Float64Array.from(there, (bin) => sums[place][bin])]);
    return { rows: there.length, bin: Float64Array.from(there), ...Object.fromEntries(columns) };
  }
}

function groupsOf(lanes) {
  const byName = new Map();
  for (const lane of lanes) {
    const key = (lane.info.name ?? lane.info.id).replace(/\d+/g, "*");
    byName.set(key, [...(byName.get(key) ?? []), lane]);
  }
  return [...byName].filter(([, members]) => members.length >= LEAST_GROUP).map(([key, members], i) => new Group(key, members, i));
}

export class LaneList {
  constructor(lanes) {
    this.lanes = lanes;
    this.order = lanes.length > 8 ? "waited" : "seen";
    this.usual = { order: this.order, height: usualHeight(lanes.length) };
    this.filter = "";
    this.pinned = new Set();
    this.folded = new Set();
    this.groups = lanes.length > MANY ? groupsOf(lanes) : [];
    this.unfolded = new Set(); // groups, by their numbers
    this.height = this.usual.height;
    this.room = false;
  }

  /** The lanes from the top, pinned ones first: `{lane, top, height, pinned}`. */
  rows() {
    const wanted = this.filter.toLowerCase();
    const hidden = new Set(wanted ? [] : this.foldedGroups.flatMap(({ members }) => members));
    const shown = this.lanes.filter((lane) => this.pinned.has(lane.thread) || (!hidden.has(lane) && lane.info.label.toLowerCase().includes(wanted)));
    const sorted = [...shown, ...(wanted ? [] : this.foldedGroups)].sort(ORDERS[this.order][1]);
    const rows = [];
    let top = 0;
    for (const pinned of [true, false]) {
      for (const lane of sorted) {
        if (this.pinned.has(lane.thread) !== pinned) continue;
        const height = lane.members ? Math.max(GROUP_HEIGHT, this.height) : this.folded.has(lane.thread) ? Math.min(FOLDED, this.height) : this.height;
        rows.push({ lane, top, height, pinned });
        top += height + this.gap;
      }
    }
    return rows;
  }

  get foldedGroups() {
    return this.groups.filter(({ thread }) => !this.unfolded.has(thread));
  }

  /** The group in which a thread's lane is, or null. */
  groupOf(thread) {
    return this.groups.find(({ members }) => members.some((lane) => lane.thread === thread)) ?? null;
  }

  /** Shows a group's lanes, or folds them again: of a group itself or of one of its members. */
  toggleGroup(thread) {
    const group = this.groups.find((each) => each.thread === thread) ?? this.groupOf(thread);
    if (group && !this.unfolded.delete(group.thread)) this.unfolded.add(group.thread);
    return group;
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
      unfold: [...this.unfolded].map((thread) => -2 - thread).join(".") || null,
      height: this.height === this.usual.height ? null : this.height,
    };
  }

  restore({ sort, filter, pin, fold, unfold, height }) {
    if (Object.hasOwn(ORDERS, sort ?? "")) this.order = sort;
    this.filter = filter ?? "";
    this.pinned = this.threads(pin);
    this.folded = this.threads(fold);
    const places = (unfold ?? "").split(".").filter(Boolean).map(Number);
    this.unfolded = new Set(this.groups.filter((_, place) => places.includes(place)).map(({ thread }) => thread));
    if (HEIGHTS.includes(Number(height))) this.height = Number(height);
  }

  threads(listed) {
    return new Set((listed ?? "").split(".").filter(Boolean).map(Number).filter((thread) => thread in this.lanes));
  }
}
