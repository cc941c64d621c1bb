// A formula as a list of steps (minidl/explain/steps.py), evaluated for numbers or whole arrays, and
// with derivatives along one direction: beside each value its change, as by dual numbers.

import {count, indexOf} from "./decode.mjs";

/** erf by its series, and by a continued fraction where that converges better. */
export function erf(x) {
  const z = Math.abs(x);
  if (Number.isNaN(x)) return NaN;
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
  let f = 0;
  for (let n = 60; n > 0; n--) f = n / 2 / (z + f);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + f));
}

// name: [the function, its derivative for each operand (from the operands, and y)]
const never = () => 0;
const FUNCTIONS = {
  same: [a => a, [() => 1]],
  add: [(a, b) => a + b, [() => 1, () => 1]],
  sub: [(a, b) => a - b, [() => 1, () => -1]],
  mul: [(a, b) => a * b, [(a, b) => b, a => a]],
  div: [(a, b) => a / b, [(a, b) => 1 / b, (a, b) => -a / (b * b)]],
  pow: [(a, b) => b === 0 ? 1 : a ** b,
        [(a, b) => b === 0 ? 0 : b * a ** (b - 1), (a, b, c, y) => y * Math.log(a)]],
  neg: [a => -a, [() => -1]],
  exp: [Math.exp, [(a, b, c, y) => y]],
  log: [Math.log, [a => 1 / a]],
  log1p: [Math.log1p, [a => 1 / (1 + a)]],
  expm1: [Math.expm1, [(a, b, c, y) => y + 1]],
  sqrt: [Math.sqrt, [(a, b, c, y) => 1 / (2 * y)]],
  sin: [Math.sin, [Math.cos]],
  cos: [Math.cos, [a => -Math.sin(a)]],
  tanh: [Math.tanh, [(a, b, c, y) => 1 - y * y]],
  erf: [erf, [a => 2 / Math.sqrt(Math.PI) * Math.exp(-a * a)]],
  abs: [Math.abs, [Math.sign]],
  sign: [Math.sign, [never]],
  maximum: [Math.max, [(a, b) => a > b ? 1 : a === b ? 0.5 : 0, (a, b) => b > a ? 1 : a === b ? 0.5 : 0]],
  minimum: [Math.min, [(a, b) => a < b ? 1 : a === b ? 0.5 : 0, (a, b) => b < a ? 1 : a === b ? 0.5 : 0]],
  clip: [(a, low, high) => Math.min(Math.max(a, low), high),
         [(a, low, high) => a >= low && a <= high ? 1 : 0, never, never]],
  where: [(c, a, b) => c ? a : b, [never, c => c ? 1 : 0, c => c ? 0 : 1]],
  gt: [(a, b) => Number(a > b), [never, never]], ge: [(a, b) => Number(a >= b), [never, never]],
  lt: [(a, b) => Number(a < b), [never, never]], le: [(a, b) => Number(a <= b), [never, never]],
  eq: [(a, b) => Number(a === b), [never, never]], ne: [(a, b) => Number(a !== b), [never, never]],
};

const WORDS = {inf: Infinity, "-inf": -Infinity, nan: NaN};

/** What an operand of a step stands for: a number, or what `known` has under its name. */
const look = (a, known) => typeof a !== "string" ? a : known.has(a) ? known.get(a) : WORDS[a];

/** The steps' values for single numbers, by name in order: a Map, which begins with `values`. */
export function numbers(steps, values) {
  const known = new Map(Object.entries(values));
  for (const {name, do: what, of} of steps) {
    known.set(name, FUNCTIONS[what][0](...of.map(a => look(a, known))));
  }
  return known;
}

/** The last step's value for single numbers. */
export const numberOf = (steps, values) => numbers(steps, values).get(steps.at(-1).name);

// ---------------------------------------------------------------- whole arrays {shape, data, dot}
const scalar = value => ({shape: [], data: [value], dot: null});

/** The shape that these broadcast to. */
export function broadcast(shapes) {
  const rank = Math.max(0, ...shapes.map(s => s.length)), shape = new Array(rank).fill(1);
  for (const s of shapes) {
    s.forEach((n, d) => { if (n !== 1) shape[rank - s.length + d] = n; });
  }
  return shape;
}

