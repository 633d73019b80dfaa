// At which lines was waited, and at which the GIL was held: a table of the costliest, and all of it as a flame graph.

import { button, el, svg, textWidth } from "./dom.js";
import { count, duration, integer, percent } from "./words.js";

const ROW = 20; // pixels a frame
const NARROW = 2; // pixels, below which frames are not drawn
const LISTED = 10; // lines; the others are folded
const SIDES = { holder: "the holder's stack", waiter: "the waiter's stack" };

/**
 * One side's frames as a tree below a root of all. A node: `{name, where, sum, own, children, above}`; `own` is what is
 * blamed on the frame itself.
 */
export function tree({ flames, functions, files, whole }, side) {
  const root = { name: "all", where: "", sum: whole, own: 0, children: [] };
  const nodes = [];
  for (const [caller, name, file, line, sum, own] of flames[side]) {
    const above = caller < 0 ? root : nodes[caller];
    const place = name < 0 ? "" : `${files[file]}:${line}`;
    const node = { name: name < 0 ? "stack unknown" : `${functions[name]} (${place.split("/").at(-1)})`, where: place, sum, own, children: [], above };
    above.children.push(node);
    nodes.push(node);
  }
  return root;
}

export class FlameGraph {
  constructor(lines, unit, first = "holder") {
    this.lines = lines;
    this.unit = unit;
    this.plot = el("div", { class: "plot flame", role: "group", "aria-label": "Flame graph: time waited, by stack" });
    this.tabs = Object.entries(SIDES).map(([side, words]) => button(`by ${words}`, () => this.show(side), { "data-side": side }));
    this.out = button("all of it", () => this.zoom(this.root), { class: "plain" });
    this.element = el("figure", {}, el("h3", {}, "Where it was waited"), el("p", { class: "quiet" }, "As wide as what was waited while somebody held the GIL; the outermost frame on top, each over the ones that it called. A click shows what is below a frame."), el("div", { class: "toolbar" }, el("div", { class: "segments", role: "group", "aria-label": "Whose stacks" }, this.tabs), this.out), this.plot);
    this.show(first);
    new ResizeObserver(() => this.drawn && this.draw()).observe(this.plot);
  }

  show(side) {
    this.root = tree(this.lines, side);
    for (const tab of this.tabs) tab.setAttribute("aria-pressed", String(tab.dataset.side === side));
    this.zoom(this.root);
  }

  zoom(node) {
    this.top = node;
    this.out.disabled = node === this.root;
    this.drawn = null;
    if (this.plot.isConnected) this.draw();
  }

  draw() {
    const width = Math.max(240, Math.round(this.plot.clientWidth || 640));
    if (this.drawn === width) return;
    this.drawn = width;
    const marks = [];
    const deepest = this.place(this.top, 0, 0, width, marks);
    this.plot.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${(deepest + 1) * ROW}`, width, height: (deepest + 1) * ROW }, marks));
  }

  /** Draws a node and those below it; how deep that goes. */
  place(node, depth, left, width, marks) {
    marks.push(this.mark(node, depth, left, width));
    let [from, deepest] = [left, depth];
    for (const child of node.children) {
      const wide = (child.sum / node.sum) * width;
      if (wide >= NARROW) deepest = Math.max(deepest, this.place(child, depth + 1, from, wide, marks));
      from += wide;
    }
    return deepest;
  }

  mark(node, depth, left, width) {
    const { unit } = this;
    const words = `${node.name}: ${duration(node.sum, unit)}, ${percent(node.sum / this.root.sum)}${node.own && node.children.length ? `, ${duration(node.own, unit)} in itself` : ""}`;
    const most = Math.floor((width - 8) / (textWidth("m".repeat(10)) / 14));
    const open = () => this.zoom(node);
    const group = svg("g", { class: "frame", tabindex: 0, role: "button", "aria-label": words, transform: `translate(${left.toFixed(2)} ${depth * ROW})` },
      svg("title", {}, node.where ? `${words}\n${node.where}` : words),
      svg("rect", { width: Math.max(1, width - 1).toFixed(2), height: ROW - 1, rx: 2, class: `flame${(depth % 4)}` }),
      most > 3 ? svg("text", { x: 4, y: ROW / 2, "dominant-baseline": "central", class: "name", "aria-hidden": "true" }, node.name.slice(0, most)) : null); // without an ellipsis it is still a part of its label
    group.addEventListener("click", open);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
    return group;
  }
}

/** The costliest lines as a table. */
export function linesTable(lines, unit, label = "Lines") {
  const body = el("tbody");
  const place = (words) => (words ? [words[0], el("small", { title: words[1] }, ` ${words[1].split("/").at(-1)}`)] : el("span", { class: "quiet" }, "unknown"));
  const fill = (most) => body.replaceChildren(...lines.rows.slice(0, most).map(([holder, waiter, cause, length, waits]) => el("tr", {}, el("td", {}, duration(length, unit)), el("td", {}, percent(length / lines.whole)), el("td", { class: "text" }, place(holder)), el("td", { class: "text" }, place(waiter)), el("td", { class: "text" }, cause), el("td", {}, integer(waits)))));
  fill(LISTED);
  const more = lines.rows.length > LISTED ? button(`show all ${count(lines.rows.length, "row")}`, () => { fill(Infinity); more.remove(); }, { class: "link" }) : null;
  const known = lines.known === null ? "" : ` Of ${percent(lines.known)} of that time the line that held the GIL is known.`;
  return el(
    "div",
    {},
    el("p", { class: "quiet" }, `What was waited while another thread held the GIL, by the line that held it and the line that waited.${known}`),
    el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": label }, el("table", {}, el("thead", {}, el("tr", {}, ["waited", "share", "while this line held the GIL", "at this line", "cause", "waits"].map((name, i) => el("th", { scope: "col", class: i > 1 && i < 5 ? "text" : null }, name)))), body)),
    more,
  );
}
