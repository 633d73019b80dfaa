// Decodes what payload.py packed: base64 of deflated little-endian integers, column behind column.

const ARRAYS = {
  u1: Uint8Array,
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  u4: Uint32Array,
  i4: Int32Array,
  i8: BigInt64Array,
};

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The bytes of a base64 text of deflated data. */
async function inflate(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function decode(raw, coding) {
  if (coding === "plain" && !(raw instanceof BigInt64Array)) return raw;
  const values = new Float64Array(raw.length);
  let sum = 0;
  for (let i = 0; i < raw.length; i++) {
    sum = coding === "delta" ? sum + Number(raw[i]) : Number(raw[i]);
    values[i] = sum;
  }
  return values;
}

/** A packed table as an object of typed arrays by name, with `rows`, their common length. */
export async function unpack(packed) {
  const bytes = await inflate(packed.data);
  const table = { rows: 0 };
  let offset = 0;
  for (const [name, dtype, coding, length] of packed.columns) {
    const raw = new ARRAYS[dtype](bytes.buffer, offset, length);
    table[name] = decode(raw, coding);
    table.rows = length;
    offset += Math.ceil(raw.byteLength / 8) * 8;
  }
  return table;
}

/** The table's part of each thread, as views on its columns. Its rows are sorted by thread. */
export function byThread(table, threads) {
  const parts = [];
  let begin = 0;
  for (let thread = 0; thread < threads; thread++) {
    let end = begin;
    while (end < table.rows && table.thread[end] === thread) end++;
    const part = { rows: end - begin };
    for (const [name, values] of Object.entries(table)) {
      if (name !== "rows") part[name] = values.subarray(begin, end);
    }
    parts.push(part);
    begin = end;
  }
  return parts;
}
