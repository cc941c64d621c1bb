// One number as a sum of terms, from an op's index map (minidl/explain/bound.py): of a result, or of
// the contribution that the op's backward pass gave to one of its operands.
//
// A call is {map, operands: [array], out: array, extra: {name: array}}; gy is an array like out. What
// is found is {terms: [{factors: [{name, index, value, operand}], value}], outside, total, sign,
// steps, padding}: `operand` is the place of an operand, "gy" or null; `sign` "*" of products, "," of a
// function's operands; `steps` are the lines of a formula with their numbers; `padding` has the places
// outside the operands.

import {arrays, numberOf, numbers, positions} from "./steps.mjs";
import {flatOf, indexOf} from "./decode.mjs";

/** Every index combination of a contract for which `fixed` (pairs of a linear form and its value)
 * holds; each index is an object by name. */
export function* combinations(loops, fixed) {
  const names = Object.keys(loops), uses = ({form}, i) => form[i];
  const rules = fixed.map(([form, wanted]) => ({form, wanted: wanted - (form[""] ?? 0),
    last: Object.keys(form).filter(Boolean).at(-1)}));
  if (rules.some(r => r.last === undefined && r.wanted !== 0)) return;
  const order = [...new Set([...rules.flatMap(r => Object.keys(r.form).filter(Boolean)), ...names])];
  for (const r of rules) r.last = order.findLast(i => uses(r, i));
  const index = {};
  function* walk(depth) {
    if (depth === order.length) { yield index; return; }
    const i = order[depth], rule = rules.find(r => r.last === i);
    const rest = r => Object.keys(r.form).reduce(
      (sum, j) => j && j !== i ? sum - r.form[j] * index[j] : sum, r.wanted);
    let from = 0, to = loops[i];
    if (rule) {                                  // the only value that can fulfil this rule
      from = rest(rule) / rule.form[i];
      if (!Number.isInteger(from) || from < 0 || from >= to) return;
      to = from + 1;
    }
    for (let n = from; n < to; n++) {
      index[i] = n;
      if (rules.every(r => r.last !== i || rest(r) === r.form[i] * n)) yield* walk(depth + 1);
    }
  }
  yield* walk(0);
}

const placeOf = (forms, index) => forms.map(form => {
  let place = 0;
  for (const i in form) place += i ? form[i] * index[i] : form[i];
  return place;
});

const inside = (place, shape) => place.every((n, d) => n >= 0 && n < shape[d]);

/** Of a contract: {places: of result and operands, inside: false in the padding}, term by term. */
export function* products(map, fixed, shapes) {
  for (const index of combinations(map.loops, fixed)) {
    const places = [map.out, ...map.factors].map(forms => placeOf(forms, index));
    yield {places, inside: places.every((p, k) => inside(p, shapes[k]))};
  }
}

const at = (array, index) => Number(array.data[flatOf(index, array.shape)]);
const factor = (call, k, index) => (
  {name: call.map.operands[k], index, value: at(call.operands[k], index), operand: k});
const upstream = (call, gy, index) => (
  {name: `g${call.map.result}`, index, value: at(gy, index), operand: "gy"});
const product = factors => ({factors, value: factors.reduce((p, f) => p * f.value, 1)});

function found(terms, outside = 0, more = {}) {
  const total = terms.reduce((sum, t) => sum + t.value, 0);
  terms.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return {terms, outside, total, sign: "*", steps: [], padding: [], ...more};
}

// ---------------------------------------------------------------- of a result
/** One element of what the call computed. */
export function valueTerms(call, index) {
  return VALUES[call.map.kind](call, index);
}

