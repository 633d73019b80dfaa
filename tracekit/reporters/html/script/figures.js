// The figures beside the timeline: plotly's, drawn when they come into view.

import { inflate } from "./columns.js";
import { colours, el } from "./dom.js";

let loading = null;

/** plotly, unpacked and run at the first call. */
export function plotly() {
  loading ??= inflate(document.getElementById("plotly").textContent).then((bytes) => {
    const script = el("script");
    script.textContent = new TextDecoder().decode(bytes);
    document.head.append(script);
    return globalThis.Plotly;
  });
  return loading;
}

function themed(layout) {
  const { ink, muted, grid, raised } = colours(["ink", "muted", "grid", "raised"]);
  const axis = { gridcolor: grid, linecolor: grid, tickcolor: grid, tickfont: { color: muted, size: 12 } };
  const { xaxis, yaxis } = layout;
  const title = (said) => said && { text: said.text, font: { color: muted, size: 12 }, standoff: 8 };
  return {
    ...layout,
    xaxis: { ...axis, ...xaxis, title: title(xaxis.title) },
    yaxis: { ...axis, tickcolor: "rgba(0,0,0,0)", ...yaxis, tickfont: { color: ink, size: 12 }, title: title(yaxis.title) },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: ink, size: 12 },
    hoverlabel: { bgcolor: raised, bordercolor: grid, font: { color: ink, size: 12 }, align: "left" },
    legend: { ...layout.legend, font: { color: muted, size: 12 } },
    dragmode: false,
  };
}

/** The same figure in the page's colours: numbers in cells that can be read, and nothing bright where little happens. */
function tinted(trace) {
  const { ink, grid } = colours(["ink", "grid"]);
  const dull = (colour) => (colour === OFF ? grid : colour);
  if (trace.type === "heatmap") trace.textfont = { color: ink };
  if (trace.marker?.color) trace.marker.color = Array.isArray(trace.marker.color) ? trace.marker.color.map(dull) : dull(trace.marker.color);
  return trace;
}

const OFF = "#c9d3dc"; // as in figures.py
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false, doubleClick: false };

/** A figure of the page: its title, the plot, and the same in words; words alone where there is nothing to draw. */
export class FigureBox {
  constructor({ name, title, about, text, figure }, whose) {
    this.figure = figure;
    this.plot = el("div", { class: "plot", role: "img", "aria-label": `${title}. ${text}`, "data-figure": name });
    const heading = el("h3", {}, whose ? el("span", { class: "badge" }, whose) : null, title);
    if (!figure) {
      this.element = el("figure", {}, heading, el("p", { class: "quiet" }, text));
      return;
    }
    this.plot.style.minHeight = `${figure.layout.height}px`;
    const words = el("details", {}, el("summary", {}, "in words"), el("p", {}, text));
    this.element = el("figure", {}, heading, el("p", { class: "quiet" }, about), this.plot, words);
  }

  async draw() {
    if (!this.figure) return;
    this.wanted = true;
    const Plotly = await plotly();
    const { data, layout } = structuredClone(this.figure);
    await Plotly.react(this.plot, data.map(tinted), themed(layout), CONFIG);
    this.plot.dataset.drawn = "yes";
  }
}

/** Draws each box once it is near the window. */
export function drawWhenSeen(boxes) {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        boxes.find((box) => box.element === entry.target).draw();
      }
    },
    { rootMargin: "300px" },
  );
  for (const box of boxes) watcher.observe(box.element);
}
