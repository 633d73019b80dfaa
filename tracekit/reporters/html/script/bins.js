// What a lane shows in each column of pixels: the share of each state. tracekit/figures/bins.py does the same.

export const HELD = 0;
export const ENTERING = 1;
export const BUSY = 2;
export const RETRIED = 3;
export const STATES = 4;

/**
 * Columns that share the stretch from `from` to `to`: `shares` has STATES numbers each, 0 to 1; `seen` has bit s set where
 * state s occurs at all, however short.
 */
export class Columns {
  constructor(length) {
    this.length = length;
    this.shares = new Float64Array(length * STATES);
    this.seen = new Uint8Array(length);
  }

  clear(begin = 0, end = this.length) {
    this.shares.fill(0, begin * STATES, end * STATES);
    this.seen.fill(0, begin, end);
  }
}

/** The first index whose value is at least `least`, in ascending values. */
export function lowerBound(values, least, begin = 0, end = values.length) {
  while (begin < end) {
    const middle = (begin + end) >> 1;
    if (values[middle] < least) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

function spread(columns, state, left, right, weight, first, last) {
  const { shares, seen } = columns;
  const from = Math.max(left, first);
  const to = Math.min(right, last);
  const begin = Math.min(Math.floor(from), last - 1);
  const end = Math.min(Math.max(Math.ceil(to), begin + 1), last);
  for (let column = begin; column < end; column++) {
    const part = Math.min(to, column + 1) - Math.max(from, column);
    if (part > 0) shares[column * STATES + state] += part * weight;
    seen[column] |= 1 << state;
  }
}

/**
 * Adds spans, `{begin, end, state}` with ascending begins and ends; `state` is an array or one for all. Only columns from
 * `first` up to `last` are touched.
 */
export function addSpans(columns, spans, from, to, first = 0, last = columns.length) {
  const { begin, end, state } = spans;
  const perUnit = columns.length / (to - from);
  const start = from + first / perUnit;
  const stop = from + last / perUnit;
  for (let i = lowerBound(end, start); i < begin.length && begin[i] < stop; i++) {
    const kind = typeof state === "number" ? state : state[i];
    spread(columns, kind, (begin[i] - from) * perUnit, (end[i] - from) * perUnit, 1, first, last);
  }
}

/** Adds cells, bins `width` wide that tell the time in each state; within a bin it counts as spread evenly. */
export function addCells(columns, cells, width, from, to, first = 0, last = columns.length) {
  const times = [cells.held, cells.entering, cells.busy, cells.retried];
  const perUnit = columns.length / (to - from);
  const stop = from + last / perUnit;
  for (let i = lowerBound(cells.bin, Math.floor((from + first / perUnit) / width)); i < cells.rows; i++) {
    const begin = cells.bin[i] * width;
    if (begin >= stop) break;
    const left = (begin - from) * perUnit;
    const right = (begin + width - from) * perUnit;
    if (right <= first) continue;
    for (let state = 0; state < STATES; state++) {
      if (times[state][i] > 0) spread(columns, state, left, right, times[state][i] / width, first, last);
    }
  }
}
