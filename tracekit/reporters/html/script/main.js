// Puts the page together from its data.

import { button, el } from "./dom.js";
import { FigureBox, drawAll } from "./figures.js";
import { ORDER, CLOCK, TraceModel } from "./model.js";
import { Tables } from "./tables.js";
import { Timeline, firstAxis } from "./timeline.js";
import { View, readFragment, writeFragment } from "./view.js";
import { count, duration, integer, percent } from "./words.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const FINDINGS_SHOWN = 5; // the others are folded
const KEYS = [
  ["w s", "zoom in, out"],
  ["a d  ← →", "move"],
  ["↑ ↓", "the lane above, below"],
  ["[ ]", "tell of the span before, after, in this lane"],
  ["0", "show all (double click)"],
  ["Home End", "the trace's begin, end"],
  ["p", "pin the lane to the top"],
  ["c", "fold the lane"],
  ["m", "select what is in view; shift-drag selects any stretch"],
  ["f", "zoom to the selection"],
  ["Esc", "clear the selection"],
  ["?", "these keys"],
];

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

function scheme(theme) {
  return theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
}

class Page {
  constructor(data, models) {
    this.data = data;
    this.models = models;
    this.several = models.length > 1;
    this.live = el("p", { class: "visually-hidden", "aria-live": "assertive" });
    this.makeTimelines();
    this.boxes = [];
    document.getElementById("page").append(...this.parts());
    this.listen();
    this.restore();
    for (const timeline of this.timelines) timeline.draw();
    this.ready = drawAll(this.boxes);
  }

  announce(text) {
    this.live.textContent = text;
  }

  badge(place) {
    return this.several ? el("span", { class: "badge" }, LETTERS[place] ?? String(place + 1)) : null;
  }

  letter(place) {
    return this.several ? LETTERS[place] ?? String(place + 1) : "";
  }

  // Timelines of the same unit may be looked at together: then they share one view, on one scale.

  makeTimelines() {
    const { models } = this;
    const extents = (axis) => (model) => model.extent(axis);
    this.alike = this.several && models.every((model) => model.unit === models[0].unit && model.duration > 0);
    this.views = models.map((model) => new View({ [CLOCK]: extents(CLOCK)(model), [ORDER]: extents(ORDER)(model) }, firstAxis(model)));
    if (this.alike) {
      const most = Math.max(...models.map((model) => model.duration));
      for (const view of this.views) {
        view.extents[CLOCK] = most;
        view.use(CLOCK);
      }
    }
    this.timelines = models.map((model, i) => new Timeline(model, this.views[i], (text) => this.announce(text)));
    this.timelines.forEach((timeline, i) => {
      timeline.onchange = () => this.changed(i);
      timeline.visit = (span) => {
        timeline.goTo(span);
        timeline.element.scrollIntoView({ block: "nearest" });
        timeline.scroller.focus({ preventScroll: true });
      };
    });
    this.linked = this.alike;
  }

