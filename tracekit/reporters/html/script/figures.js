// The figures beside the timeline, as small SVG: a bar a thread, a value where two threads meet, how long things took.

import { el, svg, textWidth } from "./dom.js";
import { utilisation } from "./utilisation.js";
import { count, duration, integer, percent, short } from "./words.js";

const ROW = 24; // pixels a row of a figure
const ZERO = 0.1; // where a log axis shows 0
const QUANTILES = [["median", 2], ["99th percentile", 3], ["longest", 4]]; // of a spread's rows: name, place
const SHOWN = 24; // threads
export const NOBODY = -1;

export function threadName(model, thread) {
  return thread === NOBODY ? "nobody" : model.about.threads[thread].label;
}

/** The same without its id, where no other thread has that name. */
function shortName(model, thread) {
  const { threads } = model.about;
  const { name, label } = threads[thread];
  const alone = name && model.kept(`called ${name}`, () => threads.filter((each) => each.name === name).length === 1);
  return alone ? name : label;
}

/** An SVG that fits its box, whatever that becomes: on paper as on the screen. */
function frame(width, height, ...children) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...children);
}

function text(x, y, words, attributes = {}) {
  return svg("text", { x, y, ...attributes }, words);
}

/** Names of rows at the left, and where the drawing right of them begins. */
function rowNames(names, width, top, height, least = 0) {
  const most = Math.max(10, Math.round(width / 24));
  const cut = names.map((name) => short(name, most));
  const left = Math.min(width * 0.4, Math.max(least, ...cut.map(textWidth)) + 12);
  const nodes = cut.map((name, i) => text(left - 8, top + (i + 0.5) * height, name, { class: "name", "text-anchor": "end", "dominant-baseline": "central" }));
  return { left, nodes };
}

function shareAxis(left, right, top, bottom) {
  return [0, 0.25, 0.5, 0.75, 1].flatMap((part) => {
    const x = left + part * (right - left);
    return [
      svg("line", { x1: x, x2: x, y1: top, y2: bottom, class: "grid" }),
      text(x, bottom + 14, `${100 * part} %`, { "text-anchor": part === 1 ? "end" : part ? "middle" : "start" }),
    ];
  });
}

/** What each thread did: held, waited, off. */
function drawBars(model, { rows }, width) {
  const whole = model.duration || 1;
  const top = 4;
  const bottom = top + rows.length * ROW;
  const { left, nodes } = rowNames(rows.map(([thread]) => threadName(model, thread)), width, top, ROW);
  const numbers = width > 520 ? 168 : 0;
  const right = width - numbers - 6;
  const bars = rows.flatMap(([thread, held, waited], i) => {
    const y = top + i * ROW + 4;
    const span = (begin, part, state, words) =>
      svg("rect", { x: left + begin * (right - left), y, width: Math.max(part > 0 ? 1 : 0, part * (right - left)), height: ROW - 8, class: state },
        svg("title", {}, `${threadName(model, thread)} ${words}`));
    const parts = [held / whole, waited / whole];
    return [
      span(0, 1, "off", `was off for ${duration(Math.max(0, whole - held - waited), model.unit)}`),
      span(0, parts[0], "held", `held the GIL for ${duration(held, model.unit)}, ${percent(parts[0])}`),
      span(parts[0], parts[1], "busy", `waited for ${duration(waited, model.unit)}, ${percent(parts[1])}`),
      numbers ? text(right + 10, y + ROW / 2 - 4, `held ${percent(parts[0])}, waited ${percent(parts[1])}`, { "dominant-baseline": "central" }) : null,
    ];
  });
  return frame(width, bottom + 20, shareAxis(left, right, top, bottom), nodes, bars);
}

