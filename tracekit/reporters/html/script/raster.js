// Lanes as pixels: what is held grows from a lane's bottom, what is waited hangs from its top.

import { BUSY, ENTERING, HELD, RETRIED, STATES } from "./bins.js";

/** `#rrggbb` as the number that a pixel of ImageData is. */
export function pixel(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Pixels that a share takes of `height`: at least one where the state occurs at all. */
export function tall(share, seen, height) {
  return seen ? Math.max(1, Math.round(share * height)) : 0;
}

/**
 * Paints a lane's columns into `pixels` (a Uint32Array, `across` wide) from row `top` on, `height` rows. Beside its hue
 * each state has a texture: retried is hatched, busy dotted, held plain.
 */
export function paintLane(pixels, across, top, height, columns, palette, ratio) {
  const { shares, seen, length } = columns;
  const hatch = Math.round(6 * ratio);
  const line = Math.max(1, Math.round(1.5 * ratio));
  const textured = height >= 8 * ratio;
  for (let x = 0; x < length; x++) {
    if (!seen[x]) {
      for (let y = 0, at = top * across + x; y < height; y++, at += across) pixels[at] = palette.off;
      continue;
    }
    const part = (state) => tall(shares[x * STATES + state], seen[x] & (1 << state), height);
    const held = part(HELD);
    let [retried, busy, entering] = [part(RETRIED), part(BUSY), part(ENTERING)];
    const waiting = retried + busy + entering;
    if (waiting && held + waiting > height) {
      // Only the rounding, or a thread that asks while it holds: nothing that occurs may vanish.
      const room = Math.max(held ? 1 : height, height - held, Math.min(waiting, Math.floor(height / 2)));
      retried = retried && Math.max(1, Math.round((retried * room) / waiting));
      busy = busy && Math.max(1, Math.round((busy * room) / waiting));
      entering = entering && Math.max(1, Math.round((entering * room) / waiting));
    }
    const a = retried;
    const b = a + busy;
    const c = b + entering;
    const d = height - held;
    for (let y = 0, at = top * across + x; y < height; y++, at += across) {
      if (y < a) pixels[at] = textured && (x + y) % hatch < line ? palette.retriedLine : palette.retried;
      else if (y < b) pixels[at] = textured && x % hatch < line && y % hatch < line ? palette.busyLine : palette.busy;
      else if (y < c) pixels[at] = palette.entering;
      else if (y >= d) pixels[at] = palette.held;
      else pixels[at] = palette.off;
    }
  }
}
