// Numbers as people read them; the same words as tracekit/words.py.

const SIZES = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
];
const whole = new Intl.NumberFormat("en");
const made = new Map(); // number formats are slow to make

export function integer(value) {
  return whole.format(value);
}

export function count(number, one, many = `${one}s`) {
  return `${integer(number)} ${number === 1 ? one : many}`;
}

/** A number with so many places. */
function fixed(value, places) {
  if (!made.has(places)) made.set(places, new Intl.NumberFormat("en", { minimumFractionDigits: places, maximumFractionDigits: places }));
  return made.get(places).format(value);
}

/** `12.3 ms`, or `1,234 ticks`. */
export function duration(value, unit) {
  if (unit === "ticks") return count(Math.round(value), "tick");
  for (const [size, name] of SIZES) {
    if (value >= 0.9995 * size) {
      const shown = value / size;
      const places = shown >= 100 ? 0 : shown >= 10 ? 1 : 2;
      return `${fixed(shown, places)} ${name}`;
    }
  }
  return `${Math.round(value)} ns`;
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** 1, 2 or 5 times a power of ten, at least 1 and at least `least`. */
export function niceStep(least) {
  if (least <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least * 0.999999);
}

/**
 * Where an axis is marked, and what stands there: `{base, ticks: [{at, text}]}`. Where the numbers would be long, `base`
 * says what they count from, and each is a short offset.
 */
export function axisTicks(from, to, unit, most) {
  const step = niceStep((to - from) / Math.max(1, most));
  const first = Math.ceil(from / step) * step;
  const at = [];
  for (let i = 0; first + i * step <= to; i++) at.push(first + i * step);
  const digits = Math.log10(Math.max(Math.abs(to), 1) / step);
  if (digits < 6 || at.length === 0) return { base: "", ticks: at.map((x) => ({ at: x, text: exact(x, step, unit, to) })) };
  const base = at[0];
  return {
    base: exact(base, step, unit, base),
    ticks: at.map((x) => ({ at: x, text: x === base ? "+0" : `+${exact(x - base, step, unit, to - from)}` })),
  };
}

/** A clock value with as many places as a step needs, in a unit that suits `size`. */
export function exact(value, step, unit, size) {
  if (unit !== "ns") return integer(value);
  if (value === 0) return "0";
  const [scale, name] = SIZES.find(([least]) => size >= least) ?? [1, "ns"];
  const places = Math.max(0, Math.ceil(Math.log10(scale / step) - 1e-9));
  return `${fixed(value / scale, places)} ${name}`;
}

/** `text` cut to `most` characters, its end an ellipsis. */
export function short(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** One argument of a shell's command line, whatever a name in it contains. */
export function shellQuote(text) {
  return /^[\w\s*=<>.,()'-]+$/.test(text) ? `"${text}"` : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
