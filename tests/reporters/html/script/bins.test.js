import assert from "node:assert/strict";
import { test } from "node:test";

import { Columns, HELD, RETRIED, STATES, addCells, addSpans, lowerBound } from "../../../../tracekit/reporters/html/script/bins.js";
import { fixture } from "./fixture.js";

const { spans, cells } = fixture();

function assertSame(columns, expected) {
  assert.deepEqual([...columns.seen], expected.seen);
  expected.shares.flat().forEach((share, i) => {
    assert.ok(Math.abs(columns.shares[i] - share) < 1e-9, `share ${i}: ${columns.shares[i]}, Python says ${share}`);
  });
}

test("spans are binned as in Python", { skip: !spans }, () => {
  assert.ok(spans.length > 20);
  for (const each of spans) {
    const columns = new Columns(each.columns);
    for (const lane of each.lanes) addSpans(columns, lane, each.start, each.stop);
    assertSame(columns, each);
  }
});

test("cells are binned as in Python", { skip: !cells }, () => {
  assert.ok(cells.length > 20);
  for (const each of cells) {
    const columns = new Columns(each.columns);
    addCells(columns, each.cells, each.width, each.start, each.stop);
    assertSame(columns, each);
  }
});

test("one wait of a nanosecond in an hour is seen", () => {
  const columns = new Columns(1000);
  addSpans(columns, { begin: [1.8e12], end: [1.8e12 + 1], state: RETRIED }, 0, 3.6e12);
  assert.equal(columns.seen[500], 1 << RETRIED);
  assert.ok(columns.shares[500 * STATES + RETRIED] > 0);
  assert.equal([...columns.seen].filter(Boolean).length, 1);
});

test("an instant is seen, and takes no share", () => {
  const columns = new Columns(10);
  addSpans(columns, { begin: [35], end: [35], state: HELD }, 0, 100);
  assert.equal(columns.seen[3], 1);
  assert.equal(columns.shares[3 * STATES], 0);
});

test("only the asked columns are touched", () => {
  const columns = new Columns(10);
  addSpans(columns, { begin: [0], end: [100], state: HELD }, 0, 100, 4, 6);
  assert.deepEqual([...columns.seen], [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]);
  columns.clear(4, 5);
  assert.deepEqual([...columns.seen], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
  assert.equal(columns.shares[4 * STATES], 0);
});

test("lowerBound", () => {
  assert.deepEqual([0, 1, 2, 3, 9].map((least) => lowerBound([1, 2, 2, 5], least)), [0, 0, 1, 3, 4]);
});