/** A value where two threads meet, the darker the larger; with its number while there is room. */
function drawMatrix(model, { rows, columns, cells }, width, words, [down, across], tone) {
  const top = 20;
  const { left, nodes } = rowNames(rows.map((thread) => threadName(model, thread)), width, top, ROW + 2, textWidth(`${down} ↓`));
  const size = Math.min(120, (width - left - 4) / columns.length);
  const names = columns.map((thread) => (thread === NOBODY ? threadName(model, thread) : shortName(model, thread)));
  const level = names.every((name) => textWidth(name) < size - 4);
  const cut = names.map((name) => (level ? name : short(name, 16)));
  const deep = level ? 18 : 10 + 0.66 * Math.max(...cut.map(textWidth));
  const bottom = top + rows.length * (ROW + 2);
  const most = Math.max(tone.least, ...cells.map(([, , value]) => value));
  const marks = cells.flatMap(([y, x, value]) => {
    const [at, from] = [left + x * size, top + y * (ROW + 2)];
    const shown = words(value);
    return [
      svg("rect", { x: at + 1, y: from + 1, width: Math.max(1, size - 2), height: ROW, rx: 2, class: tone.name, "fill-opacity": (0.08 + 0.6 * (value / most)).toFixed(3) },
        svg("title", {}, `${tone.say(names[x], threadName(model, rows[y]))}: ${shown}`)),
      textWidth(shown) < size - 6 ? text(at + size / 2, from + 1 + ROW / 2, shown, { class: "cell", "text-anchor": "middle", "dominant-baseline": "central" }) : null,
    ];
  });
  const labels = cut.map((name, i) => {
    const x = left + (i + 0.5) * size;
    return level ? text(x, bottom + 14, name, { class: "name", "text-anchor": "middle" }) : text(x + 3, bottom + 10, name, { class: "name", "text-anchor": "end", transform: `rotate(-42 ${x} ${bottom + 10})` });
  });
  const titles = [text(left - 8, 12, `${down} ↓`, { "text-anchor": "end" }), text(left, 12, `${across} →`)];
  return frame(width, bottom + deep + 4, titles, nodes, marks, labels);
}

function drawBlame(model, shown, width) {
  const whole = model.duration || 1;
  const tone = { name: "blamed", least: 0.1 * whole, say: (holder, waiter) => `${waiter} waited behind ${holder}` };
  return drawMatrix(model, shown, width, (value) => percent(value / whole), ["waits", "while this one holds"], tone);
}

function drawHandoffs(model, shown, width) {
  const tone = { name: "handed", least: 10, say: (taker, giver) => `${giver} handed the GIL to ${taker}` };
  return drawMatrix(model, shown, width, integer, ["from", "to"], tone);
}