  changed(place) {
    const view = this.views[place];
    if (this.linked && !this.following && view.axis === CLOCK) {
      this.following = true;
      for (const other of this.views) if (other !== view && other.axis === CLOCK && (other.from !== view.from || other.to !== view.to)) other.set(view.from, view.to);
      this.following = false;
    }
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.write(), 200);
  }

  state(place) {
    const view = this.views[place];
    const { list } = this.timelines[place];
    const whole = view.span >= view.extent;
    const axis = view.axis === (this.alike ? CLOCK : firstAxis(this.models[place])) ? null : view.axis;
    const at = (value) => (view.axis === ORDER ? value.toFixed(2) : Math.round(value));
    return { axis, from: whole ? null : at(view.from), to: whole ? null : at(view.to), ...list.state };
  }

  write() {
    const fragment = writeFragment(this.views.map((_, i) => this.state(i)));
    if (fragment === location.hash) return;
    this.written = fragment;
    history.replaceState(null, "", fragment || location.href.split("#")[0]);
  }

  restore(fragment = location.hash) {
    this.timelines.forEach((timeline, i) => {
      const said = readFragment(fragment, i);
      const axes = timeline.axes().map(([axis]) => axis);
      if (axes.includes(said.axis) && said.axis !== timeline.view.axis) timeline.view.use(said.axis);
      timeline.list.restore(said);
      if (said.to > said.from) timeline.view.set(said.from, said.to);
      timeline.changed();
    });
  }

  listen() {
    window.addEventListener("hashchange", (event) => {
      const { hash } = new URL(event.newURL); // the page may have written another one meanwhile
      if (hash !== this.written) this.restore(hash);
    });
    dark.addEventListener("change", () => this.applyTheme());
    window.addEventListener("beforeprint", () => {
      for (const box of this.boxes) box.draw();
      this.applyTheme("light");
    });
    window.addEventListener("afterprint", () => this.applyTheme());
    document.addEventListener("keydown", (event) => {
      if (event.key === "?" && !event.target.closest("input, select, textarea")) this.keys.showModal();
    });
  }

  applyTheme(now = scheme(root.dataset.theme)) {
    root.dataset.scheme = now;
    for (const timeline of this.timelines) {
      timeline.readColours();
      timeline.draw();
    }
  }

  // What stands on the page

  parts() {
    const { models, data } = this;
    const sides = (children) => el("div", { class: this.several ? "sides two" : "sides" }, children);
    const parts = [this.masthead(), el("header", {}, data.title ? el("h1", {}, data.title) : null, sides(models.map((model, i) => this.about(model, i))))];
    if (data.comparison) parts.push(this.section("What changed", this.comparison()));
    parts.push(this.section("Verdict", sides(models.map((model, i) => this.verdict(model, i)))));
    parts.push(this.section("Timeline", ...this.timelineParts()));
    parts.push(this.section("Who, how long, how often", this.figures()));
    this.tables = models.map((model, i) => new Tables(model.about, this.timelines[i], this.letter(i), (text) => this.announce(text)));
    parts.push(this.section("Tables", ...this.tables.map((tables) => tables.element)));
    this.keys = this.keysDialog();
    parts.push(this.footer(), this.keys, this.live);
    return parts;
  }

  section(title, ...children) {
    return el("section", { "aria-label": title }, el("h2", {}, title), children);
  }

  masthead() {
    const theme = button("", () => {
      root.dataset.theme = scheme(root.dataset.theme) === "dark" ? "light" : "dark";
      this.applyTheme();
      name();
    }, { class: "plain theme" });
    const name = () => { theme.textContent = scheme(root.dataset.theme) === "dark" ? "light" : "dark"; };
    name();
    return el(
      "div",
      { class: "masthead" },
      el("span", { class: "mark", "aria-hidden": "true" }, el("i"), el("i"), el("i")),
      el("b", {}, "tracekit"),
      el("span", { class: "grow" }),
      button("keys ?", () => this.keys.showModal(), { class: "plain" }),
      theme,
    );
  }

  about(model, place) {
    const { name, path, workload, facts } = model.about;
    const heading = this.data.title ? "h3" : "h1";
    return el(
      "div",
      {},
      el(heading, { title: path }, this.badge(place), name),
      el("div", { class: "about" }, workload ? el("span", { class: "workload" }, workload) : null, el("div", { class: "facts" }, facts.map((fact) => el("span", {}, fact)))),
    );
  }

  verdict(model, place) {
    const { findings, healthy } = model.about;
    const cards = findings.map((finding, i) => this.finding(finding, place, i === 0 || findings.length < 3));
    const rest = cards.splice(FINDINGS_SHOWN);
    if (rest.length) cards.push(el("details", { class: "rest" }, el("summary", {}, count(rest.length, "smaller finding")), rest));
    return el("div", { class: "verdict" }, this.several ? el("h3", {}, this.badge(place), model.about.name) : null, healthy ? el("p", { class: "healthy" }, healthy) : cards, this.completeness(model));
  }

  finding(finding, place, open) {
    const { severity, cost, title, explanation, advice, threads, kind } = finding;
    const timeline = this.timelines[place];
    const show = () => {
      if (finding.span) timeline.visit({ ...finding.span, kind });
      else {
        timeline.list.order = "retries";
        timeline.view.reset();
        timeline.reveal(threads[0] ?? 0);
        timeline.changed();
        timeline.element.scrollIntoView({ block: "nearest" });
      }
    };
    const why = [el("p", {}, explanation), el("p", { class: "advice" }, advice)];
    return el(
      "article",
      { class: `finding ${severity}` },
      el("div", { class: "cost" }, el("b", {}, percent(cost)), el("span", {}, severity)),
      el("div", { class: "said" }, button(title, show, { class: "title" }), open ? why : el("details", {}, el("summary", { class: "quiet" }, "why, and what to do"), why)),
    );
  }

  completeness(model) {
    const { complete, thresholds } = model.about;
    const errors = complete.filter((each) => each.severity === "error").length;
    const said = errors ? "The trace has faults" : complete.length ? "The trace is sound, with notes" : "The trace is complete";
    return el(
      "details",
      { class: "complete", open: errors > 0 },
      el("summary", {}, el("span", { class: errors ? "fault" : null }, said), " · thresholds in force"),
      complete.length ? el("ul", {}, complete.map((each) => el("li", { class: each.severity === "error" ? "fault" : null }, each.text))) : null,
      el("dl", {}, thresholds.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    );
  }

  timelineParts() {
    const parts = this.timelines.flatMap((timeline, i) => [this.several ? el("h3", {}, this.badge(i), this.models[i].about.name) : null, timeline.element]);
    if (this.alike) {
      const box = el("input", { type: "checkbox", onchange: () => { this.linked = box.checked; if (this.linked) this.changed(0); } });
      box.checked = true;
      parts.unshift(el("label", { class: "linked" }, box, " move both together, on one scale"));
    }
    parts.push(el("p", { id: "keys-hint", class: "visually-hidden" }, KEYS.map(([keys, what]) => `${keys}: ${what}`).join("; ")));
    return parts.filter(Boolean);
  }

  figures() {
    const names = this.models[0].about.figures.map(({ name }) => name);
    for (const name of names) {
      this.models.forEach((model, i) => {
        const found = model.about.figures.find((each) => each.name === name);
        this.boxes.push(new FigureBox(model, found, this.letter(i)));
      });
    }
    return el("div", { class: this.several ? "figures" : "figures one" }, this.boxes.map((box) => box.element));
  }

  comparison() {
    const { metrics, findings } = this.data.comparison;
    const value = (number, unit, change = false) => {
      if (number === null) return "–";
      const size = change ? Math.abs(number) : number;
      const none = size < (unit === "share" || unit === "ratio" ? 0.0005 : 1);
      const sign = !change || none ? "" : number > 0 ? "+" : "−";
      if (unit === "share") return `${sign}${(100 * size).toFixed(1)}${change ? " points" : " %"}`;
      if (unit === "ns" || unit === "ticks") return sign + duration(size, unit);
      return sign + (unit === "ratio" ? size.toFixed(3) : integer(size));
    };
    return el(
      "div",
      {},
      findings.length
        ? findings.map((each) => el("div", { class: "change" }, el("span", { class: `what ${each.what}` }, each.what), el("span", { class: "costs" }, `${percent(each.before)} → ${percent(each.after)}`), el("span", { class: "title" }, each.title)))
        : el("p", { class: "healthy" }, "Nothing worth naming in either."),
      el("div", { class: "metrics-scroll", tabindex: 0, role: "region", "aria-label": "Numbers of both" }, el(
        "table",
        { class: "metrics" },
        el("thead", {}, el("tr", {}, ["", "A", "B", "change"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, metrics.map((m) => el("tr", {}, el("th", { scope: "row" }, m.name), el("td", {}, value(m.before, m.unit)), el("td", {}, value(m.after, m.unit)), el("td", {}, value(m.change, m.unit, true))))),
      )),
    );
  }

  keysDialog() {
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

  footer() {
    return el("footer", {}, "Made by tracekit. This file needs nothing else, and asks nobody for anything.");
  }
}

root.dataset.scheme = scheme(root.dataset.theme);
const data = JSON.parse(document.getElementById("data").textContent);
const models = await Promise.all(data.traces.map((about) => TraceModel.decode(about)));
// For tests, benchmarks, and whoever is curious in the console.
globalThis.tracekit = new Page(data, models);
