// Minimum utilisation: in windows of each length, the least share of the time in which a thread was not kept waiting.

const PER_DECADE = 4;
const SHOWN = 8; // threads, those that waited most
const SPAN = { ns: [1e6, 1e9], ticks: [1e3, 1e6] };

/** The lengths of windows that fit into the trace: 1 ms to 1 s, or 1,000 to 1,000,000 ticks. */
export function windowLengths(model) {
  const [first, last] = SPAN[model.unit];
  const least = model.whole ? first : Math.max(first, 4 * model.width);
  const lengths = [];
  for (let i = 0; i <= PER_DECADE * Math.log10(last / first); i++) lengths.push(first * 10 ** (i / PER_DECADE));
  return lengths.filter((length) => length >= least && length <= model.duration);
}

/** The longest time waited in any window of this length, of a thread whose waits begin and end there. */
export function mostWaited({ begin, end }, length, duration) {
  const sums = new Float64Array(begin.length + 1); // waited before each wait
  for (let i = 0; i < begin.length; i++) sums[i + 1] = sums[i] + end[i] - begin[i];
  const waitedUntil = (at, i) => sums[i] + (i < begin.length ? Math.max(0, Math.min(at, end[i]) - begin[i]) : 0); // i: the first that ends later
  let most = 0;
  // The worst window begins where a wait begins, or ends where one ends.
  for (const [edges, shift] of [[begin, 0], [end, length]]) {
    let [left, right] = [0, 0];
    for (const edge of edges) {
      const at = Math.max(0, Math.min(edge - shift, duration - length));
      while (left < end.length && end[left] <= at) left += 1;
      while (right < end.length && end[right] <= at + length) right += 1;
      most = Math.max(most, waitedUntil(at + length, right) - waitedUntil(at, left));
    }
  }
  return most;
}

/** The same from cells, which know only how much was waited in each bin: in whole bins inside the window. */
function mostInCells(cells, width, length, bins) {
  const sums = new Float64Array(bins + 1);
  for (let i = 0; i < cells.rows; i++) sums[cells.bin[i] + 1] = cells.entering[i] + cells.busy[i] + cells.retried[i];
  for (let i = 0; i < bins; i++) sums[i + 1] += sums[i];
  const wide = Math.floor(length / width);
  let most = 0;
  for (let i = wide; i <= bins; i++) most = Math.max(most, sums[i] - sums[i - wide]);
  return most;
}

/** `{lengths, rows: [{thread, shares}]}`, a share for each length; null where the trace is too short. */
export function utilisation(model) {
  const lengths = windowLengths(model);
  const lanes = [...model.lanes].filter(({ info }) => info.waited > 0).sort((a, b) => b.info.waited - a.info.waited).slice(0, SHOWN);
  if (!lengths.length || !lanes.length) return null;
  const bins = Math.floor(model.duration / model.width) + 1;
  const share = (lane, length) => {
    const waited = model.whole ? mostWaited(lane.wholeWaits(), length, model.duration) : mostInCells(lane.cells, model.width, length, bins);
    return Math.max(0, 1 - waited / length);
  };
  return { lengths, rows: lanes.map((lane) => ({ thread: lane.thread, shares: lengths.map((length) => share(lane, length)) })) };
}
