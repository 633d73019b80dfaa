// What stands under the pointer, in words.

import { BUSY, Columns, ENTERING, HELD, RETRIED, STATES, addCells, addSpans, lowerBound } from "./bins.js";
import { CLOCK, Lane, OPEN, TRUNCATED } from "./model.js";
import { count, duration, exact, integer, percent } from "./words.js";

const STATE_WORDS = {
  [HELD]: "holds the GIL",
  [ENTERING]: "wants the GIL",
  [BUSY]: "waits: it found the GIL taken",
  [RETRIED]: "waits: it tried again in vain",
};
export const STATE_NAMES = { [HELD]: "held", [ENTERING]: "entering", [BUSY]: "waiting", [RETRIED]: "tried in vain" };
const ENDS = ["a release of unknown kind", "a check", "a blocking call"];

/** The shares of each state in this stretch of a lane. */
export function sharesOf(lane, axis, from, to) {
  const columns = new Columns(1);
  fillColumns(columns, lane, axis, from, to);
  return columns.shares;
}

/** Fills columns with what is known best: single spans where they are all there, else cells. */
export function fillColumns(columns, lane, axis, from, to) {
  const { trace } = lane;
  const spans = (first, last) => {
    addSpans(columns, lane.heldSpans(axis), from, to, first, last);
    addSpans(columns, lane.waitSpans(axis), from, to, first, last);
  };
  if (trace.whole) {
    spans();
    return;
  }
  addCells(columns, lane.cells, trace.width, from, to);
  const perUnit = columns.length / (to - from);
  if (perUnit * trace.width <= 1) return; // a column is wider than a cell, and cells are exact
  for (const [begin, end] of trace.windows) {
    const first = Math.max(0, Math.ceil((begin - from) * perUnit));
    const last = Math.min(columns.length, Math.floor((end - from) * perUnit));
    if (last <= first) continue;
    columns.clear(first, last);
    spans(first, last);
  }
}

/**
 * The same for a group: in the lower half how much of the time one of its threads held the GIL, in the upper how much of
 * their time they waited, on average.
 */
export function fillGroup(columns, group, axis, from, to) {
  const { trace, members } = group;
  if (!trace.whole) addCells(columns, group.cells, trace.width, from, to);
  else {
    for (const lane of members) {
      addSpans(columns, lane.heldSpans(axis), from, to);
      addSpans(columns, lane.waitSpans(axis), from, to);
    }
  }
  const { shares } = columns;
  for (let i = 0; i < shares.length; i++) shares[i] *= i % STATES === HELD ? 0.5 : 0.5 / members.length;
}

function describeGroup(group, axis, from, to) {
  const [begin, end] = [Math.max(0, from), Math.min(group.trace.extent(axis), to)];
  const columns = new Columns(1);
  fillGroup(columns, group, axis, begin, end);
  const waited = 2 * (columns.shares[ENTERING] + columns.shares[BUSY] + columns.shares[RETRIED]);
  const facts = [["one of them held", percent(Math.min(1, 2 * columns.shares[HELD]))], ["each waited on average", percent(waited)]];
  if (axis === CLOCK) facts.push(["around", moment(group.trace, (begin + end) / 2)]);
  const stretch = axis === CLOCK ? duration(end - begin, group.trace.unit) : count(Math.round(end - begin), "event");
  return { title: group.info.label, state: null, words: `in these ${stretch}; a click unfolds them`, facts, begin: null, end: null };
}

/**
 * What a lane shows at a place, `reach` to either side: `{title, state, facts: [[name, text]], begin, end, item}`.
 * Begin and end are null where it is no single span; `item` is the hold or wait, where it is one.
 */
export function describe(lane, axis, at, reach) {
  if (lane.members) return describeGroup(lane, axis, at - reach, at + reach);
  const { trace } = lane;
  const single = trace.exact(axis === CLOCK ? at - reach : 0, axis === CLOCK ? at + reach : 0);
  if (!single || crowded(lane, axis, at, reach)) return describeStretch(lane, axis, at - reach, at + reach);
  const hold = Lane.spanAt(lane.heldSpans(axis), at);
  if (hold >= 0) return describeHold(lane, axis, hold);
  const waits = lane.waitSpans(axis);
  const wait = Lane.spanAt(waits, at);
  if (wait < 0) return describeOff(lane, axis, at);
  return waits.row[wait] >= 0 ? describeWait(lane, axis, waits.row[wait], at) : describeAsked(lane, waits, wait);
}

