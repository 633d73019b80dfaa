// Where a trace is too large to have each hold and wait: about who waited for whom, from what each did in every bin.

import { lowerBound } from "./bins.js";
import { NOBODY, Turns } from "./steps.js";

const MOST = 1024; // threads

/**
 * What each thread waited in the bins from one clock to another, shared out among those who held the GIL in the same bin:
 * a Map of Maps of durations by thread and holder. Null once `cancelled()`, or where there are too many threads.
 */
export async function aboutBlame(model, from, to, cancelled) {
  const { lanes, width } = model;
  if (lanes.length > MOST) return null;
  const [first, last] = [Math.max(0, Math.round(from / width)), Math.max(Math.round(from / width) + 1, Math.round(to / width))];
  const at = lanes.map(({ cells }) => lowerBound(cells.bin, first));
  const sums = new Float64Array(lanes.length * (lanes.length + 1)); // the last of each row is nobody's
  const turns = new Turns();
  for (let bin = first; bin < last; bin++) {
    const [held, waiting] = [[], []];
    let all = 0;
    lanes.forEach(({ cells }, thread) => {
      if (cells.bin[at[thread]] !== bin) return;
      const i = at[thread]++;
      const waited = cells.entering[i] + cells.busy[i] + cells.retried[i];
      if (cells.held[i] > 0) held.push([thread, cells.held[i]]);
      if (waited > 0) waiting.push([thread, waited, cells.held[i]]);
      all += cells.held[i];
    });
    for (const [thread, waited, own] of waiting) {
      const room = Math.max(width, all) - own; // in which it can have waited
      const row = thread * (lanes.length + 1);
      let left = waited;
      for (const [holder, length] of held) {
        if (holder === thread) continue;
        const part = (waited * length) / room;
        sums[row + holder] += part;
        left -= part;
      }
      sums[row + lanes.length] += Math.max(0, left);
    }
    if (turns.due(waiting.length * held.length + lanes.length)) {
      await turns.end();
      if (cancelled()) return null;
    }
  }
  if (cancelled()) return null;
  const blame = new Map();
  for (let i = 0; i < sums.length; i++) {
    if (sums[i] < 1) continue;
    const [thread, holder] = [Math.floor(i / (lanes.length + 1)), i % (lanes.length + 1)];
    if (!blame.has(thread)) blame.set(thread, new Map());
    blame.get(thread).set(holder === lanes.length ? NOBODY : holder, sums[i]);
    if (!turns.due(1)) continue;
    await turns.end();
    if (cancelled()) return null;
  }
  return blame;
}
