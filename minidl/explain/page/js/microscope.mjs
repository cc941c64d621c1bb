// The arrays of an event side by side: operands, upstream gradient and result, the cells that the
// chosen one is made of outlined.

import {digits, h, panel} from "./dom.mjs";
import {flatOf} from "./decode.mjs";
import {figure} from "./grid.mjs";

/** What is shown of a place of the arrays: the array; of a cut one its first numbers. */
function shown(trace, place) {
  const a = trace.arrays.get(place);
  if (!a) return null;
  if (a.full) return a;
  return {...a, missing: "left out of the file for its size",
          first: [...a.data.slice(0, 6)].map(v => digits(Number(v), 3)).join(", ")};
}

/** Does the gradient of operand `own` depend on the numbers of operand k? Of a sum of products on the
 * other factors alone, of a bias, a sum, a rearrangement on none. */
function neededFor(map, own, k) {
  if (!map || map.kind === "elementwise" || map.kind === "composite") return true;
  return map.kind === "contract" && k !== own && Math.max(k, own) < map.factors.length;
}

export function microscope(app, n, cell, found) {
  const {trace} = app, e = trace.events[n], box = panel("microscope", "Numbers");
  const wrong = trace.failed(n)?.cells ?? [], choose = index => app.choose(index);
  const result = {a: shown(trace, trace.resultPlace(n)), focus: cell, chosen: true, choose, wrong};
  const spot = name => (found.spotted?.factors ?? []).filter(f => f.name === name).map(f => f.index);
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
                           a: shown(trace, e.gy), used: used(`g${y}`), spot: spot(`g${y}`),
        open: index => app.follow({name: `g${y}`, index, operand: "gy", value: 0})}));
    }
    op.inputs.forEach((node, k) => {
      const name = trace.operand(e.op, k), cells = used(name);
      if (backward && !neededFor(op.map, e.input, k)) return;
      const padding = (found.padding ?? []).map(places => places[k]).filter(Boolean).slice(0, 200);
      const beside = backward && k === e.input ? [cell] : found.candidates?.map(f => f.index) ?? [];
      figures.push(figure({name, what: trace.name(node), a: shown(trace, trace.nodes[node].value), used: found.candidates ? beside : cells.length ? cells : beside, spot: spot(name), padding,
        open: index => app.follow({name, index, operand: k, value: Number(trace.arrays.whole(trace.nodes[node].value)?.data[flatOf(index, trace.nodes[node].shape)])})}));
    });
    for (const [name, node] of Object.entries(op.map?.arrays ?? {})) {
      figures.push(figure({name, what: trace.name(node), a: shown(trace, trace.nodes[node].value), used: used(name)}));
    }
    const name = backward ? `g${trace.operand(e.op, e.input)}` : y;
    figures.unshift(figure({...result, name, what: backward ? `this contribution to the gradient of ${trace.name(e.node)}` : "the result"}));
  }
  const shape = trace.shape(n), axes = shape.length > 2 ? shape.slice(0, -2).map((_, d) => d) : [];
  const slices = axes.length ? h("p", {class: "slices"}, axes.map(d => h("span", {}, `${app.axisName(d)} `, h("b", {text: cell[d]}), ` (0 to ${shape[d] - 1}) `,
    h("button", {"aria-label": `previous ${app.axisName(d)}`, text: "\u2212", onclick: () => app.move(shape.length - 1 - d, -1)}),
    h("button", {"aria-label": `next ${app.axisName(d)}`, text: "+", onclick: () => app.move(shape.length - 1 - d, 1)}), " "))) : "";
  box.append(slices, h("div", {class: "figures"}, figures));
  return box;
}
