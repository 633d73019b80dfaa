// A page that is one flame graph.

import { el } from "./dom.js";
import { FlameGraph } from "./flame.js";

const root = document.documentElement;
root.dataset.scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const data = JSON.parse(document.getElementById("data").textContent);
const graph = new FlameGraph(data.lines, data.unit, data.side);
document.getElementById("page").append(
  el("header", {}, el("h1", {}, data.title)),
  el("main", { class: "lines" }, el("p", { class: "quiet" }, data.about), graph.element),
  el("footer", {}, "Made by tracekit. This file needs nothing else, and asks nobody for anything."),
);
graph.draw();
globalThis.tracekit = graph; // for tests, and whoever is curious in the console