/** A wait that found the GIL free. */
function describeAsked(lane, waits, i) {
  const [begin, end] = [waits.begin[i], waits.end[i]];
  return {
    title: lane.info.label,
    state: ENTERING,
    words: "wants the GIL, and finds it free",
    facts: [["for", duration(end - begin, lane.trace.unit)], ["from", moment(lane.trace, begin)]],
    begin,
    end,
  };
}

function crowded(lane, axis, at, reach) {
  return [lane.heldSpans(axis), lane.waitSpans(axis)].some(
    ({ begin, end }) => lowerBound(begin, at + reach) - lowerBound(end, at - reach) > 2,
  );
}

function seqs(startSeq, events) {
  return events < 0 ? `${integer(startSeq)} to the end` : `${integer(startSeq)} – ${integer(startSeq + events)}`;
}

export function describeHold(lane, axis, i) {
  const { holds, trace } = lane;
  const flags = holds.flags[i];
  const spans = lane.heldSpans(axis);
  const end = flags & OPEN ? "the trace's end" : flags & TRUNCATED ? "another thread's ACQUIRE" : ENDS[holds.kind[i]];
  return {
    title: lane.info.label,
    state: HELD,
    words: STATE_WORDS[HELD],
    facts: [
      ["for", duration(holds.length[i], trace.unit)],
      ["from", moment(trace, holds.start[i])],
      ["ended by", end],
      ["events", seqs(holds.startSeq[i], holds.events[i])],
    ],
    begin: spans.begin[i],
    end: spans.end[i],
    item: { lane, table: "holds", row: i },
  };
}

export function describeWait(lane, axis, i, at) {
  const { waits, trace } = lane;
  const { start, busy, retry, stop } = lane.wait(i, axis);
  const state = retry !== null && at >= retry ? RETRIED : at >= busy ? BUSY : ENTERING;
  const facts = [
    ["for", duration(waits.length[i], trace.unit)],
    ["from", moment(trace, waits.start[i])],
  ];
  const holder = trace.lanes.find((other) => Lane.spanAt(other.heldSpans(axis), at) >= 0);
  facts.push(["while", holder ? `${holder.info.label} holds it` : "nobody holds it"]);
  facts.push(["failed retries", retryWords(waits, i)]);
  if (waits.rival[i] >= 0) {
    const rival = trace.lanes[waits.rival[i]].info.label;
    facts.push(["meanwhile", `${count(waits.passes[i], "ACQUIRE")} by others, most by ${rival}`]);
  }
  facts.push(["events", seqs(waits.startSeq[i], waits.events[i])]);
  if (waits.flags[i] & OPEN) facts.push(["", "still waiting when the trace ends"]);
  if (waits.flags[i] & TRUNCATED) facts.push(["", "it began before its thread's first row"]);
  return { title: lane.info.label, state, words: STATE_WORDS[state], facts, begin: start, end: stop, item: { lane, table: "waits", row: i } };
}

function retryWords(waits, i) {
  const parts = [];
  if (waits.lostRounds[i]) parts.push(count(waits.lostRounds[i], "lost round"));
  if (waits.timeouts[i]) parts.push(count(waits.timeouts[i], "timeout"));
  const total = integer(waits.failedRetries[i]);
  return parts.length ? `${total} (${parts.join(", ")})` : total;
}

function describeOff(lane, axis, at) {
  const spans = [lane.heldSpans(axis), lane.waitSpans(axis)];
  const before = Math.max(0, ...spans.map(({ begin, end }) => {
    const i = lowerBound(begin, at) - 1;
    return i >= 0 ? end[i] : 0;
  }));
  const after = Math.min(lane.trace.extent(axis), ...spans.map(({ begin }) => begin[lowerBound(begin, at)] ?? Infinity));
  const facts = axis === CLOCK ? [["for", duration(Math.max(0, after - before), lane.trace.unit)], ["from", moment(lane.trace, before)]] : [];
  return { title: lane.info.label, state: null, words: "neither has nor wants the GIL", facts, begin: before, end: after };
}

