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
  let n = 0;

  function rows() {
    const found = [];
    let module = null;
    trace.ops.forEach((op, id) => {
      if (op.module !== module) {
        module = op.module;
        if (module) found.push({module});
      }
      if (!module || !folded.has(module)) found.push({id});
    });
    return found;
  }

  function moduleRow(name) {
    const m = modules.get(name), about = m ? `${m.class}(${m.options ?? ""})` : "";
    return h("div", {class: "row module"}, h("button", {class: "fold", "aria-expanded": String(!folded.has(name)),
      onclick: () => { folded.has(name) ? folded.delete(name) : folded.add(name); draw(); }},
      `${folded.has(name) ? "\u25b8" : "\u25be"} ${name}`), h("span", {class: "dim", text: ` ${about}${m?.count ? `, ${m.count} parameters` : ""}`, title: about}));
  }

  function gradientText(node) {
    const place = trace.gradientAt(node, n), text = largestOf(trace, place);
    return h("span", {class: `gradient${place === null ? " none" : ""}`, "data-node": node, text,
                      title: place === null ? "no gradient has arrived" : `the largest of its gradient: ${text}`});
  }

  function opRow(id) {
    const op = trace.ops[id], out = op.outputs[0], made = trace.made.get(id);
    const e = trace.events[n], current = e && e.phase !== "update" && e.op === id;
    const cut = op.inputs.filter(i => trace.nodes[i].detached_from !== null && trace.nodes[i].detached_from !== undefined);
    const learnt = op.inputs.filter(i => trace.nodes[i].role === "parameter").map(i => h("span", {class: "learnt"},
      ` ${trace.name(i).split(".").at(-1)} `, gradientText(i)));
    return h("div", {class: `row op${current ? " now" : ""}${trace.trivial(made) ? " trivial" : ""}${op.grad === false ? " nograd" : ""}`, "data-op": id},
      cut.length ? h("span", {class: "cut", "data-detached": cut[0], title: `detach(): no gradient goes to ${trace.name(trace.nodes[cut[0]].detached_from)}`, text: "\u2702 detached "}) : "",
      h("button", {class: "link", text: op.op, "aria-label": `${op.op}, event ${made + 1}`, onclick: () => app.goto(made)}),
      h("span", {class: "dim", text: ` ${shapeText(trace.nodes[out].shape)}${op.grad === false ? " no_grad" : ""} `}), gradientText(out), learnt);
  }

  function draw() {
    const all = rows(), at = new Map(all.map((row, i) => [row.id, i]));
    list.replaceChildren(lines(all, at), h("div", {class: "rows"}, all.map(row => "module" in row ? moduleRow(row.module) : opRow(row.id))));
  }

  /** An arc from each maker's row to each user's that is not the next one. */
  function lines(all, at) {
    const SVG = "http://www.w3.org/2000/svg", svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "arcs");
    svg.setAttribute("width", 44);
    svg.setAttribute("height", all.length * ROW);
    svg.setAttribute("aria-hidden", "true");
    all.forEach((row, i) => {
      if (row.id === undefined) return;
      for (const input of trace.ops[row.id].inputs) {
        const node = trace.nodes[input], from = node.op ?? trace.nodes[node.detached_from ?? -1]?.op;
        if (from === null || from === undefined || !at.has(from)) continue;
        const a = at.get(from) * ROW + ROW / 2, b = i * ROW + ROW / 2, wide = Math.min(38, 4 + Math.sqrt(b - a) * 2);
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", `M42 ${a} C${42 - wide} ${a}, ${42 - wide} ${b}, 42 ${b}`);
        const cut = node.op === null, none = trace.gradientAt(input, n) === null;
        path.setAttribute("class", cut ? "cut" : none ? "none" : "arrived");
        svg.append(path);
      }
    });
    return svg;
  }

  return {element: box, show(event) {
    n = event;
    draw();
    const row = list.querySelector(".row.now");
    if (row && list.scrollHeight > list.clientHeight) {
      const top = row.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - ROW) list.scrollTop = top - list.clientHeight / 2;
    }
  }};
}
