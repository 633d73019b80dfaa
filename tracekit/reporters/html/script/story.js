// Who held the GIL while somebody waited, who waited during a hold, who woke whom: from single holds and waits.

import { lowerBound } from "./bins.js";
import { CLOCK, OPEN, ORDER } from "./model.js";

/** The holds during a stretch of the clock, in order: `{lane, row, overlap}`. */
export function holdersIn(model, from, to) {
  const { begin, end, lane, row } = model.allHolds();
  const found = [];
  for (let i = lowerBound(end, from); i < begin.length && begin[i] < to; i++) {
    const overlap = Math.min(end[i], to) - Math.max(begin[i], from);
    if (overlap > 0) found.push({ lane: model.lanes[lane[i]], row: row[i], overlap, begin: Math.max(begin[i], from), end: Math.min(end[i], to) });
  }
  return found;
}

/** The contended waits that pass through a hold, the longest in it first: `{lane, row, overlap}`. */
export function waitersIn(model, from, to) {
  const found = model.lanes.flatMap((lane) => waitsIn(lane, from, to)).map((wait) => {
    const [begin, end] = clockOf(wait);
    return { ...wait, overlap: Math.min(end, to) - Math.max(begin, from) };
  });
  return found.sort((a, b) => b.overlap - a.overlap);
}

/** The contended waits of a lane in a stretch of the clock. */
export function waitsIn(lane, from, to) {
  const { start, length, rows } = lane.waits;
  const found = [];
  for (let row = Math.max(0, lowerBound(start, from) - 1); row < rows && start[row] < to; row++) {
    if (start[row] + length[row] > from) found.push({ lane, table: "waits", row });
  }
  return found;
}

/** The hold whose RELEASE came last before an event, of another thread: it woke the waiter. */
export function wakerOf(model, lane, seq) {
  let best = null;
  for (const other of model.lanes) {
    if (other === lane) continue;
    const row = lowerBound(other.heldSpans(ORDER).end, seq) - 1;
    if (row < 0 || other.holds.flags[row] & OPEN) continue;
    const at = other.heldSpans(ORDER).end[row];
    if (!best || at > best.at) best = { lane: other, row, at };
  }
  return best;
}

/** The hold that begins first after an event. */
export function holderAfter(model, seq) {
  let best = null;
  for (const lane of model.lanes) {
    const row = lowerBound(lane.holds.startSeq, seq);
    if (row < lane.holds.rows && (!best || lane.holds.startSeq[row] < best.at)) best = { lane, row, at: lane.holds.startSeq[row] };
  }
  return best;
}

/** A row of a lane's table as a link keeps it, and back; null where there is no such row. */
export function writeRow({ lane, table, row }) {
  return `${lane.thread}.${table[0]}.${lane[table].startSeq[row]}`;
}

export function readRow(model, text) {
  const [thread, letter, seq] = (text ?? "").split(".");
  const lane = /^\d+$/.test(thread ?? "") ? model.lanes[Number(thread)] : null;
  const table = { h: "holds", w: "waits" }[letter];
  if (!lane || !table) return null;
  const row = lowerBound(lane[table].startSeq, Number(seq));
  return lane[table].startSeq[row] === Number(seq) ? { lane, table, row } : null;
}

/** Where a hold or wait lies on an axis. */
export function placeOf({ lane, table, row }, axis) {
  if (table === "waits") {
    const { start, stop } = lane.wait(row, axis);
    return [start, stop];
  }
  const spans = lane.heldSpans(axis);
  return [spans.begin[row], spans.end[row]];
}

export function clockOf(item) {
  return placeOf(item, CLOCK);
}
