// What is drawn on top of the lanes when there is room: single events, who woke whom, the longest ones in view.

import { lowerBound } from "./bins.js";
import { CLOCK, ORDER, TRUNCATED } from "./model.js";
import { duration } from "./words.js";

const FONT = '10.5px ui-sans-serif, system-ui, sans-serif';
export const LABEL_ROOM = 40; // pixels an event, from which on events are named
const MARK_ROOM = 24; // pixels a mark, from which on marks are drawn one by one
const APART = 7; // pixels between two marks
const KINDS_WOKEN = new Set([1, 3]); // lost round, hand-over: somebody released before this retry

/** The indices of ascending `values` within [from, to], as `[begin, end)`. */
export function within(values, from, to) {
  const begin = lowerBound(values, from);
  let end = lowerBound(values, to, begin);
  while (end < values.length && values[end] <= to) end++;
  return [begin, end];
}

function roomy([begin, end], width) {
  return end - begin <= width / MARK_ROOM;
}

/** Ticks at RETRY, and at RELEASE: filled at a check, hollow around a blocking call. */
export function drawEvents(context, row, frame) {
  const { lane, y, height } = row;
  const { view, x, width, palette } = frame;
  if (height < 12) return;
  const held = lane.heldSpans(view.axis);
  const holds = within(held.end, view.from, view.to);
  if (roomy(holds, width)) {
    let last = -Infinity;
    for (let i = holds[0]; i < holds[1]; i++) {
      const at = x(held.end[i]);
      if (lane.holds.events[i] < 0 || at - last < APART) continue; // open, or no room for itself
      drawRelease(context, at, y, height, lane.holds.kind[i], palette);
      last = at;
    }
    context.fillStyle = palette.edge;
    const begins = within(held.begin, view.from, view.to);
    for (let i = begins[0]; i < begins[1]; i++) context.fillRect(Math.round(x(held.begin[i])), y, 1, height);
  }
  const marks = lane.retryMarks(view.axis);
  const retries = within(marks, view.from, view.to);
  if (roomy(retries, width)) {
    let last = -Infinity;
    for (let i = retries[0]; i < retries[1]; i++) {
      const at = x(marks[i]);
      if (at - last < APART) continue;
      drawRetry(context, at, y, height, palette);
      last = at;
    }
  }
}

function drawRelease(context, at, y, height, kind, palette) {
  const bottom = y + height;
  const size = Math.min(5, height / 4);
  context.strokeStyle = context.fillStyle = palette.release;
  context.lineWidth = 1.25;
  context.beginPath();
  if (kind === 1) {
    context.moveTo(at - size, bottom);
    context.lineTo(at + size, bottom);
    context.lineTo(at, bottom - 1.6 * size);
    context.closePath();
    context.fill();
  } else {
    context.arc(at, bottom - size, size * 0.8, 0, 7);
    context.fillStyle = palette.paper;
    context.fill();
    context.stroke();
  }
}

function drawRetry(context, at, y, height, palette) {
  const size = Math.min(5, height / 4);
  context.fillStyle = palette.retry;
  context.fillRect(at - 0.75, y, 1.5, height);
  context.beginPath();
  context.moveTo(at - size, y);
  context.lineTo(at + size, y);
  context.lineTo(at, y + 1.6 * size);
  context.closePath();
  context.fill();
}

/** Names of the events where each has the room, and lengths inside long blocks. */
export function drawLabels(context, row, frame) {
  const { lane, y, height } = row;
  const { view, x, width, palette } = frame;
  if (height < 18) return;
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillStyle = palette.ink;
  if (view.axis === ORDER) {
    if (!frame.names) return;
    const size = Math.min(11, (width / view.span) * 0.2);
    context.font = FONT.replace("10.5", size.toFixed(1));
    for (const [seq, name] of frame.names.get(lane)) {
      pill(context, x(seq) + 3, y + height / 2 - 8, context.measureText(name).width + 5, 16, palette.label);
      context.fillStyle = palette.ink;
      context.fillText(name, x(seq) + 5.5, y + height / 2);
    }
    return;
  }
  const held = lane.heldSpans(CLOCK);
  lengths(context, held, lane.holds.length, frame, lane.trace.unit, y + height / 2);
  const waits = lane.wholeWaits();
  lengths(context, waits, waits.length, frame, lane.trace.unit, y + height / 2);
}

