// The network as a list of its ops under their modules, with lines from maker to user, and the
// gradients as they arrive: None before, the largest magnitude after.

import {digits, h, panel, shapeText} from "./dom.mjs";

const ROW = 26;                              // pixels a row, for the lines

/** Most of an array's numbers in magnitude, in words; null is None. */
function largestOf(trace, place) {
  if (place === null) return "None";
  const {min, max} = trace.doc.arrays[place].stats ?? {};
  if (min === undefined) {
    const {fill} = trace.doc.arrays[place];
    return fill === undefined ? "arrived" : digits(Math.abs(fill), 2);
  }
  return digits(Math.max(Math.abs(min), Math.abs(max)), 2);
}

export function graph(app) {
  const {trace} = app, folded = new Set(), box = panel("graph", "Network");
  const list = h("div", {class: "graph"});
  box.append(h("p", {class: "dim", text: "Each op, its result's shape, and |gradient| at most: None until it arrives."}), list);
  const modules = new Map(trace.modules.map(m => [m.name, m]));
  const spans = new Map(), arcs = new Map(), rowsOf = new Map();     // by node, by node, by op or parameter
  let n = 0, drawn = null, now = [];

  const keep = (map, key, element) => { map.has(key) ? map.get(key).push(element) : map.set(key, [element]); return element; };

  function rows() {
    const found = [];
    let module = null;
    trace.ops.forEach((op, id) => {
      if (op.module !== module) {
        module = op.module;
        if (module) found.push({module});
      }
      if (module && folded.has(module)) return;
      found.push({id});
      for (const i of op.inputs) if (trace.nodes[i].role === "parameter") found.push({learnt: i});
    });
    return found;
  }

  function moduleRow(name) {
    const m = modules.get(name), about = m ? `${m.class}(${m.options ?? ""})` : "";
    return h("div", {class: "row module"}, h("button", {class: "fold", "aria-expanded": String(!folded.has(name)),
      onclick: () => { folded.has(name) ? folded.delete(name) : folded.add(name); list.replaceChildren(); show(n); }},
      `${folded.has(name) ? "\u25b8" : "\u25be"} ${name}`), h("span", {class: "dim", text: ` ${about}${m?.count ? `, ${m.count} parameters` : ""}`, title: about}));
  }

  /** A node's gradient as it is at the event, written into its places, and its lines. */
  function refresh(node) {
    const place = trace.gradientAt(node, n), text = largestOf(trace, place), moved = trace.moved.get(node);
    for (const span of spans.get(node) ?? []) {
      span.className = `gradient${place === null ? " none" : ""}`;
      span.textContent = text;
      span.title = place === null ? "no gradient has arrived" : `the largest of its gradient: ${text}`;
      const updated = span.previousElementSibling;
      if (updated?.dataset.updated !== undefined) updated.textContent = moved !== undefined && moved <= n ? "updated " : "";
    }
    for (const path of arcs.get(node) ?? []) path.setAttribute("class", path.dataset.cut ? "cut" : place === null ? "none" : "arrived");
  }

  const gradientText = node => keep(spans, node, h("span", {"data-node": node}));

  function opRow(id) {
    const op = trace.ops[id], out = op.outputs[0], made = trace.made.get(id);
    const cut = op.inputs.filter(i => trace.nodes[i].detached_from !== null && trace.nodes[i].detached_from !== undefined);
    return keep(rowsOf, `op ${id}`, h("div", {class: `row op${trace.trivial(made) ? " trivial" : ""}${op.grad === false ? " nograd" : ""}`, "data-op": id},
      cut.length ? h("span", {class: "cut", "data-detached": cut[0], title: `detach(): no gradient goes to ${trace.name(trace.nodes[cut[0]].detached_from)}`, text: "\u2702 detached "}) : "",
      h("button", {class: "link", text: op.op, "aria-label": `${op.op}, event ${made + 1}`, onclick: () => app.goto(made)}),
      h("span", {class: "dim grow", text: `${shapeText(trace.nodes[out].shape)}${op.grad === false ? " no_grad" : ""}`}), gradientText(out)));
  }

  function learntRow(node) {
    return keep(rowsOf, `node ${node}`, h("div", {class: "row learnt"}, h("button", {class: "link grow", text: trace.name(node).split(".").at(-1), title: `the gradient of ${trace.name(node)}`,
        onclick: () => app.goto((trace.brought.get(node) ?? [])[0] ?? trace.moved.get(node) ?? n)}),
      h("span", {class: "dim", "data-updated": ""}), gradientText(node)));
  }

  function draw() {
    [spans, arcs, rowsOf].forEach(map => map.clear());
    const all = rows(), at = new Map(all.map((row, i) => [row.id, i]));
    list.replaceChildren(lines(all, at), h("div", {class: "rows"}, all.map(row => "module" in row ? moduleRow(row.module) : "learnt" in row ? learntRow(row.learnt) : opRow(row.id))));
  }

  /** An arc from each maker's row to each user's that is not the next one. */
  function lines(all, at) {
    const SVG = "http://www.w3.org/2000/svg", svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "arcs");
    svg.setAttribute("width", 30);
    svg.setAttribute("height", all.length * ROW);
    svg.setAttribute("aria-hidden", "true");
    all.forEach((row, i) => {
      if (row.id === undefined) return;
      for (const input of trace.ops[row.id].inputs) {
        const node = trace.nodes[input], from = node.op ?? trace.nodes[node.detached_from ?? -1]?.op;
        if (from === null || from === undefined || !at.has(from)) continue;
        const a = at.get(from) * ROW + ROW / 2, b = i * ROW + ROW / 2, wide = Math.min(34, 4 + Math.sqrt(b - a) * 2);
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", `M29 ${a} C${29 - wide} ${a}, ${29 - wide} ${b}, 29 ${b}`);
        if (node.op === null) path.dataset.cut = "1";
        svg.append(keep(arcs, input, path));
      }
    });
    return svg;
  }

  /** The nodes whose gradient or update is another one at event n than at event `before`. */
  function changed(before) {
    const nodes = new Set(trace.passes.flatMap(p => p.outputs));
    for (let m = Math.min(before, n); m <= Math.max(before, n); m++) {
      if (trace.events[m].phase !== "forward") nodes.add(trace.events[m].node);
    }
    return nodes;
  }

  function show(event) {
    const before = drawn ?? 0, first = drawn === null || !list.children.length;
    n = event;
    if (first) draw();
    for (const node of first ? new Set([...spans.keys(), ...arcs.keys()]) : changed(before)) refresh(node);
    drawn = n;
    now.forEach(row => row.classList.remove("now"));
    const e = trace.events[n];
    now = [...e.phase === "update" ? [] : rowsOf.get(`op ${e.op}`) ?? [], ...e.phase === "forward" ? [] : rowsOf.get(`node ${e.node}`) ?? []];
    now.forEach(row => row.classList.add("now"));
    const row = now[0];
    if (row && list.scrollHeight > list.clientHeight) {
      const top = row.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - ROW) list.scrollTop = top - list.clientHeight / 2;
    }
  }

  return {element: box, show};
}
