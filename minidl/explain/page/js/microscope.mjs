// The arrays of an event side by side: operands, upstream gradient and result, the cells that the
// chosen one is made of outlined.

import {digits, h, panel} from "./dom.mjs";
import {figure} from "./grid.mjs";

/** What is shown of a place of the arrays: the array; of a cut one its first numbers. */
function shown(trace, place) {
  const a = trace.arrays.get(place);
  if (!a) return null;
  if (a.full) return a;
  return {...a, missing: "left out of the file for its size",
          first: [...a.data.slice(0, 6)].map(v => digits(Number(v), 3)).join(", ")};
}

export function microscope(app, n, cell, found) {
  const {trace} = app, e = trace.events[n], box = panel("microscope", "Numbers");
  const wrong = trace.failed(n)?.cells ?? [], choose = index => app.choose(index);
  const result = {a: shown(trace, trace.resultPlace(n)), focus: cell, chosen: true, choose, wrong};
  const used = name => typeof found === "string" ? [] : found.terms.slice(0, 5000).flatMap(
    t => t.factors.filter(f => f.name === name).map(f => f.index));
  const figures = [];
  if (e.phase === "update") {
    for (const [name, place] of [["gradient", e.gradient], ["before", e.before], ...Object.entries(e.state)]) {
      const a = shown(trace, place);
      figures.push(figure({name, what: name === "gradient" ? "g" : name === "before" ? "w, before the step" : "of the optimiser, before",
                           a, focus: cell, used: a && !a.missing && a.shape.length === cell.length ? [cell] : []}));
    }
    figures.unshift(figure({...result, name: "after", what: `${trace.name(e.node)}, after the step`}));
  } else {
    const op = trace.ops[e.op], y = trace.result(e.op), backward = e.phase === "backward";
    if (backward) {
      const began = !trace.came(op.outputs[0], n).length;
      figures.push(figure({name: `g${y}`, what: `the gradient of ${y}${began ? ": backward() starts here" : ", as it arrived"}`,
                           a: shown(trace, e.gy), used: used(`g${y}`)}));
    }
    op.inputs.forEach((node, k) => {
      const name = trace.operand(e.op, k), cells = used(name);
      if (backward && k === e.input && !["elementwise", "composite"].includes(op.map?.kind)) return;
      const padding = (found.padding ?? []).map(places => places[k]).filter(Boolean).slice(0, 200);
      const beside = backward && k === e.input ? [cell] : [];
      figures.push(figure({name, what: trace.name(node), a: shown(trace, trace.nodes[node].value), used: cells.length ? cells : beside, padding}));
    });
    for (const [name, node] of Object.entries(op.map?.arrays ?? {})) {
      figures.push(figure({name, what: trace.name(node), a: shown(trace, trace.nodes[node].value), used: used(name)}));
    }
    const name = backward ? `g${trace.operand(e.op, e.input)}` : y;
    figures.unshift(figure({...result, name, what: backward ? `this contribution to the gradient of ${trace.name(e.node)}` : "the result"}));
  }
  const slices = trace.shape(n).length > 2 ? h("p", {class: "slices"},
    ...[[2, "slice"], ...trace.shape(n).length > 3 ? [[trace.shape(n).length - 1, "batch item"]] : []].map(([axis, what]) => h("span", {},
      `${what} ${cell.at(-1 - axis)} of ${trace.shape(n).at(-1 - axis)} `,
      h("button", {"aria-label": `previous ${what}`, text: "\u2212", onclick: () => app.move(axis, -1)}),
      h("button", {"aria-label": `next ${what}`, text: "+", onclick: () => app.move(axis, 1)}), " "))) : "";
  box.append(slices, h("div", {class: "figures"}, figures));
  return box;
}
