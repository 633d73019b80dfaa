import assert from "node:assert/strict";
import { test } from "node:test";

import { View, readFragment, writeFragment } from "../../../../tracekit/reporters/html/script/view.js";

const view = () => new View({ clock: 1000, order: 40 }, "clock");

test("zooming keeps the place under the pointer", () => {
  const one = view();
  one.zoom(0.5, 250);
  assert.deepEqual([one.from, one.to], [125, 625]);
  one.zoom(0.5, 250);
  assert.equal((250 - one.from) / one.span, 0.25);
});

test("nothing is shown from beyond the trace", () => {
  const one = view();
  one.set(-500, 100);
  assert.deepEqual([one.from, one.to], [0, 600]);
  one.pan(5000);
  assert.deepEqual([one.from, one.to], [400, 1000]);
  one.zoom(100);
  assert.deepEqual([one.from, one.to], [0, 1000]);
});

test("the closest view still has a few units", () => {
  const one = view();
  for (let i = 0; i < 100; i++) one.zoom(0.5, 1000);
  assert.equal(one.span, 10);
  assert.equal(one.to, 1000);
});

test("a trace without length has a view", () => {
  const one = new View({ clock: 1, order: 1 }, "clock");
  one.zoom(0.1);
  assert.deepEqual([one.from, one.to], [0, 1]);
});

test("changing tells of itself", () => {
  const one = view();
  let told = 0;
  one.addEventListener("change", () => told++);
  one.set(1, 50);
  one.use("order");
  assert.equal(told, 2);
  assert.equal(one.extent, 40);
});

test("a link says what two traces show", () => {
  const states = [{ axis: null, from: 10, to: 20.5, filter: "a&b=c #" }, { axis: "order", from: null, to: null, pin: "3.4" }];
  const link = writeFragment(states);
  assert.deepEqual(readFragment(link, 0), { from: 10, to: 20.5, filter: "a&b=c #" });
  assert.deepEqual(readFragment(link, 1), { axis: "order", pin: "3.4" });
  assert.equal(writeFragment([{ from: null }]), "");
});

test("a broken link says nothing", () => {
  assert.deepEqual(readFragment("#from=abc&to=", 0), {});
  assert.deepEqual(readFragment("#from=1e999&to=5", 0), { to: 5 });
});
