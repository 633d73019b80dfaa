// The keys of a timeline, and the dialog that tells them.

import { button, el } from "./dom.js";

export const KEYS = [
  ["w s", "zoom in, out"],
  ["a d  ← →", "move"],
  ["↑ ↓", "the lane above, below"],
  ["[ ]", "tell of the hold or wait before, after, in this lane"],
  ["n N", "the next finding, the one before"],
  ["Enter", "keep what is told in a panel, with links to who held the GIL and to the one before and after; a click does the same"],
  ["e", "write a note at the pointer"],
  ["x", "show or hide arrows from each wait to the holds that it waits for"],
  ["0", "show all (double click)"],
  ["Home End", "the trace's begin, end"],
  ["p", "pin the lane to the top"],
  ["c", "fold the lane"],
  ["m", "select what is in view; shift-drag selects any stretch"],
  ["f", "zoom to the selection"],
  ["Esc", "close the panel, clear the selection"],
  ["?", "these keys"],
];

export function keysDialog() {
  const dialog = el(
    "dialog",
    { "aria-label": "Keys" },
    el("h2", {}, "Keys, while the timeline has the focus"),
    el("dl", {}, KEYS.flatMap(([keys, what]) => [el("dt", {}, keys.split(" ").filter(Boolean).flatMap((key) => [el("kbd", {}, key), " "])), el("dd", {}, what)])),
    el("p", { class: "quiet" }, "Drag moves, Ctrl and the wheel zooms, two fingers zoom. A link to this page keeps what it shows."),
    el("p", {}, button("close", () => dialog.close(), { class: "plain" })),
  );
  return dialog;
}