/** For each element of `shape` the position in an array of shape `own`, broadcast to it. */
export function positions(own, shape) {
  const strides = new Array(shape.length).fill(0);
  for (let d = own.length - 1, step = 1; d >= 0; step *= own[d--]) {
    if (own[d] !== 1) strides[shape.length - own.length + d] = step;
  }
  const found = new Int32Array(count(shape)), index = new Array(shape.length).fill(0);
  for (let i = 0, place = 0; i < found.length; i++) {
    found[i] = place;
    for (let d = shape.length - 1; d >= 0; d--) {
      place += strides[d];
      if (++index[d] < shape[d]) break;
      place -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return found;
}

function elementwise(what, of) {
  const [f, partials] = FUNCTIONS[what], shape = broadcast(of.map(a => a.shape));
  const places = of.map(a => positions(a.shape, shape)), size = count(shape);
  const data = new Float64Array(size), moving = of.some(a => a.dot);
  const dot = moving ? new Float64Array(size) : null, args = [0, 0, 0];
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < of.length; k++) args[k] = of[k].data[places[k][i]];
    const y = data[i] = of.length === 1 ? f(args[0]) : f(args[0], args[1], args[2]);
    for (let k = 0; moving && k < of.length; k++) {
      const change = of[k].dot ? of[k].dot[places[k][i]] : 0;
      if (change !== 0) dot[i] += change * partials[k](args[0], args[1], args[2], y);
    }
  }
  return {shape, data, dot};
}

/** For each element of an array the element of the reduced one that it goes to, and that shape. */
function reduced(shape, dim) {
  const kept = shape.map((n, d) => dim.some(i => (i + shape.length) % shape.length === d) ? 1 : n);
  return [positions(kept, shape), kept];
}

function total(a, dim, scale = 1) {
  const [to, shape] = reduced(a.shape, dim), data = new Float64Array(count(shape));
  const dot = a.dot ? new Float64Array(data.length) : null;
  for (let i = 0; i < to.length; i++) {
    data[to[i]] += a.data[i] * scale;
    if (dot) dot[to[i]] += a.dot[i] * scale;
  }
  return {shape, data, dot};
}

const share = (a, dim) => count(reduced(a.shape, dim)[1]) / count(a.shape);

function extreme(a, dim, sign) {
  const [to, shape] = reduced(a.shape, dim), size = count(shape), ties = new Float64Array(size);
  const data = new Float64Array(size).fill(-Infinity), dot = a.dot ? new Float64Array(size) : null;
  to.forEach((p, i) => { data[p] = Math.max(data[p], sign * a.data[i]); });
  to.forEach((p, i) => {
    if (Object.is(data[p], sign * a.data[i]) || data[p] === sign * a.data[i]) {
      ties[p]++;
      if (dot) dot[p] += a.dot[i];
    }
  });
  for (let p = 0; p < size; p++) {
    data[p] *= sign;
    if (dot && ties[p]) dot[p] /= ties[p];
  }
  return {shape, data, dot};
}

function taken(x, t, dim) {
  const d = (dim[0] + x.shape.length) % x.shape.length, places = new Int32Array(count(t.shape));
  for (let i = 0; i < places.length; i++) {
    const index = indexOf(i, t.shape);
    index[d] = t.data[i];
    places[i] = index.reduce((p, n, axis) => p * x.shape[axis] + n, 0);
  }
  const pick = from => from && Float64Array.from(places, p => from[p]);
  return {shape: t.shape, data: pick(x.data), dot: pick(x.dot)};
}

const WHOLE = {
  sum: total, mean: (a, dim) => total(a, dim, share(a, dim)),
  max: (a, dim) => extreme(a, dim, 1), min: (a, dim) => extreme(a, dim, -1),
  var: (a, dim) => {
    const centred = elementwise("sub", [a, WHOLE.mean(a, dim)]);
    return WHOLE.mean(elementwise("mul", [centred, centred]), dim);
  },
};

/** The steps' values for whole arrays, by name in order: a Map, which begins with `values`. Where an
 * operand has a `dot`, its change, so has what depends on it. */
export function arrays(steps, values) {
  const known = new Map(Object.entries(values));
  for (const {name, do: what, of, dim} of steps) {
    const args = of.map(a => look(a, known)).map(a => typeof a === "number" ? scalar(a) : a);
    known.set(name, what === "take" ? taken(...args, dim)
      : dim ? WHOLE[what](args[0], dim)
      : what === "column" ? {...args[0], shape: [...args[0].shape, 1]} : elementwise(what, args));
  }
  return known;
}
