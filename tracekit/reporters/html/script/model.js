// A trace as the timeline draws it: of each thread its holds, waits and retries, on the clock and in the events' order.

import { BUSY, ENTERING, HELD, RETRIED, lowerBound } from "./bins.js";
import { byThread, unpack } from "./columns.js";

export const OPEN = 1;
export const TRUNCATED = 2;
export const AFTER_CHECK = 4; // of a wait, or of the one before a hold: its thread had been made to let go
export const BATTLE = 8; // of a wait
export const CONVOY = 16;
export const LONG = 8; // of a hold
export const PREEMPTED = 16;
export const CLOCK = "clock";
export const ORDER = "order";

/** One thread. Its rows do not overlap among holds, nor among waits, so begins and ends both ascend. */
export class Lane {
  constructor(thread, info, rows, trace) {
    this.thread = thread;
    this.info = info;
    this.trace = trace;
    Object.assign(this, rows);
    this.made = new Map();
  }

  /** Holds as spans on this axis. */
  heldSpans(axis) {
    return this.kept(`held ${axis}`, () => {
      const { rows, start, length, startSeq, events } = this.holds;
      const begin = axis === CLOCK ? start : startSeq;
      const end = new Float64Array(rows);
      for (let i = 0; i < rows; i++) end[i] = axis === CLOCK ? start[i] + length[i] : this.endSeq(startSeq[i], events[i]);
      return { begin, end, state: HELD };
    });
  }

  /**
   * Waits as spans on this axis, one for each state; `row` tells of which wait. Where it is -1 nobody was in the way: such
   * waits are known by their length alone, and have no place in the order of events.
   */
  waitSpans(axis) {
    return this.kept(`wait ${axis}`, () => {
      const spans = { begin: [], end: [], state: [], row: [] };
      const add = (begin, end, state, row) => {
        if (end < begin || (end === begin && state === ENTERING)) return;
        spans.begin.push(begin);
        spans.end.push(end);
        spans.state.push(state);
        spans.row.push(row);
      };
      const { holds, waits } = this;
      let next = 0;
      const uncontended = (until) => {
        for (; next < holds.rows && holds.startSeq[next] < until; next++) {
          if (axis === CLOCK && holds.asked[next] > 0) add(holds.start[next] - holds.asked[next], holds.start[next], ENTERING, -1);
        }
      };
      for (let i = 0; i < waits.rows; i++) {
        uncontended(waits.startSeq[i]);
        const { start, busy, retry, stop } = this.wait(i, axis);
        add(start, busy, ENTERING, i);
        add(busy, retry ?? stop, BUSY, i);
        if (retry !== null) add(retry, stop, RETRIED, i);
      }
      uncontended(Infinity);
      return {
        begin: Float64Array.from(spans.begin),
        end: Float64Array.from(spans.end),
        state: Uint8Array.from(spans.state),
        row: Int32Array.from(spans.row),
      };
    });
  }

  /** The waits on the clock, each whole: begins, ends and lengths; contended ones and those that found the GIL free. */
  wholeWaits() {
    return this.kept("whole waits", () => {
      const waits = [];
      const { start, length } = this.waits;
      for (let i = 0; i < this.waits.rows; i++) waits.push([start[i], length[i]]);
      const { asked } = this.holds;
      for (let i = 0; i < this.holds.rows; i++) if (asked[i] > 0) waits.push([this.holds.start[i] - asked[i], asked[i]]);
      waits.sort(([a], [b]) => a - b);
      return {
        begin: Float64Array.from(waits, ([begin]) => begin),
        end: Float64Array.from(waits, ([begin, taken]) => begin + taken),
        length: Float64Array.from(waits, ([, taken]) => taken),
      };
    });
  }

  /** Where on the axis a wait starts, is first refused, tries first in vain (null if it does not), and stops. */
  wait(i, axis) {
    const { start, startSeq, busy, busyEvents, retry, length, events } = this.waits;
    if (axis === CLOCK) {
      return {
        start: start[i],
        busy: start[i] + busy[i],
        retry: retry[i] < 0 ? null : start[i] + retry[i],
        stop: start[i] + length[i],
      };
    }
    const busySeq = startSeq[i] + busyEvents[i];
    return {
      start: startSeq[i],
      busy: busySeq,
      retry: retry[i] < 0 ? null : this.retries.startSeq[lowerBound(this.retries.startSeq, busySeq)],
      stop: this.endSeq(startSeq[i], events[i]),
    };
  }

