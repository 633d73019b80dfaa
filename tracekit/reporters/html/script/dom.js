// Elements are made here alone, and text is always text: nothing of a trace is ever read as HTML.

/** An element: `attributes` as in HTML, `on…` functions as listeners, `null` left out; children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

let measuring = null;

/** How wide a text is in a figure, in pixels. */
export function textWidth(text) {
  measuring ??= document.createElement("canvas").getContext("2d");
  measuring.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return measuring.measureText(text).width;
}

export function button(text, act, attributes = {}) {
  return el("button", { type: "button", onclick: act, ...attributes }, text);
}

/** The colours of the style sheet, by the names of its custom properties without their dashes. */
export function colours(names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

let paper = false;

/** From now on drawings are for paper, or for the screen again. */
export function drawForPaper(now) {
  paper = now;
}

/** A canvas's pixels for each CSS pixel. */
export function pixelRatio() {
  return paper ? 2 : window.devicePixelRatio || 1;
}

/** A canvas that fits its box, sharp on any screen; gives its context in CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const ratio = pixelRatio();
  const [across, down] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d", { willReadFrequently: false });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { class: "copied" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