const VALUES = {
  contract(call, index) {
    const {map} = call, terms = [], bias = map.factors.length;
    const padding = [], fixed = map.out.map((form, d) => [form, index[d]]);
    for (const p of products(map, fixed, shapesOf(call, map.factors.map((_, k) => k)))) {
      if (p.inside) terms.push(product(p.places.slice(1).map((q, k) => factor(call, k, q))));
      else padding.push(p.places.slice(1));
    }
    if (map.bias) {
      const wanted = map.bias.out.map((form, d) => [form, index[d]]);
      for (const p of products(map.bias, wanted, shapesOf(call, [bias]))) {
        if (p.inside) terms.push(product([factor(call, bias, p.places[1])]));
      }
    }
    return found(terms, padding.length, {padding});
  },

  positions(call, index) {
    const p = flatOf(index, call.out.shape), terms = [];
    for (const {operand, out, in: from} of call.map.groups) {
      for (const q of partners(out, from, p, call)) {
        terms.push(product([factor(call, operand, indexOf(q, call.operands[operand].shape))]));
      }
    }
    if (!terms.length) terms.push({factors: [], value: Number(call.map.constant ?? 0)});
    if (!call.map.window) return found(terms);
    const fixed = call.map.window.out.map((form, d) => [form, index[d]]), candidates = [];
    for (const p of products(call.map.window, fixed, shapesOf(call, [0]))) {
      if (p.inside) candidates.push(factor(call, 0, p.places[1]));
    }
    return found(terms, 0, {candidates});
  },

  elementwise(call, index) {
    const [values, factors] = cellOf(call, index);
    const known = numbers(call.map.value, values);
    const value = known.get(call.map.value.at(-1).name);
    return found([{factors, value}], 0, {sign: ",", steps: lines(call.map.value, n => known.get(n))});
  },

  composite(call, index) {
    const known = arrays(call.map.value, whole(call));
    const own = ownIndex(call, index), show = name => near(known.get(name), index, own, call.out.shape);
    const value = Number(known.get(call.map.value.at(-1).name).data[flatOf(index, call.out.shape)]);
    return found([{factors: mixed(call, index), value}], 0,
                 {sign: ",", steps: lines(call.map.value, show)});
  },
};

const shapesOf = (call, operands) => [call.out.shape, ...operands.map(k => call.operands[k].shape)];

/** What the pairs of two lists of places join to the place p of the first: null counts up. */
function partners(first, second, p, call) {
  const [one, two] = [first, second].map(place => call.places(place));
  if (!one) return [two ? Number(two.data[p]) : p];
  const joined = [];
  for (let i = 0; i < one.data.length; i++) {
    if (Number(one.data[i]) === p) joined.push(two ? Number(two.data[i]) : i);
  }
  return joined;
}

/** The index that an element of an array of `shape` has in an operand that is broadcast to it. */
const shared = (index, own) => own.map((n, d) => n === 1 ? 0 : index[index.length - own.length + d]);

/** The numbers that an elementwise op had for one element, by name; and its operands as factors. */
function cellOf(call, index) {
  const factors = call.operands.map((x, k) => factor(call, k, shared(index, x.shape)));
  const values = Object.fromEntries(factors.map(f => [f.name, f.value]));
  for (const [name, a] of Object.entries(call.extra)) {
    const place = shared(index, a.shape);
    values[name] = at(a, place);
    factors.push({name, index: place, value: values[name], operand: null});
  }
  if (!("y" in values)) values.y = at(call.out, index);
  return [values, factors];
}

/** The operands of a composite by name, and the other arrays. */
function whole(call) {
  return {...Object.fromEntries(call.map.operands.map((name, k) => [name, call.operands[k]])),
          ...call.extra};
}

/** The element of a step that belongs to the element `index` of the result, or `own` of the first
 * operand; null where it has neither's axes. */
function near(a, index, own, shape) {
  if (typeof a === "number") return a;
  if (a.shape.length === own.length) return at(a, shared(own, a.shape));
  return a.shape.length === shape.length ? at(a, shared(index, a.shape)) : null;
}

/** The axes of a composite's first operand that its steps mix. */
const mixedAxes = call => new Set(call.map.value.flatMap(s => s.dim ?? []).map(
  d => (d + call.operands[0].shape.length) % call.operands[0].shape.length));

/** The index in the first operand of a result's element: 0 along axes that the result has lost. */
function ownIndex(call, index) {
  const {shape} = call.operands[0], dims = mixedAxes(call), rest = [...index];
  if (shape.length === call.out.shape.length) return shape.map((n, d) => n === 1 ? 0 : index[d]);
  return shape.map((n, d) => dims.has(d) ? 0 : rest.shift());
}

const lines = (steps, show) => steps.filter(s => s.text).map(s => ({
  text: s.text, name: s.name, value: show(s.name)}));

/** The operands' elements that a composite's element is made of: of the first operand all along the
 * axes that are mixed, the one at the same place first. */
