// What stands left of the lanes, and the line below them that says what is in view.

import { button, el } from "./dom.js";
import { CLOCK, ORDER } from "./model.js";
import { duration, exact, integer, percent, short } from "./words.js";

/** A thread's name and, less loudly, its id. */
function named({ name, id, label }) {
  return name && name !== id && label.startsWith(name) ? [name, el("span", { class: "id" }, label.slice(name.length))] : [label];
}

export class LaneLabels {
  constructor(timeline) {
    this.timeline = timeline;
    this.element = el("div", { class: "gutter lane-labels" });
  }

  place() {
    const known = new Map([...this.element.children].map((label) => [Number(label.dataset.thread), label]));
    const shown = new Set();
    for (const row of this.timeline.rows) {
      const { lane, y, height, pinned } = row;
      shown.add(lane.thread);
      const label = known.get(lane.thread) ?? this.makeLabel(lane);
      label.style.transform = `translateY(${y}px)`;
      label.style.height = `${height}px`;
      label.classList.toggle("pinned", pinned);
      label.classList.toggle("low", height < 12);
      label.classList.toggle("tall", height >= 40);
      label.classList.toggle("current", lane.thread === this.timeline.current);
      const [pin, fold] = [".pin", ".fold"].map((name) => label.querySelector(name));
      pin?.setAttribute("aria-pressed", String(pinned));
      fold?.setAttribute("aria-expanded", String(!this.timeline.list.folded.has(lane.thread)));
      if (!label.isConnected) this.element.append(label);
    }
    for (const [thread, label] of known) if (!shown.has(thread)) label.remove();
  }

  makeLabel(lane) {
    const { label, held, waited } = lane.info;
    const whole = this.timeline.model.duration;
    const each = lane.members ? lane.members.length : 1;
    const shares = whole && lane.members ? `held ${percent(held / whole)} together, waited ${percent(waited / whole / each)} each` : whole ? `held ${percent(held / whole)}, waited ${percent(waited / whole)}` : "";
    return el(
      "div",
      { class: lane.members ? "lane-label sums" : "lane-label", "data-thread": lane.thread, title: `${label}: ${shares}` },
      el("span", { class: "lane-name" }, el("b", {}, ...named(lane.info)), el("small", {}, shares)),
      lane.members || this.timeline.list.groupOf(lane.thread)
        ? button(lane.members ? "▸" : "▴", () => { this.timeline.list.toggleGroup(lane.thread); this.timeline.changed(); }, { class: "group", tabindex: -1, title: lane.members ? "Show each of them (c)" : "Fold the group (c)", "aria-label": lane.members ? `Show each of ${label}` : `Fold the group of ${label}` })
        : null,
      lane.members ? null : button("⌃", () => { this.timeline.list.toggle("pinned", lane.thread); this.timeline.changed(); }, { class: "pin", tabindex: -1, title: "Pin to the top (p)", "aria-label": `Pin ${label}` }),
      lane.members || this.timeline.list.groupOf(lane.thread) ? null : button("▾", () => { this.timeline.list.toggle("folded", lane.thread); this.timeline.changed(); }, { class: "fold", tabindex: -1, title: "Fold (c)", "aria-label": `Fold ${label}` }),
    );
  }
}

export class InView {
  constructor(timeline) {
    this.timeline = timeline;
    this.status = el("p", { class: "in-view", "aria-live": "polite" });
    this.note = el("p", { class: "note", hidden: true });
  }

  /** Says below the lanes what is in view, and what of the trace is not there. */
  tell() {
    const { view, model } = this.timeline;
    const { unit } = model;
    const step = Math.max(1, view.span / 1000);
    const order = view.axis === ORDER;
    const [from, to] = [Math.max(0, view.from), Math.min(model.duration, view.to)]; // another trace may reach further
    const stretch = order
      ? `events ${integer(Math.round(view.from))} – ${integer(Math.round(view.to))} of ${integer(model.events)}`
      : to > from ? `${duration(to - from, unit)} from ${exact(from - view.begin, step, unit, to - view.begin)} on, of ${duration(model.duration, unit)}` : "nothing of it";
    const parts = [`In view: ${stretch}.`];
    for (const [name, found] of Object.entries(this.timeline.drawing.longest)) {
      if (!found || found.length <= 0) continue;
      const words = `${duration(found.length, unit)} (${short(found.lane.info.label, 30)})`;
      parts.push(` Longest ${name} `, button(words, () => this.timeline.goTo(this.asSpan(found)), { class: "link" }), ".");
    }
    const key = parts.map((part) => part.textContent ?? part).join("");
    if (this.told !== key) {
      this.told = key;
      this.status.replaceChildren(...parts);
    }
    this.tellMissing();
  }

  asSpan({ lane, begin, end }) {
    return { begin, end, startSeq: begin, endSeq: end, threads: [lane.thread], kind: "accent" };
  }

  tellMissing() {
    const { view, model } = this.timeline;
    const deep = view.axis === CLOCK && view.span / this.timeline.width < model.width && !model.exact(view.from, view.to);
    this.note.hidden = !deep;
    if (!deep) return;
    const first = model.about.firstClock;
    const [from, to] = [Math.floor(view.from) + first, Math.ceil(view.to) + first];
    const command = `tracekit query ${model.about.shellPath} "select * from waits where end_clock >= ${from} and entry_clock <= ${to}"`;
    this.note.replaceChildren(
      `This trace is too large to carry whole. Here, outside the findings, the page knows how much each thread held and waited in every ${duration(model.width, model.unit)}, but not each hold and wait. This shows them: `,
      el("code", {}, command),
    );
  }
}
