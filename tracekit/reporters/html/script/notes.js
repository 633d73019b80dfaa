// Notes that a reader writes on the timeline; the link keeps them.

import { button, el } from "./dom.js";
import { moment } from "./hover.js";
import { CLOCK, ORDER } from "./model.js";

const LONGEST = 200; // characters

export class Notes {
  constructor(timeline) {
    this.timeline = timeline;
    this.all = [];
    this.list = el("ol", { class: "notes", "aria-label": "Notes", hidden: true });
    this.input = el("input", { type: "text", maxlength: LONGEST, "aria-label": "The note's text" });
    this.form = el("form", { class: "note-form", hidden: true, onsubmit: (event) => { event.preventDefault(); this.keep(); } }, el("span", {}, "note "), this.input, button("keep", () => this.keep(), { class: "plain" }), button("cancel", () => this.close(), { class: "plain" }));
    this.form.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
    this.element = el("div", {}, this.form, this.list);
  }

  /** Asks for a note at a clock or event in a thread's lane. */
  write(at, thread) {
    const { axis } = this.timeline.view;
    this.asked = { axis, at: axis === CLOCK ? Math.round(at) : Number(at.toFixed(2)), thread };
    this.form.hidden = false;
    this.input.value = "";
    this.input.focus();
  }

  keep() {
    const text = this.input.value.trim().replaceAll("|", "¦"); // which parts notes in a link
    if (text) this.all.push({ ...this.asked, text });
    this.close();
  }

  close() {
    this.form.hidden = true;
    this.tell();
    this.timeline.scroller.focus({ preventScroll: true });
    this.timeline.changed();
  }

  /** Where a note stands on the axis in view. */
  place({ axis, at }) {
    return axis === this.timeline.view.axis ? at : this.timeline.across(at, this.timeline.view.axis, axis);
  }

  tell() {
    const { model } = this.timeline;
    this.list.hidden = !this.all.length;
    this.list.replaceChildren(
      ...this.all.map((note) =>
        el(
          "li",
          {},
          el("b", {}, note.text),
          ` ${model.lanes[note.thread].info.label}, ${note.axis === CLOCK ? moment(model, note.at) : `event ${Math.round(note.at)}`} `,
          button("show", () => this.show(note), { class: "link" }),
          " ",
          button("remove", () => { this.all = this.all.filter((each) => each !== note); this.tell(); this.timeline.changed(); }, { class: "link" }),
        ),
      ),
    );
  }

  show(note) {
    const { view } = this.timeline;
    const at = this.place(note);
    if (at < view.from || at > view.to) view.set(at - view.span / 2, at + view.span / 2);
    this.timeline.reveal(note.thread);
    this.timeline.changed();
  }

  /** What a link keeps of them. */
  get state() {
    return this.all.map(({ axis, at, thread, text }) => `${axis === CLOCK ? "c" : "o"}${at}.${thread}.${text}`).join("|") || null;
  }

  restore(state) {
    this.all = (state ?? "").split("|").flatMap((said) => {
      const match = /^([co])(\d+(?:\.\d+)?)\.(\d+)\.(.+)$/u.exec(said);
      if (!match || !(Number(match[3]) in this.timeline.model.lanes)) return [];
      return [{ axis: match[1] === "c" ? CLOCK : ORDER, at: Number(match[2]), thread: Number(match[3]), text: match[4].slice(0, LONGEST) }];
    });
    this.tell();
  }
}
