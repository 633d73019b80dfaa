import assert from "node:assert/strict";
import { test } from "node:test";

import { BUSY, Columns, HELD, RETRIED, addSpans } from "../../../../tracekit/reporters/html/script/bins.js";
import { LaneList } from "../../../../tracekit/reporters/html/script/lanes.js";
import { paintLane, pixel, tall } from "../../../../tracekit/reporters/html/script/raster.js";

const lanes = (count) =>
  Array.from({ length: count }, (_, thread) => ({
    thread,
    info: { label: `t${thread}`, held: thread, waited: 100 - thread, failedRetries: 0 },
  }));
const threads = (list) => list.rows().map(({ lane }) => lane.thread);

test("lanes are sorted, filtered and pinned", () => {
  const list = new LaneList(lanes(4));
  assert.deepEqual(threads(list), [0, 1, 2, 3]);
  list.order = "held";
  assert.deepEqual(threads(list), [3, 2, 1, 0]);
  list.toggle("pinned", 1);
  assert.deepEqual(threads(list), [1, 3, 2, 0]);
  list.filter = "T2";
  assert.deepEqual(threads(list), [1, 2]);
});

test("rows lie below one another, folded ones low", () => {
  const list = new LaneList(lanes(3));
  list.toggle("folded", 1);
  const rows = list.rows();
  for (let i = 1; i < rows.length; i++) assert.equal(rows[i].top, rows[i - 1].top + rows[i - 1].height + list.gap);
  assert.ok(rows[1].height < rows[0].height);
});

test("a link restores the lanes, and cannot name one that is not there", () => {
  const list = new LaneList(lanes(4));
  list.order = "waited";
  list.filter = "t";
  list.toggle("pinned", 3);
  list.taller(1);
  const other = new LaneList(lanes(4));
  other.restore({ ...list.state, fold: "2.99.__proto__" });
  assert.deepEqual(threads(other), threads(list));
  assert.equal(other.height, list.height);
  assert.deepEqual([...other.folded], [2]);
  other.restore({ sort: "constructor", height: "1e9" });
  assert.equal(other.order, "waited");
});

const palette = { off: 0, held: 1, entering: 2, busy: 3, busyLine: 4, retried: 5, retriedLine: 6 };

function painted(columns, height) {
  const pixels = new Uint32Array(columns.length * height);
  paintLane(pixels, columns.length, 0, height, columns, palette, 1);
  return (x) => Array.from({ length: height }, (_, y) => pixels[y * columns.length + x]);
}

test("what is held grows from below, what is waited hangs from above, and nothing vanishes", () => {
  const columns = new Columns(2);
  addSpans(columns, { begin: [0], end: [5], state: HELD }, 0, 20);
  addSpans(columns, { begin: [5, 9], end: [5.001, 9], state: Uint8Array.of(BUSY, RETRIED) }, 0, 20);
  const column = painted(columns, 6)(0);
  assert.deepEqual(column, [palette.retried, palette.busy, palette.off, palette.held, palette.held, palette.held]);
  assert.deepEqual(painted(columns, 6)(1), Array(6).fill(palette.off));
});

test("a thread that waits while it holds shows both", () => {
  const columns = new Columns(1);
  addSpans(columns, { begin: [0], end: [10], state: HELD }, 0, 10);
  addSpans(columns, { begin: [0], end: [10], state: RETRIED }, 0, 10);
  const column = painted(columns, 6)(0);
  assert.ok(column.includes(palette.held));
  assert.ok(column.includes(palette.retried));
});

test("colours", () => {
  assert.equal(pixel("#010203"), 0xff030201);
  assert.deepEqual([tall(0, 1, 10), tall(0, 0, 10), tall(0.26, 1, 10), tall(1, 1, 10)], [1, 0, 3, 10]);
});

test("of many lanes those of one folded name are one row, until unfolded or searched for", () => {
  const many = Array.from({ length: 30 }, (_, thread) => ({
    thread,
    trace: null,
    info: { id: `t${thread}`, name: thread < 2 ? null : `worker-${thread}`, label: `worker-${thread}`, held: 1, waited: 2, failedRetries: 0 },
  }));
  const list = new LaneList(many);
  const [group] = list.groups;
  assert.equal(list.groups.length, 1);
  assert.equal(group.info.label, "worker-*: 28 threads");
  assert.equal(group.info.waited, 56);
  assert.deepEqual(threads(list).sort((a, b) => a - b), [group.thread, 0, 1]);
  list.toggle("pinned", 5);
  assert.equal(list.rows()[0].lane.thread, 5);
  list.toggle("pinned", 5);
  list.toggleGroup(7);
  assert.equal(list.rows().length, 30);
  list.toggleGroup(group.thread);
  assert.equal(list.rows().length, 3);
  list.filter = "worker-2";
  assert.equal(list.rows().length, 11);
  assert.equal(new LaneList(many.slice(0, 20)).groups.length, 0);
});
