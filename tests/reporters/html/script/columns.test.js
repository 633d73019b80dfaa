import assert from "node:assert/strict";
import { test } from "node:test";

import { byThread, unpack } from "../../../../tracekit/reporters/html/script/columns.js";
import { fixture } from "./fixture.js";

const { packed } = fixture();

test("columns come out as Python packed them", { skip: !packed }, async () => {
  const table = await unpack(packed.table);
  assert.equal(table.rows, packed.values.small.length);
  for (const [name, values] of Object.entries(packed.values)) assert.deepEqual([...table[name]], values, name);
});

test("a table without rows", { skip: !packed }, async () => {
  const table = await unpack(packed.empty);
  assert.equal(table.rows, 0);
  assert.deepEqual(byThread(table, 2).map((part) => part.rows), [0, 0]);
});

test("each thread gets its part, also one without rows", () => {
  const table = { rows: 4, thread: Float64Array.of(0, 0, 2, 2), start: Float64Array.of(1, 2, 3, 4) };
  const parts = byThread(table, 4);
  assert.deepEqual(parts.map((part) => [...part.start]), [[1, 2], [], [3, 4], []]);
});
