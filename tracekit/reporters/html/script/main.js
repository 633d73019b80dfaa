// Puts the page together from its data.

import { causesBar } from "./causes.js";
import { comparison } from "./comparison.js";
import { button, el } from "./dom.js";
import { FigureBox, drawAll, ownFigures } from "./figures.js";
import { FlameGraph, linesTable } from "./flame.js";
import { Glossary } from "./glossary.js";
import { KEYS, keysDialog } from "./keys.js";
import { restore, stateOf } from "./link.js";
import { ORDER, CLOCK, TraceModel } from "./model.js";
import { processName, processesTable } from "./processes.js";
import { requestsOf } from "./requests.js";
import { Tables } from "./tables.js";
import { Timeline, firstAxis } from "./timeline.js";
import { verdict } from "./verdict.js";
import { WhatIf } from "./whatif.js";
import { View, readFragment, writeFragment } from "./view.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

function pause() {
  return new Promise((done) => { setTimeout(done, 0); });
}

function scheme(theme) {
  return theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
}

class Page {
  constructor(data, models) {
    this.data = data;
    this.models = models;
    this.several = models.length > 1;
    this.live = el("p", { class: "visually-hidden", "aria-live": "assertive" });
    this.glossary = new Glossary(Object.entries(data.terms));
    this.makeTimelines();
    this.boxes = [];
    this.graphs = [];
  }

  /** In steps, between which the browser gets to do something else. */
  async open() {
    document.getElementById("page").append(...this.parts());
    await pause();
    this.listen();
    this.restore(); // which draws them
    this.ready = this.fillIn();
  }

  /** What is not on the first screen, piece by piece, so that the page answers in between. */
  async fillIn() {
    await drawAll([...this.graphs, ...this.boxes]);
    for (const slot of this.slots) {
      await pause();
      slot.fill();
    }
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
    this.views = models.map((model) => new View({ [CLOCK]: extents(CLOCK)(model), [ORDER]: extents(ORDER)(model) }, firstAxis(model), { [CLOCK]: -model.offset }));
    if (this.alike) {
      const most = Math.max(...models.map((model) => model.offset + model.duration));
      for (const view of this.views) {
        view.extents[CLOCK] = most;
        view.use(CLOCK);
      }
    }
    this.timelines = models.map((model, i) => new Timeline(model, this.views[i], this.glossary, (text) => this.announce(text)));
    this.timelines.forEach((timeline, i) => { timeline.onchange = () => this.changed(i); });
    this.linked = this.alike;
  }

