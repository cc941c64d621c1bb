// The document of a trace, and its arrays, which are decoded when they are first asked for.

const NUMBERS = {f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array, b1: Uint8Array};

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** JSON from base64 of gzip. */
export async function unpacked(base64) {
  const packed = new Blob([bytesOf(base64.trim())]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).json();
}

/** How many numbers a shape has. */
export const count = shape => shape.reduce((a, n) => a * n, 1);

function undelta(numbers) {
  for (let i = 1; i < numbers.length; i++) numbers[i] += numbers[i - 1];
  return numbers;
}

function decoded(item) {
  const {shape, dtype} = item;
  if (!shape || !dtype) return null;
  let data;
  if ("fill" in item) {
    data = new (NUMBERS[dtype] ?? Float64Array)(count(shape)).fill(Number(item.fill));
  } else {
    const bytes = bytesOf(item.data ?? "");
    if (dtype === "i8") {
      const whole = new BigInt64Array(bytes.buffer);
      data = Float64Array.from(item.coding === "delta" ? undelta(whole) : whole, Number);
    } else {
      data = new NUMBERS[dtype](bytes.buffer);
      if (item.coding === "delta") undelta(data);
    }
  }
  return {shape, dtype, data, full: item.full, stats: item.stats};
}

/** The arrays of a document by place: {shape, dtype, data, full, stats}. Of one that was cut (`full`
 * false) `data` has the first numbers only. */
export class Arrays {
  constructor(items) {
    this.items = items;
    this.known = new Map();
  }

  get(place) {
    if (place === null || place === undefined) return null;
    if (!this.known.has(place)) this.known.set(place, decoded(this.items[place]));
    return this.known.get(place);
  }

  /** The array if all its numbers are there, else null. */
  whole(place) {
    const a = this.get(place);
    return a && a.full ? a : null;
  }
}

/** The flat position of an index in an array of this shape. */
export function flatOf(index, shape) {
  let place = 0;
  for (let d = 0; d < shape.length; d++) place = place * shape[d] + index[d];
  return place;
}

/** The index of a flat position. */
export function indexOf(place, shape) {
  const index = new Array(shape.length);
  for (let d = shape.length - 1; d >= 0; d--) {
    index[d] = place % shape[d];
    place = Math.floor(place / shape[d]);
  }
  return index;
}

/** Is this an element of an array of this shape? */
export const isCell = (index, shape) => Array.isArray(index) && index.length === shape.length
  && index.every((i, d) => Number.isInteger(i) && i >= 0 && i < shape[d]);

/** Where the largest magnitude is, or the first number that is not finite. */
export function largest(a) {
  let place = 0, most = -1;
  for (let i = 0; i < a.data.length; i++) {
    const size = Math.abs(a.data[i]);
    if (!Number.isFinite(size)) return indexOf(i, a.shape);
    if (size > most) { most = size; place = i; }
  }
  return indexOf(place, a.shape);
}