/** How long things took: a strip a thread on a log axis, taller where more of them lie, and three quantiles. */
function drawSpread(model, { rows, buckets }, width) {
  const top = 4;
  const bottom = top + rows.length * ROW;
  const { left, nodes } = rowNames(rows.map(([thread]) => threadName(model, thread)), width, top, ROW);
  const right = width - 14;
  const low = Math.max(ZERO, Math.min(...buckets.map(([, from]) => from)));
  const high = Math.max(10, ...buckets.map(([, , to]) => to));
  const [first, last] = [low < 1 ? -1 : Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const x = (value) => left + ((Math.log10(Math.max(value, ZERO)) - first) / (last - first)) * (right - left);
  const every = 1 + Math.floor((last - first) / Math.max(2, (right - left) / 64));
  const axis = [];
  for (let power = first; power <= last; power += every) {
    const words = power < 0 ? "0" : duration(10 ** power, model.unit).replace(/\.0+ /, " ").replace(/ ticks?$/, "");
    axis.push(svg("line", { x1: x(10 ** power), x2: x(10 ** power), y1: top, y2: bottom, class: "grid" }), text(x(10 ** power), bottom + 14, words, { "text-anchor": power + every > last ? "end" : "middle" }));
  }
  const strips = buckets.map(([row, from, to, number]) => {
    const part = number / rows[row][1];
    const tall = (0.1 + 0.8 * Math.sqrt(part)) * (ROW - 6);
    return svg("rect", { x: x(from), y: top + (row + 0.5) * ROW - tall / 2, width: Math.max(1, x(Math.max(to, 1)) - x(from)), height: tall, class: "strip", "fill-opacity": (0.35 + 0.6 * Math.sqrt(part)).toFixed(2) },
      svg("title", {}, `${threadName(model, rows[row][0])}: ${integer(number)} (${percent(part)}) took ${duration(from, model.unit)} – ${duration(to, model.unit)}`));
  });
  const marks = rows.flatMap((row, i) => QUANTILES.map(([name, place]) => mark(name, x(row[place]), top + (i + 0.5) * ROW, `${threadName(model, row[0])}: ${name} ${duration(row[place], model.unit)}`)));
  return frame(width, bottom + 20, axis, nodes, strips, marks);
}

const SHAPES = { median: "M0-6L6 0L0 6L-6 0Z", "99th percentile": "M0-8V8", longest: "M6-6V6L-5 0Z" };

function mark(name, x, y, words) {
  return svg("path", { d: SHAPES[name], transform: `translate(${x.toFixed(1)} ${y})`, class: `mark ${name.split(" ").at(-1)}` }, svg("title", {}, words));
}

/** A bar for each number of threads that waited at once, as long as that lasted. */
function drawWaiting(model, { rows }, width) {
  const [top, left, high] = [8, 44, 170];
  const whole = rows.reduce((sum, [, length]) => sum + length, 0) || 1;
  const most = Math.max(...rows.map(([number]) => number));
  const most_share = Math.max(...rows.map(([, length]) => length / whole));
  const scale = [0.1, 0.25, 0.5, 1].find((end) => end >= most_share) ?? 1;
  const step = (width - left - 6) / (most + 1);
  const y = (part) => top + high * (1 - part / scale);
  const axis = [0, 0.5, 1].flatMap((part) => [
    svg("line", { x1: left, x2: width - 6, y1: y(part * scale), y2: y(part * scale), class: "grid" }),
    text(left - 8, y(part * scale), `${100 * part * scale} %`, { "text-anchor": "end", "dominant-baseline": "central" }),
  ]);
  const every = Math.ceil(26 / step);
  const bars = rows.flatMap(([number, length]) => {
    const from = left + number * step;
    return [
      svg("rect", { x: from + step * 0.12, y: Math.min(y(length / whole), top + high - 1), width: Math.max(1, step * 0.76), height: Math.max(1, top + high - y(length / whole)), class: number ? "busy" : "idle" },
        svg("title", {}, `${count(number, "thread")} waiting for ${duration(length, model.unit)}, ${percent(length / whole)} of the time`)),
      number % every && number !== most ? null : text(from + step / 2, top + high + 15, integer(number), { "text-anchor": "middle" }),
    ];
  });
  return frame(width, top + high + 36, axis, bars, text(left, top + high + 31, "threads waiting at once"));
}

/** A line a thread over the lengths of windows, its name where it ends. */
function drawUtilisation(model, { lengths, rows }, width) {
  const [top, left, high] = [10, 48, 180];
  const names = rows.map(({ thread }) => short(threadName(model, thread), 18));
  const right = width - Math.max(...names.map(textWidth)) - 18;
  const [first, last] = [Math.log10(lengths[0]), Math.log10(lengths.at(-1))];
  const x = (length) => left + ((Math.log10(length) - first) / Math.max(0.01, last - first)) * (right - left);
  const y = (part) => top + high * (1 - part);
  const axis = [0, 0.5, 1].flatMap((part) => [
    svg("line", { x1: left, x2: right, y1: y(part), y2: y(part), class: "grid" }),
    text(left - 8, y(part), `${100 * part} %`, { "text-anchor": "end", "dominant-baseline": "central" }),
  ]);
  lengths.forEach((length, i) => {
    if (i % 4 === 0 || (lengths.length < 5 && width > 300)) axis.push(text(x(length), top + high + 16, duration(length, model.unit).replace(/\.0+ /, " "), { "text-anchor": "middle" }));
  });
  // Names keep their distance, in the order of their lines' ends.
  const ends = rows.map(({ shares }, i) => ({ i, at: y(shares.at(-1)) })).sort((a, b) => a.at - b.at);
  ends.forEach((end, i) => { if (i) end.at = Math.max(end.at, ends[i - 1].at + 14); });
  const over = Math.max(0, ends.at(-1).at - (top + high));
  const lines = ends.flatMap(({ i, at }) => {
    const points = rows[i].shares.map((part, k) => `${x(lengths[k]).toFixed(1)},${y(part).toFixed(1)}`);
    return [
      svg("polyline", { points: points.join(" "), class: `line line${i}` }, svg("title", {}, names[i])),
      lengths.length === 1 ? svg("circle", { cx: left, cy: y(rows[i].shares[0]), r: 3, class: `dot line${i}` }) : null,
      svg("line", { x1: right, x2: right + 8, y1: y(rows[i].shares.at(-1)), y2: at, class: `line line${i}` }),
      text(right + 12, at, names[i], { class: "name", "dominant-baseline": "central" }),
    ];
  });
  return frame(width, top + high + 36 + over, axis, lines, text(left, top + high + 32, "length of the window"));
}

/** Why each thread waited: bars as long as its waiting, a part for each cause. */
function drawCauses(model, { rows }, width) {
  const top = 4;
  const bottom = top + rows.length * ROW;
  const whole = model.duration || 1;
  const { left, nodes } = rowNames(rows.map(({ thread }) => threadName(model, thread)), width, top, ROW);
  const numbers = width > 520 ? 100 : 0;
  const right = width - numbers - 6;
  const bars = rows.flatMap(({ thread, parts, sum }, i) => {
    let from = left;
    const y = top + i * ROW + 4;
    const rects = parts.map(({ words, place, length }) => {
      const wide = (length / whole) * (right - left);
      const rect = svg("rect", { x: from, y, width: Math.max(0.5, wide), height: ROW - 8, class: `cause${place}` }, svg("title", {}, `${threadName(model, thread)}: ${words.label} ${duration(length, model.unit)}, ${percent(length / whole)} of the trace`));
      from += wide;
      return rect;
    });
    return [svg("rect", { x: left, y, width: right - left, height: ROW - 8, class: "off" }), ...rects, numbers ? text(right + 10, y + ROW / 2 - 4, `waited ${percent(sum / whole)}`, { "dominant-baseline": "central" }) : null];
  });
  return frame(width, bottom + 20, shareAxis(left, right, top, bottom), nodes, bars);
}

/** The threads that waited most, each with its causes. */
function causesByThread(model) {
  const { words, threads } = model.about.causes;
  const byThread = new Map();
  for (const [thread, place, length] of threads) byThread.set(thread, [...(byThread.get(thread) ?? []), { words: words[place], place, length }]);
  const rows = [...byThread].map(([thread, parts]) => ({ thread, parts: parts.sort((a, b) => a.place - b.place), sum: parts.reduce((all, { length }) => all + length, 0) }));
  const shown = rows.filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum).slice(0, SHOWN);
  return shown.length ? { rows: shown, words } : null;
}

