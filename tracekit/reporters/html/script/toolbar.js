// What stands above a timeline: its axis, the order and height of its lanes, zoom; and its legend.

import { button, el } from "./dom.js";
import { ZOOM } from "./gestures.js";
import { ORDERS } from "./lanes.js";

export class Toolbar {
  constructor(timeline) {
    this.timeline = timeline;
    this.element = this.build();
  }

  build() {
    const { timeline } = this;
    const axes = timeline.axes();
    this.axisButtons = axes.map(([axis, name, why]) =>
      button(name, () => timeline.useAxis(axis), { title: why, "aria-pressed": String(axis === timeline.view.axis), "data-axis": axis }),
    );
    this.sort = el(
      "select",
      { "aria-label": "Order of the lanes", onchange: () => { timeline.list.order = this.sort.value; timeline.changed(); } },
      Object.entries(ORDERS).map(([order, [name]]) => el("option", { value: order }, name)),
    );
    this.sort.value = timeline.list.order;
    this.filter = el("input", {
      type: "search", placeholder: "filter threads", "aria-label": "Show only threads whose name has this",
      oninput: () => { timeline.list.filter = this.filter.value; timeline.changed(); },
    });
    this.arrows = button("arrows", () => timeline.toggleArrows(), { class: "plain less-needed", title: "Arrows from each wait to the holds that it waits for (x)" });
    const many = timeline.model.lanes.length > 1;
    return el(
      "div",
      { class: "toolbar" },
      axes.length > 1 ? el("div", { class: "segments", role: "group", "aria-label": "Axis" }, this.axisButtons) : null,
      many ? el("label", { class: "field" }, el("span", {}, "order"), this.sort) : null,
      many ? this.filter : null,
      el(
        "div",
        { class: "segments less-needed", role: "group", "aria-label": "Lanes" },
        button("−", () => timeline.taller(-1), { title: "Lower lanes", "aria-label": "Lower lanes" }),
        button("+", () => timeline.taller(1), { title: "Taller lanes", "aria-label": "Taller lanes" }),
        many ? button("fold quiet", () => { timeline.list.foldQuiet(timeline.model.duration); timeline.changed(); }, { title: "Fold the lanes that held and waited less than 1 % of the time, or unfold all" }) : null,
      ),
      timeline.model.about.bands.length
        ? el(
          "div",
          { class: "segments", role: "group", "aria-label": "Findings" },
          button("‹", () => timeline.nextFinding(-1), { title: "The finding before (N)", "aria-label": "The finding before" }),
          button("next finding ›", () => timeline.nextFinding(1), { title: "The next finding (n)" }),
        )
        : null,
      this.arrows,
      el(
        "div",
        { class: "segments", role: "group", "aria-label": "Zoom" },
        button("zoom out", () => timeline.view.zoom(ZOOM * ZOOM), { title: "Zoom out (s)" }),
        button("zoom in", () => timeline.view.zoom(1 / ZOOM / ZOOM), { title: "Zoom in (w)" }),
        button("all", () => timeline.view.reset(), { title: "Show all of the trace (double click)" }),
      ),
    );
  }

  /** Shows what the timeline is set to. */
  update() {
    const { list, view } = this.timeline;
    this.sort.value = list.order;
    this.filter.value = list.filter;
    this.arrows.setAttribute("aria-pressed", String(this.timeline.drawing.arrows));
    for (const each of this.axisButtons) each.setAttribute("aria-pressed", String(each.dataset.axis === view.axis));
  }
}

export function legend() {
  const swatch = (name, words) => el("span", { class: "key" }, el("i", { class: `swatch ${name}` }), words);
  return el(
    "div",
    { class: "legend", "aria-label": "Colours" },
    swatch("held", "holds the GIL"),
    swatch("entering", "wants it, not yet refused"),
    swatch("busy", "waits, found it taken"),
    swatch("retried", "waits, tried in vain"),
    swatch("off", "off: I/O, C code"),
    el("span", { class: "key" }, el("b", { class: "glyph retry" }, "▼"), "RETRY"),
    el("span", { class: "key" }, el("b", { class: "glyph release" }, "▲"), "release at a check"),
    el("span", { class: "key" }, el("b", { class: "glyph release" }, "○"), "release around a blocking call"),
  );
}
