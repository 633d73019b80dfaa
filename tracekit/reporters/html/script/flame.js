// At which lines was waited, and at which the GIL was held: a table of the costliest, and all of it as a flame graph.

import { button, el, svg, textWidth } from "./dom.js";
import { count, duration, integer, percent, short } from "./words.js";

const ROW = 20; // pixels a frame
const NARROW = 2; // pixels, below which frames are not drawn
const LISTED = 10; // lines; the others are folded
const SIDES = { holder: "the holder's stack", waiter: "the waiter's stack" };

/** `function (file:line)`, the file without its folders. */
function frameName({ functions, files, stacks }, place) {
  const [, name, file, line] = stacks[place];
  return `${functions[name]} (${files[file].split("/").at(-1)}:${line})`;
}

/**
 * The blame as a tree of frames, from the outermost on; `side` says whose stacks. A node: `{name, where, sum, children}`, and
 * `own`, what is blamed on the frame itself. Frames of the same code and line are one.
 */
export function tree(lines, side) {
  const { stacks, files, blame } = lines;
  const root = { name: "all", where: "", sum: 0, own: 0, children: new Map() };
  const column = side === "holder" ? 0 : 1;
  for (const row of blame) {
    const path = [];
    for (let place = row[column]; place >= 0; place = stacks[place][0]) path.unshift(place);
    let node = root;
    node.sum += row[2];
    for (const place of path.length ? path : [-1]) {
      const name = place < 0 ? "stack unknown" : frameName(lines, place);
      const where = place < 0 ? "" : `${files[stacks[place][2]]}:${stacks[place][3]}`;
      const key = `${name} ${where}`;
      if (!node.children.has(key)) node.children.set(key, { name, where, sum: 0, own: 0, children: new Map(), above: node });
      node = node.children.get(key);
      node.sum += row[2];
    }
    node.own += row[2];
  }
  return root;
}

export class FlameGraph {
  constructor(model) {
    this.model = model;
    this.side = "holder";
    this.plot = el("div", { class: "plot flame", role: "group", "aria-label": "Flame graph: time waited, by stack" });
    this.tabs = Object.entries(SIDES).map(([side, words]) => button(`by ${words}`, () => this.show(side), { "data-side": side }));
    this.out = button("all of it", () => this.zoom(this.root), { class: "plain" });
    this.element = el("figure", {}, el("h3", {}, "Where it was waited"), el("p", { class: "quiet" }, "As wide as what was waited while somebody held the GIL; the outermost frame on top, each over the ones that it called. A click shows what is below a frame."), el("div", { class: "toolbar" }, el("div", { class: "segments", role: "group", "aria-label": "Whose stacks" }, this.tabs), this.out), this.plot);
    this.show(this.side);
    new ResizeObserver(() => this.drawn && this.draw()).observe(this.plot);
  }

  show(side) {
    this.side = side;
    this.root = tree(this.model.about.lines, side);
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
    for (const child of [...node.children.values()].sort((a, b) => b.sum - a.sum)) {
      const wide = (child.sum / node.sum) * width;
      if (wide >= NARROW) deepest = Math.max(deepest, this.place(child, depth + 1, from, wide, marks));
      from += wide;
    }
    return deepest;
  }

  mark(node, depth, left, width) {
    const { unit } = this.model;
    const words = `${node.name}: ${duration(node.sum, unit)}, ${percent(node.sum / this.root.sum)}${node.own && node.children.size ? `, ${duration(node.own, unit)} in itself` : ""}`;
    const most = Math.floor((width - 8) / (textWidth("m".repeat(10)) / 14));
    const open = () => this.zoom(node);
    const group = svg("g", { class: "frame", tabindex: 0, role: "button", "aria-label": words, transform: `translate(${left.toFixed(2)} ${depth * ROW})` },
      svg("title", {}, node.where ? `${words}\n${node.where}` : words),
      svg("rect", { width: Math.max(1, width - 1).toFixed(2), height: ROW - 1, rx: 2, class: `flame${(depth % 4)}` }),
      most > 3 ? svg("text", { x: 4, y: ROW / 2, "dominant-baseline": "central", class: "name", "aria-hidden": "true" }, short(node.name, most)) : null);
    group.addEventListener("click", open);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
    return group;
  }
}

/** The costliest lines as a table. */
export function linesTable(model) {
  const { lines, unit } = { lines: model.about.lines, unit: model.unit };
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
    el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": "Lines" }, el("table", {}, el("thead", {}, el("tr", {}, ["waited", "share", "while this line held the GIL", "at this line", "cause", "waits"].map((name, i) => el("th", { scope: "col", class: i > 1 && i < 5 ? "text" : null }, name)))), body)),
    more,
  );
}