const share = (model, length) => percent(length / (model.duration || 1));

/** How each figure is drawn, its legend, and the same as a table: column names, and each row's cells. */
const FIGURES = {
  threads: {
    draw: drawBars,
    legend: [["held", "held the GIL"], ["busy", "waited for it"], ["off", "off"]],
    columns: ["thread", "held", "", "waited", ""],
    cells: (model, { rows }) => rows.map(([thread, held, waited]) => [threadName(model, thread), duration(held, model.unit), share(model, held), duration(waited, model.unit), share(model, waited)]),
  },
  blame: {
    draw: drawBlame,
    columns: ["waits", "behind", "for", ""],
    cells: (model, { rows, columns, cells }) => cells.map(([y, x, value]) => [threadName(model, rows[y]), threadName(model, columns[x]), duration(value, model.unit), share(model, value)]),
  },
  handoffs: {
    draw: drawHandoffs,
    columns: ["from", "to", "times"],
    cells: (model, { rows, columns, cells }) => cells.map(([y, x, value]) => [threadName(model, rows[y]), threadName(model, columns[x]), integer(value)]),
  },
  causes: {
    draw: drawCauses,
    legendOf: ({ words, rows }) => words.map(({ label }, place) => [`cause${place}`, label]).filter((_, place) => rows.some(({ parts }) => parts.some((part) => part.place === place))),
    columns: ["thread", "cause", "waited", "of the trace"],
    cells: (model, { rows }) => rows.flatMap(({ thread, parts }) => parts.map(({ words, length }) => [threadName(model, thread), words.label, duration(length, model.unit), share(model, length)])),
  },
  utilisation: {
    draw: drawUtilisation,
    columns: ["thread", "window", "not kept waiting, at least"],
    cells: (model, { lengths, rows }) => rows.flatMap(({ thread, shares }) => shares.map((part, i) => [threadName(model, thread), duration(lengths[i], model.unit), percent(part)])),
  },
  waiting: {
    draw: drawWaiting,
    columns: ["threads waiting at once", "for", "of the time"],
    cells: (model, { rows }) => {
      const whole = rows.reduce((sum, [, length]) => sum + length, 0) || 1;
      return rows.map(([number, length]) => [integer(number), duration(length, model.unit), percent(length / whole)]);
    },
  },
};
const SPREAD = {
  draw: drawSpread,
  legend: QUANTILES.map(([name]) => [name]),
  columns: ["thread", "number", "median", "99th percentile", "longest"],
  cells: (model, { rows }) => rows.map(([thread, number, ...lengths]) => [threadName(model, thread), integer(number), ...lengths.map((length) => duration(length, model.unit))]),
};