  changed(place) {
    const view = this.views[place];
    if (this.linked && !this.following && view.axis === CLOCK) {
      this.following = true;
      for (const other of this.views) {
        const [from, to] = [view.from, view.to].map((at) => at - view.begin + other.begin);
        if (other !== view && other.axis === CLOCK && (other.from !== from || other.to !== to)) other.set(from, to);
      }
      this.following = false;
    }
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.write(), 200);
  }

  write() {
    const fragment = writeFragment(this.timelines.map((timeline, i) => stateOf(timeline, this.alike ? CLOCK : firstAxis(this.models[i]))));
    if (fragment === location.hash) return;
    this.written = fragment;
    history.replaceState(null, "", fragment || location.href.split("#")[0]);
  }

  restore(fragment = location.hash) {
    this.timelines.forEach((timeline, i) => restore(timeline, readFragment(fragment, i)));
  }

  listen() {
    window.addEventListener("hashchange", (event) => {
      const { hash } = new URL(event.newURL); // the page may have written another one meanwhile
      if (hash !== this.written) this.restore(hash);
    });
    dark.addEventListener("change", () => this.applyTheme());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
    document.addEventListener("keydown", (event) => {
      if (event.key === "?" && !event.target.closest("input, select, textarea")) this.keys.showModal();
    });
  }

  /** On paper: light, all lanes, every figure, all findings on the first page and their reasons on the last. */
  print(now) {
    for (const box of [...this.graphs, ...this.boxes]) box.draw();
    for (const slot of this.slots) slot.fill();
    if (now) this.folded = [...document.querySelectorAll("section[aria-label=Verdict] .disclosed[hidden]:not(.why), section[aria-label='What changed'] .disclosed[hidden]")];
    for (const content of this.folded) content.hidden = !now;
    this.reasons(now);
    for (const timeline of this.timelines) timeline.print(now);
    this.applyTheme(now ? "light" : undefined);
  }

  /** The findings again with all that is said of them, for paper. */
  reasons(now) {
    this.told?.remove();
    const lists = [...document.querySelectorAll("section[aria-label=Verdict] ol.findings")];
    if (!now || !lists.length) return;
    this.told = this.section("Why, and what to do", ...lists.map((list) => list.cloneNode(true)));
    for (const why of this.told.querySelectorAll(".why")) why.hidden = false;
    document.querySelector("main").append(this.told);
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
    this.slots = data.processes ? [] : models.map((model, i) => this.tablesSlot(model, i));
    this.keys = keysDialog();
    const predicted = models.some(({ about: { whatif } }) => whatif && !whatif.reason);
    const verdicts = this.section("Verdict", data.processes ? processesTable(data.processes, models, (i) => this.timelines[i]) : sides(models.map((model, i) => this.verdict(model, i))));
    const main = el(
      "main",
      {},
      data.comparison ? null : verdicts,
      this.section("Timeline", el("div", { id: "timeline", class: data.processes ? "many" : null }, this.timelineParts())),
      data.comparison ? this.section("What changed", comparison(data.comparison, this.glossary)) : null,
      data.comparison ? verdicts : null,
      !data.processes && models.some((model) => model.about.lines) ? this.section("At which lines", ...this.lines()) : null,
      !data.processes && models.some((model) => model.about.requests) ? this.section("Requests", ...this.requests()) : null,
      predicted ? this.whatIfs() : null,
      data.processes ? null : this.section("Who, how long, how often", this.figures()),
      predicted ? null : this.whatIfs(),
      data.processes ? null : this.section("Tables", ...this.slots.map(({ element }) => element)),
    );
    return [this.masthead(), main, this.footer(), this.keys, this.glossary.note, this.live];
  }

  /** Where a trace's tables will stand. */
  tablesSlot(model, place) {
    const element = el("div");
    const fill = () => element.childElementCount || element.append(new Tables(model.about, this.timelines[place], this.letter(place), (text) => this.announce(text)).element);
    return { element, fill };
  }

  section(title, ...children) {
    return el("section", { "aria-label": title }, el("h2", {}, title), children);
  }

  masthead() {
    const { data, models } = this;
    const theme = button("", () => {
      root.dataset.theme = scheme(root.dataset.theme) === "dark" ? "light" : "dark";
      this.applyTheme();
      name();
    }, { class: "plain theme" });
    const name = () => { theme.textContent = scheme(root.dataset.theme) === "dark" ? "light" : "dark"; };
    name();
    const one = !data.title && !this.several;
    return el(
      "header",
      {},
      el(
        "div",
        { class: "masthead" },
        el("span", { class: "mark", title: "tracekit", "aria-hidden": "true" }, el("i"), el("i"), el("i")),
        one ? this.heading("h1", models[0], 0) : el("h1", {}, data.title ?? models.map((model) => model.about.name).join(" and ")),
        el("span", { class: "buttons" }, button("keys ?", () => this.keys.showModal(), { class: "plain" }), theme),
      ),
      el("div", { class: this.several ? "sides two" : "sides" }, data.processes ? null : models.map((model, i) => el("div", { class: "about" }, one ? null : this.heading("h2", model, i), this.facts(model)))),
    );
  }

  heading(tag, model, place) {
    const { name, path } = model.about;
    return el(tag, { title: path }, this.badge(place), name);
  }

  facts(model) {
    const { workload, facts } = model.about;
    const said = new Set();
    return el("div", { class: "facts" }, workload ? el("span", { class: "workload" }, workload) : null, facts.map((fact) => el("span", {}, this.glossary.explain(fact, said))));
  }

  verdict(model, place) {
    const show = (finding) => this.show(finding, this.timelines[place]);
    return el("div", { class: "verdict" }, this.several ? el("h3", {}, this.badge(place), model.about.name) : null, verdict(model.about, show, this.glossary), causesBar(model));
  }

  /** Takes the timeline to the costliest instance of a finding, or to its threads where it has none. */
  show(finding, timeline) {
    if (finding.span) {
      timeline.visit(finding.span);
      return;
    }
    timeline.list.order = "retries";
    timeline.view.reset();
    timeline.reveal(finding.threads[0] ?? 0);
    timeline.changed();
    timeline.element.scrollIntoView({ block: "nearest" });
  }

  timelineParts() {
    const parts = this.timelines.flatMap((timeline, i) => [this.data.processes ? el("h3", {}, processName(this.data.processes.rows[i])) : this.several ? el("h3", {}, this.badge(i), this.models[i].about.name) : null, timeline.element]);
    if (this.alike) {
      const box = el("input", { type: "checkbox", onchange: () => { this.linked = box.checked; if (this.linked) this.changed(0); } });
      box.checked = true;
      parts.unshift(el("label", { class: "linked" }, box, this.data.processes ? " move all together, on one clock" : " move both together, on one scale"));
    }
    parts.push(el("p", { id: "keys-hint", class: "visually-hidden" }, KEYS.map(([keys, what]) => `${keys}: ${what}`).join("; ")));
    return parts.filter(Boolean);
  }

  figures() {
    const all = this.models.map((model) => [...model.about.figures.slice(0, 1), ...ownFigures(model), ...model.about.figures.slice(1)]);
    for (let place = 0; place < all[0].length; place++) {
      all.forEach((figures, i) => this.boxes.push(new FigureBox(this.models[i], figures[place], this.letter(i), this.glossary)));
    }
    return el("div", { class: this.several ? "figures" : "figures one" }, this.boxes.map((box) => box.element));
  }

  /** The lines of each trace that tells its stacks. */
  lines() {
    const known = this.models.map((model, i) => [model, i]).filter(([model]) => model.about.lines);
    return known.map(([model, i]) => {
      const graph = new FlameGraph(model.about.lines, model.unit);
      this.graphs.push(graph);
      return el("div", { class: "lines" }, this.several ? el("h3", {}, this.badge(i), model.about.name) : null, linesTable(model.about.lines, model.unit), graph.element);
    });
  }

  /** The requests of each trace that tells any. */
  requests() {
    const told = this.models.map((model, i) => [model, i]).filter(([model]) => model.about.requests);
    return told.map(([model, i]) => el("div", {}, this.several ? el("h3", {}, this.badge(i), model.about.name) : null, requestsOf(model, this.timelines[i])));
  }

  whatIfs() {
    const known = this.models.map((model, i) => [model, i]).filter(([model]) => model.about.whatif);
    const parts = known.map(([model, i]) => el("div", {}, this.several ? el("h3", {}, this.badge(i), model.about.name) : null, new WhatIf(model, this.glossary).element));
    return parts.length ? this.section("What if", ...parts) : null;
  }

  footer() {
    return el("footer", {}, "Made by tracekit. This file needs nothing else, and asks nobody for anything.");
  }
}

root.dataset.scheme = scheme(root.dataset.theme);
const data = JSON.parse(document.getElementById("data").textContent);
await pause();
const models = await Promise.all(data.traces.map((about, i) => TraceModel.decode(about, data.processes?.offsets?.[i])));
// For tests, benchmarks, and whoever is curious in the console.
await pause();
const page = new Page(data, models);
await pause();
await page.open();
globalThis.tracekit = page;
