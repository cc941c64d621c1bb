// The formula of an event as MathML (made in Python), and the same with the cell's numbers put in.

import {digits, h, indexed} from "./dom.mjs";

const MATH = "http://www.w3.org/1998/Math/MathML";

function math(tag, text) {
  const element = document.createElementNS(MATH, tag);
  element.textContent = text;
  return element;
}

/** An element made of a text of MathML: of that alone, with no attribute that could do anything. */
export function parsed(text) {
  const found = document.importNode(new DOMParser().parseFromString(text, "application/xml").documentElement, true);
  for (const one of [...found.querySelectorAll("*"), found]) {
    if (one.namespaceURI !== MATH) { one === found ? found.replaceChildren() : one.remove(); continue; }
    for (const {name} of [...one.attributes]) if (!["class", "display", "stretchy", "width", "xmlns"].includes(name)) one.removeAttribute(name);
  }
  return found;
}

/** The linear form ``{"i": 2, "": -1}`` with what is known put in: its MathML. */
function linear(form, known) {
  let constant = form[""] ?? 0;
  const parts = [];
  for (const [i, c] of Object.entries(form)) {
    if (!i) continue;
    if (i in known) constant += c * known[i];
    else parts.push([c, i]);
  }
  const row = document.createElementNS(MATH, "mrow");
  for (const [c, i] of parts) {
    if (row.childNodes.length) row.append(math("mo", c < 0 ? "\u2212" : "+"));
    else if (c < 0) row.append(math("mo", "\u2212"));
    if (Math.abs(c) !== 1) row.append(math("mn", Math.abs(c)));
    row.append(math("mi", i));
  }
  if (constant || !parts.length) {
    if (parts.length) row.append(math("mo", constant < 0 ? "\u2212" : "+"));
    row.append(math("mn", parts.length ? Math.abs(constant) : String(constant).replace("-", "\u2212")));
  }
  return row;
}

/** Which indices a cell fixes: the axes that are one index alone. */
function knownOf(forms, cell) {
  const known = {};
  forms.forEach((form, d) => {
    const names = Object.keys(form);
    if (names.length === 1 && names[0] && form[names[0]] === 1) known[names[0]] = cell[d];
  });
  return known;
}

/** A sum of products with a cell's indices: `own` is 0 for the result, k for its k-th factor, of the
 * map or (one more than its factors) of the bias. */
function contracted(text, map, own, cell) {
  const element = parsed(text), bias = own > map.factors.length;
  const parts = {ax: [[map.out, ...map.factors], bias ? null : own], bx: map.bias ? [[map.bias.out, ...map.bias.factors], bias ? 1 : own ? null : 0] : [[], null]};
  const known = {};
  for (const [arrays, mine] of Object.values(parts)) if (mine !== null && arrays.length) Object.assign(known, knownOf(arrays[mine], cell));
  for (const part of element.querySelectorAll("[class^='ax-'], [class^='bx-'], [class^='if-']")) {
    const [kind, array, axis] = part.getAttribute("class").split("-"), [arrays, mine] = parts[kind === "bx" ? "bx" : "ax"];
    const forms = arrays[Number(array)], d = forms ? forms.length - 1 - Number(axis) : 0;
    const rest = !forms ? [undefined] : part.textContent.trim() === "\u2026" ? forms.slice(0, d + 1) : [forms[d]];
    if (rest.some(form => form === undefined)) continue;
    const from = d + 1 - rest.length;
    part.replaceChildren(...rest.flatMap((form, i) => {
      const number = math("mn", cell[from + i]);
      const shown = kind !== "if" && Number(array) === mine ? [number]
        : kind === "if" ? [linear(form, known), math("mo", "="), number] : [linear(form, known)];
      return i ? [math("mo", ","), ...shown] : shown;
    }));
  }
  const loops = bias ? map.bias.loops : map.loops, [arrays] = bias ? parts.bx : parts.ax;
  const free = Object.keys(loops).filter(i => !(i in known) && arrays.some(forms => forms.some(form => i in form)));
  for (const part of element.querySelectorAll("[class='sum']")) {
    part.replaceChildren(...free.flatMap((i, n) => n ? [math("mo", ","), math("mi", i)] : [math("mi", i)]));
  }
  return element;
}

/** A formula with numbers in the place of its symbols, but for the first, which it is about. */
function numbered(text, values) {
  const element = parsed(text), symbols = [...element.querySelectorAll("[class^='s-']")];
  for (const symbol of symbols.slice(1)) {
    const name = symbol.getAttribute("class").slice(2);
    if (name in values) symbol.replaceChildren(math("mn", digits(values[name], 4)));
  }
  return element;
}

/** The formula without its bias, of a call that has none. */
function withoutBias(element, map) {
  if (!map?.bias) element.querySelectorAll("[class='bias']").forEach(part => part.remove());
  return element;
}

/** What the formula panel shows of an event's cell: elements, one a line. */
export function formulaOf(trace, n, cell, found) {
  const e = trace.events[n];
  if (e.phase === "update") return [];
  const op = trace.ops[e.op], made = trace.doc.formulas?.[op.op], {map} = op;
  if (!made) return [h("p", {class: "dim", text: "an op of your own: it declares no formula"})];
  const backward = e.phase === "backward", own = backward ? e.input + 1 : 0;
  const texts = backward ? [made.gradients[e.input] ?? made.gradients[0]] : made.value;
  const lines = texts.map(text => h("div", {class: "formula"}, withoutBias(parsed(text), map)));
  if (!map || typeof found === "string") return lines;
  if (map.kind === "contract") {
    lines.push(h("div", {class: "formula put-in"}, withoutBias(contracted(texts[0], map, own, cell), map)));
  } else if (map.kind === "elementwise" && found.terms.length === 1) {
    const factors = found.terms[0].factors;
    const values = Object.fromEntries(factors.map(f => [f.name, f.value]));
    const at = Object.fromEntries(trace.call(e.op).operands.map((x, k) => [map.operands[k],
      Number(x.data[x.data.length === 1 ? 0 : placeOf(x, factors[0].index)])]));
    const {out} = trace.call(e.op);
    if (backward) Object.assign(values, at, {[map.result]: Number(out.data[placeOf(out, factors[0].index)])});
    lines.push(h("div", {class: "formula put-in"}, numbered(texts[0], values),
                 h("span", {class: "secret", text: ` = ${digits(found.total)}`})));
  }
  if (map.kind === "positions" && found.terms.length && found.terms[0].factors.length) {
    const left = `${backward ? "g" : ""}${backward ? map.operands[e.input] : map.result}${indexed(cell)}`;
    const all = found.terms.map(t => `${t.factors[0].name}${indexed(t.factors[0].index)}`);
    lines.push(h("div", {class: "formula put-in", text: `${left} = ${all.slice(0, 4).join(" + ")}${all.length > 4 ? ` + ${all.length - 4} more` : ""}`}));
  }
  return lines;
}

/** The flat place of an index in an array that is broadcast to the index's shape. */
function placeOf(x, index) {
  return x.shape.reduce((p, n, d) => p * n + (n === 1 ? 0 : index[index.length - x.shape.length + d]), 0);
}