/** The figures that the page makes of what it knows, beside those that it is given. */
export function ownFigures(model) {
  const threads = model.about.threads.length > SHOWN ? ` The ${SHOWN} threads that waited most.` : "";
  return [
    { name: "causes", title: "Why they waited", about: `Each thread's waiting by its cause, as shares of the trace's time.${threads}`, text: "Nobody waited.", content: () => causesByThread(model) },
    {
      name: "utilisation", title: "Minimum utilisation", content: () => utilisation(model),
      about: "However one puts a window of this length on the trace: at least this share of it a thread was not kept waiting for the GIL. Low at short windows only: short stalls. Low at long ones: starved.",
      text: "The trace is shorter than a window of 1 ms or 1,000 ticks, or nobody waited.",
    },
  ];
}

function legendOf(kind, content) {
  const symbol = (name) => (SHAPES[name] ? svg("svg", { viewBox: "-9 -9 18 18", width: 16, height: 16, "aria-hidden": "true" }, mark(name, 0, 0, name)) : el("i", { class: `swatch ${name}` }));
  const legend = kind.legend ?? kind.legendOf?.(content);
  return legend ? el("p", { class: "figure-legend" }, legend.map(([name, words]) => el("span", { class: "key" }, symbol(name), words ?? name))) : null;
}

/**
 * A figure of the page: its title, the drawing, and the same in numbers; words alone where there is nothing to draw.
 * `content`: what it shows, or a function that finds that when it is drawn.
 */
export class FigureBox {
  constructor(model, { name, title, about, text: words, content }, whose, glossary) {
    Object.assign(this, { model, name, content, words, title: whose ? `${title}, ${whose}` : title });
    this.kind = FIGURES[name] ?? SPREAD;
    const heading = el("h3", {}, whose ? el("span", { class: "badge" }, whose) : null, title);
    this.plot = el("div", { class: "plot", role: "img", "aria-label": `${title}. ${words}`, "data-figure": name });
    this.numbers = el("details", { ontoggle: () => this.fill() }, el("summary", {}, "in numbers"));
    this.element = el("figure", {}, heading, el("p", { class: "quiet" }, glossary.explain(about)), this.plot, this.numbers);
    new ResizeObserver(() => this.drawn && this.draw()).observe(this.plot);
  }

  draw() {
    if (typeof this.content === "function") this.content = this.content();
    if (!this.content) {
      if (!this.drawn) this.element.replaceChildren(this.element.firstChild, el("p", { class: "quiet" }, this.words));
      this.drawn = true;
      return;
    }
    if (!this.drawn) this.plot.before(...[legendOf(this.kind, this.content)].filter(Boolean));
    const width = Math.max(240, Math.round(this.plot.clientWidth || 640));
    if (this.drawn === width) return;
    this.drawn = width;
    this.plot.replaceChildren(this.kind.draw(this.model, this.content, width));
  }

  /** The table, made when it is first wanted. */
  fill() {
    if (this.filled) return;
    this.filled = true;
    const head = el("tr", {}, this.kind.columns.map((name) => (name ? el("th", { scope: "col" }, name) : el("td"))));
    const rows = this.kind.cells(this.model, this.content).map(([first, ...cells]) => el("tr", {}, el("th", { scope: "row" }, first), cells.map((cell) => el("td", {}, cell))));
    this.numbers.append(el("div", { class: "numbers", tabindex: 0, role: "region", "aria-label": `${this.title}, in numbers` }, el("table", {}, el("thead", {}, head), el("tbody", {}, rows))));
  }
}

/** Draws the boxes one by one, so that the page answers in between. */
export async function drawAll(boxes) {
  for (const box of boxes) {
    await new Promise((done) => { setTimeout(done, 0); });
    box.draw();
  }
}
