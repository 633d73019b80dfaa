// Where the waiting went: one bar of all causes, what each means, whom it hit and behind whom.

import { button, el, svg } from "./dom.js";
import { threadName } from "./figures.js";
import { count, duration, percent } from "./words.js";

const LISTED = 4; // threads by name; the others are counted

/** Sums by cause, `{words, length}` each, in their order; those without any left out. */
export function causesOf({ words, threads }) {
  const sums = words.map((each, place) => ({ words: each, place, length: 0 }));
  for (const [, place, length] of threads) sums[place].length += length;
  return sums.filter(({ length }) => length > 0);
}

function most(parts, words) {
  const sorted = [...parts].sort(([, a], [, b]) => b - a);
  const more = sorted.length > LISTED ? ` and ${count(sorted.length - LISTED, "more thread")}` : "";
  return sorted.slice(0, LISTED).map(([thread, length]) => words(thread, length)).join(", ") + more;
}

/** The bar and, for each cause, a button that tells of it; null where nobody waited. `causes`: of a part of the trace. */
export function causesBar(model, causes = model.about.causes, title = "Where the waiting went") {
  const parts = causesOf(causes);
  const whole = parts.reduce((all, { length }) => all + length, 0);
  if (!whole) return null;
  let from = 0;
  const bar = svg("svg", { class: "causes-bar", viewBox: "0 0 1000 20", preserveAspectRatio: "none", "aria-hidden": "true" }, parts.map(({ words, place, length }) => {
    const wide = (1000 * length) / whole;
    const rect = svg("rect", { x: from, y: 0, width: Math.max(1, wide), height: 20, class: `cause${place}` }, svg("title", {}, `${words.label} ${percent(length / whole)}`));
    from += wide;
    return rect;
  }));
  const told = el("div", { class: "cause-told", hidden: true });
  let shown = null;
  const keys = parts.map(({ words, place, length }) => {
    const key = button("", () => {
      shown = shown === place ? null : place;
      for (const each of keys) each.setAttribute("aria-expanded", String(each === key && shown !== null));
      told.hidden = shown === null;
      if (shown !== null) told.replaceChildren(...tell(model, causes, words, place, length, whole));
    }, { class: "cause-key", "aria-expanded": "false" });
    key.append(el("i", { class: `swatch cause${place}` }), words.label, el("b", {}, percent(length / whole)));
    return key;
  });
  return el(
    "div",
    { class: "causes" },
    el("h3", {}, title, el("small", {}, ` ${duration(whole, model.unit)} waited by all threads together`)),
    bar,
    el("div", { class: "cause-keys" }, keys),
    told,
  );
}

function tell(model, { threads, holders }, words, place, length, whole) {
  const waiters = threads.filter(([, cause]) => cause === place).map(([thread, , taken]) => [thread, taken]);
  const behind = holders.filter(([cause, holder]) => cause === place && holder >= 0).map(([, holder, taken]) => [holder, taken]);
  const words_of = (thread, taken) => `${threadName(model, thread)} ${duration(taken, model.unit)}`;
  return [
    el("p", {}, el("b", {}, `${words.label}, ${duration(length, model.unit)}, ${percent(length / whole)} of the waiting. `), words.about),
    el("p", {}, `Who waited: ${most(waiters, words_of)}.`),
    behind.length ? el("p", {}, `Who held the GIL meanwhile: ${most(behind, words_of)}.`) : el("p", {}, "Nobody held the GIL meanwhile."),
  ];
}