function describeStretch(lane, axis, from, to) {
  const { trace } = lane;
  const bin = trace.exact(from, to) || axis !== CLOCK ? null : trace.width; // nothing is known within a bin
  const [first, last] = bin ? [Math.floor(from / bin) * bin, Math.max(1, Math.ceil(to / bin)) * bin] : [from, to];
  const [begin, end] = [Math.max(0, first), Math.min(trace.extent(axis), last)];
  const shares = sharesOf(lane, axis, begin, end);
  const facts = [];
  for (let state = 0; state < STATES; state++) {
    if (shares[state] > 0) facts.push([STATE_NAMES[state], percent(Math.min(1, shares[state]))]);
  }
  const worst = longestWait(lane, axis, begin, end);
  if (worst) facts.push(["longest wait", duration(worst.length, trace.unit)]);
  const retries = retriesWithin(lane, axis, begin, end);
  if (retries) facts.push(["failed retries", integer(retries)]);
  if (axis === CLOCK) facts.push(["around", moment(trace, (begin + end) / 2)]);
  else facts.push(["events", `${integer(Math.round(begin))} – ${integer(Math.round(end))}`]);
  const stretch = axis === CLOCK ? duration(end - begin, trace.unit) : count(Math.round(end - begin), "event");
  const [state] = [RETRIED, BUSY, HELD, ENTERING].sort((a, b) => shares[b] - shares[a]);
  return {
    title: lane.info.label,
    state: shares[state] > 0 ? state : null,
    words: facts.length > 1 ? `in these ${stretch}` : `idle in these ${stretch}`,
    facts,
    begin: null,
    end: null,
  };
}

function retriesWithin(lane, axis, from, to) {
  if (lane.trace.whole) {
    const marks = lane.retryMarks(axis);
    return lowerBound(marks, to) - lowerBound(marks, from);
  }
  const { cells, trace } = lane;
  let sum = 0;
  for (let i = lowerBound(cells.bin, Math.floor(from / trace.width)); i < cells.rows && cells.bin[i] * trace.width < to; i++) {
    sum += cells.retries[i];
  }
  return sum;
}

/** The longest wait that reaches into a stretch: `{lane, length, begin, end}` on the axis, or null. */
export function longestWait(lane, axis, from, to) {
  return longest(lane, axis, from, to, "waits");
}

export function longestHold(lane, axis, from, to) {
  return longest(lane, axis, from, to, "holds");
}

function longest(lane, axis, from, to, table) {
  if (!lane.trace.exact(axis === CLOCK ? from : 0, axis === CLOCK ? to : 0)) return longestCell(lane, from, to, table);
  const spans = table === "holds" ? lane.heldSpans(axis) : lane.waitSpans(axis);
  let best = -1;
  let most = -1;
  for (let i = lowerBound(spans.end, from); i < spans.begin.length && spans.begin[i] <= to; i++) {
    const length = spanLength(lane, spans, i);
    if (length > most) [best, most] = [i, length];
  }
  if (best < 0) return null;
  const row = spans.row?.[best] ?? -1;
  const { start, stop } = row >= 0 ? lane.wait(row, axis) : { start: spans.begin[best], stop: spans.end[best] };
  return { lane, length: most, begin: start, end: stop };
}

/** How long the hold or wait of this span took, on the clock. */
function spanLength(lane, spans, i) {
  if (!spans.row) return lane.holds.length[i];
  return spans.row[i] < 0 ? spans.end[i] - spans.begin[i] : lane.waits.length[spans.row[i]];
}

function longestCell(lane, from, to, table) {
  const { cells, trace } = lane;
  const lengths = table === "holds" ? cells.longestHold : cells.longestWait;
  let best = -1;
  for (let i = lowerBound(cells.bin, Math.floor(from / trace.width)); i < cells.rows && cells.bin[i] * trace.width <= to; i++) {
    if (lengths[i] > 0 && (best < 0 || lengths[i] > lengths[best])) best = i;
  }
  if (best < 0) return null;
  // Cells tell how long it was and where it passed, so its last cell in a row is the best guess at its end.
  let last = best;
  while (last + 1 < cells.rows && cells.bin[last + 1] === cells.bin[last] + 1 && lengths[last + 1] === lengths[best]) last++;
  const begin = cells.bin[best] * trace.width;
  return { lane, length: lengths[best], begin, end: Math.min((cells.bin[last] + 1) * trace.width, trace.duration) };
}

/** A clock, and the tick clock where there are both. */
export function moment(trace, clock) {
  const step = Math.max(1, trace.duration / 1e6);
  const ticks = trace.ticksAt(clock);
  const text = exact(clock + trace.offset, trace.unit === "ns" ? Math.min(1000, step) : 1, trace.unit, clock + trace.offset);
  return ticks === null ? text : `${text} (about tick ${integer(Math.round(ticks))})`;
}