/** How long each hold or wait took, all of it, where that is long enough on the screen to say so. */
function lengths(context, spans, taken, { view, x, width, palette }, unit, middle) {
  let i = lowerBound(spans.end, view.from);
  if (lowerBound(spans.begin, view.to) - i > 4 * width) return;
  for (; i < spans.begin.length && spans.begin[i] < view.to; i++) {
    const [left, right] = [Math.max(0, x(spans.begin[i])), Math.min(width, x(spans.end[i]))];
    if (right - left < 56) continue;
    const words = duration(taken[i], unit);
    const room = context.measureText(words).width + 10;
    if (room > right - left) continue;
    pill(context, (left + right - room) / 2, middle - 8, room, 16, palette.label);
    context.fillStyle = palette.ink;
    context.fillText(words, (left + right - room) / 2 + 5, middle);
  }
}

function pill(context, left, top, width, height, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, width, height, 4);
  context.fill();
}

/** Of each lane the seqs in view and the names of their events, as far as holds and waits tell them. */
export function eventNames(lanes, view) {
  const all = new Map(lanes.map((lane) => [lane, namesOf(lane, view)]));
  const taken = new Set([...all.values()].flatMap((names) => [...names.keys()]));
  for (const [lane, names] of all) {
    // The ENTRY of an uncontended wait stands between its thread's event before and its ACQUIRE: told where only one can be it.
    const { holds } = lane;
    const [first, last] = within(holds.startSeq, view.from, view.to);
    for (let i = first; i < last; i++) {
      if (holds.asked[i] < 0) continue;
      const free = [];
      for (let seq = holds.startSeq[i] - 1; seq >= view.from && !names.has(seq); seq--) if (!taken.has(seq)) free.push(seq);
      if (free.length === 1) names.set(free[0], "ENTRY");
    }
  }
  return all;
}

function namesOf(lane, view) {
  const names = new Map();
  const put = (seq, name) => seq >= view.from && seq <= view.to && names.set(seq, name);
  const held = lane.heldSpans(ORDER);
  for (let i = lowerBound(held.end, view.from); i < held.begin.length && held.begin[i] <= view.to; i++) {
    put(held.begin[i], "ACQUIRE");
    if (lane.holds.events[i] >= 0 && !(lane.holds.flags[i] & TRUNCATED)) put(held.end[i], "RELEASE");
  }
  const { waits } = lane;
  const around = Math.max(0, lowerBound(waits.startSeq, view.from) - 1);
  for (let i = around; i < waits.rows && waits.startSeq[i] <= view.to; i++) {
    if (!(waits.flags[i] & TRUNCATED)) put(waits.startSeq[i], "ENTRY");
    put(waits.startSeq[i] + waits.busyEvents[i], "BUSY");
  }
  const [first, last] = within(lane.retries.startSeq, view.from, view.to);
  for (let i = first; i < last; i++) put(lane.retries.startSeq[i], "RETRY");
  return names;
}