function mixed(call, index) {
  const factors = [], x = call.operands[0], dims = mixedAxes(call), own = ownIndex(call, index);
  const one = flatOf(own, x.shape);
  for (let place = 0; place < x.data.length; place++) {
    const other = indexOf(place, x.shape);
    if (other.every((i, d) => dims.has(d) || i === own[d])) factors.push(factor(call, 0, other));
  }
  factors.sort((a, b) => (flatOf(b.index, x.shape) === one) - (flatOf(a.index, x.shape) === one));
  call.operands.slice(1).forEach((w, k) => factors.splice(1, 0, factor(
    call, k + 1, shared(own, w.shape))));
  for (const [name, a] of Object.entries(call.extra)) {
    const place = a.shape.map((n, d) => n === 1 ? 0 : own[d] ?? 0);
    factors.push({name, index: place, value: at(a, place), operand: null});
  }
  return factors;
}

// ---------------------------------------------------------------- of a gradient
/** One element of what the call's backward pass gave to operand k, for the upstream gy. */
export function gradientTerms(call, k, index, gy) {
  return GRADIENTS[call.map.kind](call, k, index, gy);
}

const GRADIENTS = {
  contract(call, k, index, gy) {
    const {map} = call, count = map.factors.length, terms = [];
    const part = k < count ? map : map.bias, own = k < count ? k : 0;
    const operands = k < count ? map.factors.map((_, i) => i) : [k];
    let outside = 0;
    const fixed = part.factors[own].map((form, d) => [form, index[d]]);
    for (const {places, inside: there} of products(part, fixed, shapesOf(call, operands))) {
      if (!there) { outside++; continue; }
      const others = operands.flatMap((o, i) => o === k ? [] : [factor(call, o, places[i + 1])]);
      terms.push(product([upstream(call, gy, places[0]), ...others]));
    }
    return found(terms, outside);
  },

  positions(call, k, index, gy) {
    const q = flatOf(index, call.operands[k].shape), terms = [];
    for (const {operand, out, in: from} of call.map.groups) {
      if (operand !== k) continue;
      for (const p of partners(from, out, q, call)) {
        if (p < gy.data.length) terms.push(product([upstream(call, gy, indexOf(p, gy.shape))]));
      }
    }
    return found(terms);
  },

  elementwise(call, k, index, gy) {
    const x = call.operands[k], to = positions(x.shape, call.out.shape), terms = [];
    const q = flatOf(index, x.shape), steps = call.map.partials[k];
    const name = `d${call.map.result}/d${call.map.operands[k]}`;
    for (let p = 0; steps && p < to.length; p++) {
      if (to[p] !== q) continue;
      const place = indexOf(p, call.out.shape), value = numberOf(steps, cellOf(call, place)[0]);
      terms.push(product([upstream(call, gy, place), {name, index: place, value, operand: null,
                                                      slope: true}]));
    }
    return found(terms);
  },

  composite(call, k, index, gy) {
    const x = call.operands[k], dot = new Float64Array(x.data.length), values = whole(call);
    dot[flatOf(index, x.shape)] = 1;
    values[call.map.operands[k]] = {...x, dot};
    const known = arrays(call.map.value, values), y = known.get(call.map.value.at(-1).name), terms = [];
    const name = `d${call.map.result}/d${call.map.operands[k]}`;
    for (let p = 0; y.dot && p < y.dot.length; p++) {
      if (!y.dot[p]) continue;
      const place = indexOf(p, call.out.shape);
      terms.push(product([upstream(call, gy, place), {name, index: place, value: y.dot[p],
                                                      operand: null, slope: true}]));
    }
    const seen = terms.reduce((best, t) => !best || Math.abs(t.value) > Math.abs(best.value) ? t : best, null)?.factors[0].index;
    if (!seen) return found(terms);
    const own = ownIndex(call, seen), change = a => a.dot ? near({shape: a.shape, data: a.dot}, seen, own, call.out.shape) : 0;
    return found(terms, 0, {seen, moved: `${call.map.operands[k]}[${index}]`,
      steps: call.map.value.filter(s => s.text).map(s => ({text: s.text, name: s.name,
        value: near(known.get(s.name), seen, own, call.out.shape), change: change(known.get(s.name))}))});
  },
};