  /** Clocks or seqs of the failed retries. */
  retryMarks(axis) {
    return axis === CLOCK ? this.retries.start : this.retries.startSeq;
  }

  /** Which of these spans is at this place of the axis, or -1. */
  static spanAt(spans, at) {
    const i = lowerBound(spans.end, at);
    return [i + 1, i].find((place) => place < spans.begin.length && spans.begin[place] <= at && at <= spans.end[place]) ?? -1;
  }

  endSeq(startSeq, events) {
    return events < 0 ? this.trace.events : startSeq + events;
  }

  kept(name, make) {
    if (!this.made.has(name)) this.made.set(name, make());
    return this.made.get(name);
  }
}

/** A trace of the page: what the report says of it (`about`) and its lanes. */
export class TraceModel {
  /** `offset`: when its clock began on the one that several processes share; else null. */
  constructor(about, tables, offset = null) {
    this.about = about;
    this.shared = offset !== null;
    this.offset = offset ?? 0;
    this.unit = about.unit;
    this.events = about.events;
    const { picture } = about;
    this.duration = picture.duration;
    this.width = picture.width;
    this.whole = picture.whole;
    this.windows = picture.windows;
    this.knots = picture.knots;
    this.made = new Map();
    const parts = Object.fromEntries(
      Object.entries(tables).map(([name, table]) => [name, byThread(table, about.threads.length)]),
    );
    this.lanes = about.threads.map((info, thread) => {
      const rows = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part[thread]]));
      return new Lane(thread, info, rows, this);
    });
  }

  static async decode(about, offset) {
    const packed = Object.entries(about.picture.tables);
    const tables = await Promise.all(packed.map(async ([name, table]) => [name, await unpack(table)]));
    return new TraceModel(about, Object.fromEntries(tables), offset);
  }

  kept(name, make) {
    if (!this.made.has(name)) this.made.set(name, make());
    return this.made.get(name);
  }

  /** The holds of all lanes on the clock, in order: one thread holds the GIL at a time. */
  allHolds() {
    return this.kept("holds", () => {
      const total = this.lanes.reduce((all, { holds }) => all + holds.rows, 0);
      const all = { begin: new Float64Array(total), end: new Float64Array(total), lane: new Int32Array(total), row: new Int32Array(total) };
      const seqs = new Float64Array(total);
      let at = 0;
      for (const { thread, holds: { start, length, startSeq, rows } } of this.lanes) {
        for (let row = 0; row < rows; row++, at++) {
          seqs[at] = startSeq[row];
          all.begin[at] = start[row];
          all.end[at] = start[row] + length[row];
          all.lane[at] = thread;
          all.row[at] = row;
        }
      }
      const order = this.inOrder(seqs);
      return Object.fromEntries(Object.entries(all).map(([name, values]) => [name, values.map((_, i) => values[order[i]])]));
    });
  }

  /** The places of these seqs in ascending order. Numbers are sorted far faster than what a function compares. */
  inOrder(seqs) {
    const places = 2 ** Math.ceil(Math.log2(seqs.length + 1));
    if (this.events * places > Number.MAX_SAFE_INTEGER) return Array.from(seqs, (_, i) => i).sort((a, b) => seqs[a] - seqs[b]);
    return Float64Array.from(seqs, (seq, i) => seq * places + i).sort().map((key) => key % places);
  }

  /** How far an axis reaches. */
  extent(axis) {
    return Math.max(1, axis === CLOCK ? this.duration : this.events);
  }

  /** Whether every hold and wait between these clocks is there, one by one. */
  exact(from, to) {
    return this.whole || this.windows.some(([begin, end]) => begin <= from && to <= end);
  }

  /** About the tick clock at a clock of a trace that has both, to a bin exact; null without. */
  ticksAt(clock) {
    return this.knots && interpolate(this.knots, clock, 0, 1);
  }
}

function interpolate(knots, value, from, to) {
  if (value <= knots[0][from]) return knots[0][to];
  if (value >= knots.at(-1)[from]) return knots.at(-1)[to];
  let low = 0;
  let high = knots.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (knots[middle][from] <= value) low = middle;
    else high = middle;
  }
  const [a, b] = [knots[low], knots[high]];
  const span = b[from] - a[from];
  return span > 0 ? a[to] + ((b[to] - a[to]) * (value - a[from])) / span : a[to];
}