/** Curves from a RELEASE to the waiter it woke: to its RETRY if that came too late, to its ACQUIRE if not. */
export function drawSignals(context, rows, frame, named) {
  const { view, x, width, palette } = frame;
  const busy = rows.reduce((sum, { lane }) => {
    const [begin, end] = within(lane.heldSpans(view.axis).end, view.from, view.to);
    return sum + end - begin;
  }, 0);
  if (busy > (2 * width) / MARK_ROOM) return;
  const signals = [];
  for (const to of rows) {
    const { lane } = to;
    const marks = lane.retryMarks(view.axis);
    const range = within(marks, view.from, view.to);
    for (let i = range[0]; i < range[1]; i++) {
      if (!KINDS_WOKEN.has(lane.retries.kind[i])) continue;
      const release = releaseBefore(rows, lane, lane.retries.startSeq[i], view.axis);
      if (release) signals.push({ release, to, at: marks[i], colour: palette.retry, words: "signal: too late" });
    }
    const { waits } = lane;
    const spans = within(view.axis === CLOCK ? waits.start : waits.startSeq, view.from - view.span, view.to);
    for (let i = spans[0]; i < spans[1]; i++) {
      if (waits.events[i] < 0) continue;
      const { stop } = lane.wait(i, view.axis);
      if (stop < view.from || stop > view.to) continue;
      const release = releaseBefore(rows, lane, waits.startSeq[i] + waits.events[i], view.axis);
      if (release) signals.push({ release, to, at: stop, colour: palette.release, words: "signal" });
    }
  }
  context.lineWidth = 1.25;
  for (const { release, to, at, colour, words } of signals) {
    drawSignal(context, x(release.at), release.row, x(at), to, colour);
    if (!named || Math.abs(to.y - release.row.y) > 2 * to.height + 40) continue;
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "center";
    const middle = (x(release.at) + x(at)) / 2;
    const between = to.y > release.row.y ? to.y - 15 : to.y + to.height + 15;
    const room = context.measureText(words).width + 8;
    if (room > Math.abs(x(at) - x(release.at)) + 12) continue;
    pill(context, middle - room / 2, between - 7, room, 14, palette.paper);
    context.fillStyle = colour;
    context.fillText(words, middle, between);
  }
}

function releaseBefore(rows, lane, seq, axis) {
  let best = null;
  for (const row of rows) {
    if (row.lane === lane) continue;
    const ends = row.lane.heldSpans(ORDER).end;
    const i = lowerBound(ends, seq) - 1;
    if (i >= 0 && row.lane.holds.events[i] >= 0 && (!best || ends[i] > best.seq)) {
      best = { seq: ends[i], row, at: row.lane.heldSpans(axis).end[i] };
    }
  }
  return best;
}

function drawSignal(context, left, from, right, to, colour) {
  const down = to.y > from.y;
  const begin = down ? from.y + from.height : from.y;
  const end = down ? to.y : to.y + to.height;
  const bend = Math.max(14, Math.abs(end - begin) / 2);
  context.strokeStyle = context.fillStyle = colour;
  context.globalAlpha = 0.75;
  context.beginPath();
  context.moveTo(left, begin);
  context.bezierCurveTo(left, begin + (down ? bend : -bend), right, end - (down ? bend : -bend), right, end);
  context.stroke();
  context.beginPath();
  context.arc(right, end, 2.5, 0, 7);
  context.fill();
  context.globalAlpha = 1;
}

/** A flag on the longest wait or hold in view: it stays visible however far out one zooms. */
export function drawFlag(context, text, at, row, frame) {
  const { width, palette } = frame;
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const place = Math.min(Math.max(at, 0), width);
  context.fillStyle = palette.flag;
  context.beginPath();
  context.moveTo(place - 5, row.y - 4);
  context.lineTo(place + 5, row.y - 4);
  context.lineTo(place, row.y + 4);
  context.closePath();
  context.fill();
  if (row.height < 18) return;
  const room = context.measureText(text).width + 10;
  const left = Math.min(Math.max(place - room / 2, 2), width - room - 2);
  pill(context, left, row.y + 4, room, 15, palette.flag);
  context.fillStyle = palette.flagInk;
  context.fillText(text, left + 5, row.y + 12);
}

/** From a waiter's lane to its holder's: it ends in a head. */
export function drawArrow(context, at, from, to, colour) {
  const down = to.y > from.y;
  const begin = from.y + from.height / 2;
  const end = to.y + to.height / 2;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.25;
  context.globalAlpha = 0.85;
  context.beginPath();
  context.moveTo(at, begin);
  context.lineTo(at, end);
  context.stroke();
  context.beginPath();
  context.moveTo(at - 4, end + (down ? -6 : 6));
  context.lineTo(at + 4, end + (down ? -6 : 6));
  context.lineTo(at, end);
  context.closePath();
  context.fill();
  context.globalAlpha = 1;
}

/** A note's number in a flag, at its place in its lane. */
export function drawNote(context, number, at, row, palette) {
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const room = context.measureText(number).width + 10;
  context.fillStyle = palette.accent;
  context.fillRect(at - 0.75, row.y, 1.5, row.height);
  pill(context, at, row.y, room, 15, palette.accent);
  context.fillStyle = palette.paper;
  context.fillText(number, at + 5, row.y + 8);
}
