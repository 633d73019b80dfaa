// Why a thread waited in each step of a wait, behind whom and at which lines: docs/analyses.md has the rules.

import { lowerBound } from "./bins.js";
import { AFTER_CHECK, BATTLE, CONVOY, LONG, PREEMPTED } from "./model.js";

const LOOK = 2000; // steps between two looks at the time
const BUSY = 25; // ms, after which the page gets to do something else
export const NOBODY = -1;

/** The samples of all holds, in order: what a BUSY or RETRY told of the holder's stack. */
function samplesOf(model) {
  return model.kept("samples", () => {
    const all = { seq: [], clock: [], stack: [] };
    const put = (seq, clock, stack) => {
      if (!stack) return;
      all.seq.push(seq);
      all.clock.push(clock);
      all.stack.push(stack);
    };
    for (const { waits, retries } of model.lanes) {
      for (let i = 0; i < waits.rows; i++) put(waits.startSeq[i] + waits.busyEvents[i], waits.start[i] + waits.busy[i], waits.sample[i]);
      for (let i = 0; i < retries.rows; i++) put(retries.startSeq[i], retries.start[i], retries.sample[i]);
    }
    const order = model.inOrder(all.seq);
    return Object.fromEntries(Object.entries(all).map(([name, values]) => [name, Float64Array.from(order, (i) => values[i])]));
  });
}

/** The holder's stacks between two clocks of a hold: `take(stack, length)` for each, 0 and below being unknown. */
export function stacksIn(model, { lane, row }, from, to, take) {
  const { holds } = lane;
  const { seq, clock, stack } = samplesOf(model);
  const last = holds.events[row] < 0 ? Infinity : holds.startSeq[row] + holds.events[row];
  const first = lowerBound(seq, holds.startSeq[row]);
  let [i, at] = [first, from];
  if (first >= seq.length || seq[first] > last) {
    take(holds.stack[row], to - from);
    return;
  }
  while (at < to) {
    while (i + 1 < seq.length && seq[i + 1] <= last && clock[i + 1] <= at) i++;
    const until = i + 1 < seq.length && seq[i + 1] <= last ? Math.min(to, clock[i + 1]) : to;
    take(stack[i], until - at);
    at = until;
  }
}

/** Why a wait's steps in a hold were waited: a place among the causes in the order in which they are tried. */
function causeOf(wait, hold) {
  if (hold & PREEMPTED) return 1;
  if (wait & BATTLE) return 2;
  if (hold & LONG) return 3;
  if (wait & CONVOY) return 4;
  return wait & AFTER_CHECK ? 5 : 6;
}

/** Each wait of a lane, contended or not: `{begin, end, flags, stack, row}`; a row of -1 has none in the lane's table. */
export function allWaits(lane) {
  return lane.kept("all waits", () => {
    const { waits, holds } = lane;
    const all = [];
    for (let i = 0; i < waits.rows; i++) all.push({ begin: waits.start[i], end: waits.start[i] + waits.length[i], flags: waits.flags[i], stack: waits.stack[i], row: i });
    for (let i = 0; i < holds.rows; i++) {
      if (holds.asked[i] > 0) all.push({ begin: holds.start[i] - holds.asked[i], end: holds.start[i], flags: holds.flags[i] & AFTER_CHECK, stack: 0, row: -1 });
    }
    return all.sort((a, b) => a.begin - b.begin);
  });
}

/**
 * The steps of a wait between two clocks: `take(cause, holder, stack, length)`; the cause is a place among the trace's
 * causes, the holder a thread or NOBODY.
 */
export function stepsOf(model, wait, from, to, take) {
  const holds = model.allHolds();
  const { tried } = model.about.causes;
  const [begin, end] = [Math.max(wait.begin, from), Math.min(wait.end, to)];
  let free = end - begin;
  let steps = 1;
  for (let h = lowerBound(holds.end, begin); h < holds.begin.length && holds.begin[h] < end; h++, steps++) {
    const [first, last] = [Math.max(holds.begin[h], begin), Math.min(holds.end[h], end)];
    if (last <= first) continue;
    const lane = model.lanes[holds.lane[h]];
    const cause = tried[causeOf(wait.flags, lane.holds.flags[holds.row[h]])];
    free -= last - first;
    if (model.about.lines) stacksIn(model, { lane, row: holds.row[h] }, first, last, (stack, length) => take(cause, lane.thread, Math.max(0, stack), length));
    else take(cause, lane.thread, 0, last - first);
  }
  if (free > 0) take(tried[0], NOBODY, 0, free);
  return steps;
}

function add(sums, key, length) {
  sums.set(key, (sums.get(key) ?? 0) + length);
}

/** Gives the page a chance to do something else, where it has not had one for long. */
export class Turns {
  constructor() {
    this.began = performance.now();
    this.steps = 0;
  }

  due(steps) {
    this.steps += steps;
    if (this.steps < LOOK) return false;
    this.steps = 0;
    return performance.now() - this.began > BUSY;
  }

  async end() {
    await new Promise((done) => { setTimeout(done, 0); });
    this.began = performance.now();
  }
}

/**
 * What all threads waited between two clocks: sums by thread, holder and cause, by the stacks of both, and by their lines.
 * Null once `cancelled()`.
 */
