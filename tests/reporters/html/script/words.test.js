import assert from "node:assert/strict";
import { test } from "node:test";

import { axisTicks, duration, niceStep, shellQuote, short } from "../../../../tracekit/reporters/html/script/words.js";
import { fixture } from "./fixture.js";

const { durations } = fixture();

test("durations read as in Python", { skip: !durations }, () => {
  assert.ok(durations.length > 20);
  for (const [value, unit, text] of durations) assert.equal(duration(value, unit), text);
});

test("steps", () => {
  assert.deepEqual([0.3, 1, 1.2, 3, 7, 12, 4100].map(niceStep), [1, 1, 2, 5, 10, 20, 5000]);
});

test("an axis is marked at round places within it", () => {
  const { base, ticks } = axisTicks(0, 5e6, "ns", 6);
  assert.equal(base, "");
  assert.deepEqual(ticks.map(({ text }) => text), ["0", "1 ms", "2 ms", "3 ms", "4 ms", "5 ms"]);
  assert.deepEqual(axisTicks(150, 450, "ticks", 4).ticks.map(({ at }) => at), [200, 300, 400]);
});

test("marks that would be long count from a base", () => {
  const { base, ticks } = axisTicks(12_345_678_901, 12_345_678_921, "ns", 4);
  assert.match(base, /s$/);
  assert.deepEqual(ticks.map(({ text }) => text), ["+0", "+5 ns", "+10 ns", "+15 ns"]);
});

test("long names are cut", () => {
  assert.equal(short("abcdef", 6), "abcdef");
  assert.equal(short("abcdefg", 6), "abcde…");
});

test("a name cannot leave its place on a command line", () => {
  assert.equal(shellQuote("select * from waits where thread = 't2'"), `"select * from waits where thread = 't2'"`);
  assert.equal(shellQuote("thread = '$(reboot)'"), String.raw`'thread = '\''$(reboot)'\'''`);
});
