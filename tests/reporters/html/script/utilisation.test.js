import assert from "node:assert/strict";
import { test } from "node:test";

import { mostWaited, windowLengths } from "../../../../tracekit/reporters/html/script/utilisation.js";

/** The same by trying every window that begins at a whole number. */
function byTrying({ begin, end }, length, duration) {
  let most = 0;
  for (let at = 0; at + length <= duration; at++) {
    let sum = 0;
    for (let i = 0; i < begin.length; i++) sum += Math.max(0, Math.min(end[i], at + length) - Math.max(begin[i], at));
    most = Math.max(most, sum);
  }
  return most;
}

test("the worst window is found", () => {
  let state = 7;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  for (let round = 0; round < 200; round++) {
    const edges = Array.from({ length: 2 * (1 + random(6)) }, () => random(200)).sort((a, b) => a - b);
    const waits = { begin: edges.filter((_, i) => i % 2 === 0), end: edges.filter((_, i) => i % 2 === 1) };
    for (const length of [1, 7, 50, 200]) assert.equal(mostWaited(waits, length, 200), byTrying(waits, length, 200));
  }
});

test("windows fit into the trace, and are no shorter than four of its bins", () => {
  const lengths = windowLengths({ unit: "ns", whole: true, duration: 3e7, width: 1 });
  assert.equal(lengths[0], 1e6);
  assert.ok(lengths.at(-1) <= 3e7 && lengths.length > 5);
  assert.ok(windowLengths({ unit: "ns", whole: false, duration: 3e9, width: 1e6 })[0] >= 4e6);
  assert.deepEqual(windowLengths({ unit: "ns", whole: true, duration: 9e5, width: 1 }), []);
});