export async function waitedIn(model, from, to, cancelled) {
  const sums = { byHolder: new Map(), holderStacks: new Map(), waiterStacks: new Map(), lines: new Map(), whole: 0, held: 0 };
  const turns = new Turns();
  const line = lineNumbers(model);
  for (const lane of model.lanes) {
    const waits = allWaits(lane);
    for (let i = firstReaching(waits, from); i < waits.length && waits[i].begin < to; i++) {
      const wait = waits[i];
      if (wait.end <= from) continue;
      const steps = stepsOf(model, wait, from, to, (place, holder, stack, length) => {
        add(sums.byHolder, `${lane.thread} ${holder} ${place}`, length);
        sums.whole += length;
        if (holder === NOBODY) return;
        sums.held += length;
        add(sums.holderStacks, stack, length);
        add(sums.waiterStacks, Math.max(0, wait.stack), length);
        const key = `${line(stack)} ${line(wait.stack)} ${place}`;
        const row = sums.lines.get(key) ?? { length: 0, waits: 0 };
        row.length += length;
        if (row.wait !== wait) row.waits += 1;
        row.wait = wait;
        sums.lines.set(key, row);
      });
      if (turns.due(steps)) {
        await turns.end();
        if (cancelled()) return null;
      }
    }
  }
  return cancelled() ? null : sums;
}

/** Waits of one thread do not overlap, but for those of a faulty trace. */
function firstReaching(waits, from) {
  let [begin, end] = [0, waits.length];
  while (begin < end) {
    const middle = (begin + end) >> 1;
    if (waits[middle].end < from) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

/** A number for the line of each stack, the same for the same function, file and line; 0 is unknown. */
function lineNumbers(model) {
  const stacks = model.about.lines?.stacks ?? [];
  const numbers = model.kept("lines", () => {
    const known = new Map();
    return stacks.map(([, ...line]) => {
      const key = line.join(" ");
      if (!known.has(key)) known.set(key, known.size + 1);
      return known.get(key);
    });
  });
  return (stack) => (stack > 0 ? numbers[stack - 1] : 0);
}

/** The sums as the bar of causes takes them: durations by thread and cause, and by cause and holder. */
export function asCauses(model, { byHolder }) {
  const [threads, holders] = [new Map(), new Map()];
  for (const [key, length] of byHolder) {
    const [thread, holder, cause] = key.split(" ");
    add(threads, `${thread} ${cause}`, length);
    add(holders, `${cause} ${holder}`, length);
  }
  const rows = (map) => [...map].map(([key, length]) => [...key.split(" ").map(Number), length]);
  return { words: model.about.causes.words, threads: rows(threads), holders: rows(holders) };
}

/** The sums by line and by stack, as the table of lines and the flame graph take them; null where no stack is known. */
export function asLines(model, { holderStacks, waiterStacks, lines, held }) {
  const { about } = model;
  if (!about.lines || !held) return null;
  const { stacks, functions, files } = about.lines;
  const line = lineNumbers(model);
  const named = new Map([[0, null]]);
  stacks.forEach(([, name, file, at], i) => named.set(line(i + 1), [functions[name], `${files[file]}:${at}`]));
  const rows = [...lines].map(([key, { length, waits }]) => {
    const [holder, waiter, cause] = key.split(" ").map(Number);
    return [named.get(holder), named.get(waiter), about.causes.words[cause].label, length, waits];
  });
  const known = rows.reduce((all, [holder, , , length]) => all + (holder ? length : 0), 0);
  return {
    whole: held,
    flames: { holder: framesOf(stacks, holderStacks), waiter: framesOf(stacks, waiterStacks) },
    functions,
    files,
    rows: rows.sort((a, b) => b[3] - a[3]),
    known: known / held,
  };
}

/** A tree of frames, callers first, the costliest first among those of one caller; the unknown stack's last. */
function framesOf(stacks, sums) {
  const own = new Float64Array(stacks.length);
  for (const [stack, length] of sums) if (stack > 0) own[stack - 1] += length;
  const total = own.slice();
  const called = new Map();
  for (let i = stacks.length - 1; i >= 0; i--) {
    const [caller] = stacks[i];
    if (caller >= 0) total[caller] += total[i];
    if (total[i] > 0) called.set(caller, [...(called.get(caller) ?? []), i]);
  }
  const frames = [];
  const waiting = [[-1, -1]];
  while (waiting.length) {
    const [stack, caller] = waiting.pop();
    const place = stack < 0 ? -1 : frames.push([caller, ...stacks[stack].slice(1), total[stack], own[stack]]) - 1;
    const below = (called.get(stack) ?? []).sort((a, b) => total[a] - total[b]);
    for (const each of below) waiting.push([each, place]);
  }
  const unknown = sums.get(0);
  return unknown ? [...frames, [-1, -1, -1, 0, unknown, unknown]] : frames;
}

/** A stack's frames as words, the innermost first. */
export function framesIn(model, stack) {
  const { stacks, functions, files } = model.about.lines ?? { stacks: [] };
  const frames = [];
  for (let i = stack - 1; i >= 0; [i] = stacks[i]) frames.push(`${functions[stacks[i][1]]} (${files[stacks[i][2]].split("/").at(-1)}:${stacks[i][3]})`);
  return frames;
}
