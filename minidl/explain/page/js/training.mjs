// What belongs to more than one event: frames of a training, images with the way the loss would move
// them, and of codes (mu) the pulls that reach them.

import {digits, h, indexed, panel} from "./dom.mjs";
import {figure, paint} from "./grid.mjs";
import {arrow} from "./panels.mjs";

/** Images beside each other as one picture: (n, channels, height, width), of which channel 0. */
function tiles(a, sign = 1) {
  const [n, c, rows, columns] = a.shape.length === 4 ? a.shape : [a.shape[0], 1, ...a.shape.slice(-2)];
  const zoom = Math.max(1, Math.floor(96 / Math.max(rows, columns))), show = Math.min(n, 16);
  let most = 1e-300;
  for (const v of a.data) if (Number.isFinite(v)) most = Math.max(most, Math.abs(v));
  return Array.from({length: show}, (_, i) => {
    const canvas = h("canvas", {width: columns * zoom, height: rows * zoom, role: "img", "aria-label": `image ${i + 1} of ${n}`});
    requestAnimationFrame(() => paint(canvas, rows, columns, (r, k) => sign * Number(a.data[((i * c) * rows + r) * columns + k]), most));
    return canvas;
  });
}

/** The images of the recording, and -dL/dimage: how each pixel would move to make the loss smaller. */
export function imagesPanel(app, n) {
  const {trace} = app, box = panel("images", "Images");
  const pictures = trace.nodes.filter(node => node.image && node.shape.length === 4 && node.shape[1] <= 4);
  let shown = 0;
  for (const node of pictures) {
    const a = trace.arrays.whole(node.value), place = trace.gradientAt(node.id, n);
    if (!a || shown++ >= 6) continue;
    const g = place === null ? null : trace.arrays.whole(place);
    box.append(h("h3", {text: trace.name(node.id)}), h("div", {class: "tiles"}, tiles(a)));
    box.append(g ? h("div", {"data-pixels": node.id}, h("p", {class: "dim", text: "\u2212\u2202L/\u2202image: orange pixels would become brighter, blue ones darker."}), h("div", {class: "tiles"}, tiles(g, -1)))
      : h("p", {class: "dim", "data-pixels": node.id, text: place === null ? "gradient: None (has not arrived, or is not wanted)" : "gradient: left out of the file for its size"}));
  }
  return shown ? box : null;
}

/** Sums over the batch, a number a dimension. */
function columns(a, batch, width, scale = () => 1) {
  return Array.from({length: width}, (_, d) => {
    let sum = 0;
    for (let b = 0; b < batch; b++) sum += Number(a.data[b * width + d]) * scale(b * width + d);
    return sum;
  });
}

/** Of a code, mean and log variance: what pulls at each dimension, from reconstruction and from KL, and
 * each dimension's part of the KL. */
export function codesPanel(app, n) {
  const {trace} = app, box = panel("codes", "The code: what pulls at it");
  const codes = trace.nodes.filter(node => /(^|[._])(mu|mean|log_?var)$/.test(node.name ?? "") && node.shape.length === 2
    && (trace.brought.get(node.id) ?? []).length > 1);
  for (const node of codes) {
    const [batch, width] = node.shape, events = trace.brought.get(node.id), pulls = new Map();
    for (const m of events) {
      const a = trace.arrays.whole(trace.events[m].contribution), source = behind(trace, m) ? "reconstruction" : "KL";
      if (!a) return null;
      const sums = columns(a, batch, width), before = pulls.get(source);
      pulls.set(source, {sums: before ? before.sums.map((v, d) => v + sums[d]) : sums, last: m});
    }
    if (pulls.size < 2) continue;
    const order = ["reconstruction", "KL"].map(source => [source, pulls.get(source)]);
    const most = Math.max(...order.flatMap(([, p]) => p.sums.map(Math.abs)), 1e-300);
    const shown = (m, v) => m <= n ? digits(v, 3) : "None";
    const rows = Array.from({length: width}, (_, d) => {
      const total = order.reduce((sum, [, p]) => sum + p.sums[d], 0);
      return h("tr", {}, h("th", {scope: "row", text: d}), order.map(([, p]) => [h("td", {class: "number", text: shown(p.last, p.sums[d])}),
        h("td", {}, p.last <= n ? arrow(0, p.sums[d], most) : "")]), h("td", {class: "number", text: shown(events.at(-1), total)}));
    });
    box.append(h("h3", {text: `${trace.name(node.id)}: its gradient, summed over the batch`}), h("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": `pulls at ${trace.name(node.id)}`},
      h("table", {class: "ledger", "data-code": node.id}, h("thead", {}, h("tr", {}, h("th", {text: "dimension", scope: "col"}),
        order.map(([source, p]) => h("th", {scope: "col", colspan: 2}, `${source} `, h("button", {class: "link", text: `event ${p.last + 1}`, onclick: () => app.goto(p.last)}))),
        h("th", {scope: "col", text: "both"}))), h("tbody", {}, rows))));
  }
  const kl = box.querySelector("table") && divergence(trace, codes[0].id, n);
  if (kl) {
    const most = Math.max(...kl.map(Math.abs), 1e-300);
    box.append(h("h3", {text: "KL of each dimension: 0 where the code says nothing"}), h("div", {class: "bars", "data-kl": kl.length, role: "img",
      "aria-label": `KL of ${kl.length} dimensions, from ${digits(Math.min(...kl), 3)} to ${digits(most, 3)}`}, kl.map((v, d) => h("span", {
        style: `height:${Math.max(1, 60 * v / most)}px`, title: `dimension ${d}: ${digits(v, 3)}`}))));
  }
  return box.querySelector("table") ? box : null;
}

/** Does a parameter lie behind the op of a contribution, on the way to the loss? */
function behind(trace, m) {
  const seen = new Set(), passes = node => trace.ops.some(user => user.inputs.includes(node) && !seen.has(user.id) && (seen.add(user.id),
    user.inputs.some(i => trace.nodes[i].role === "parameter") || passes(user.outputs[0])));
  return passes(trace.ops[trace.events[m].op].outputs[0]);
}

/** The KL of each dimension: after its sum over dimensions all is linear, so what an element gives to
 * the loss is the element times its gradient. Null where there is no such sum, or no gradient yet. */
function divergence(trace, code, n) {
  const [batch, width] = trace.nodes[code].shape, seen = new Set();
  const sumAfter = node => {
    for (const op of trace.ops) {
      if (!op.inputs.includes(node) || seen.has(op.id)) continue;
      seen.add(op.id);
      if (op.inputs.some(i => trace.nodes[i].role === "parameter")) continue;
      if (op.op === "sum" && trace.nodes[node].shape.join() === trace.nodes[code].shape.join()) return node;
      const found = sumAfter(op.outputs[0]);
      if (found !== null) return found;
    }
    return null;
  };
  const node = sumAfter(code), place = node === null ? null : trace.gradientAt(node, n);
  const [a, g] = [node === null ? null : trace.arrays.whole(trace.nodes[node].value), place === null ? null : trace.arrays.whole(place)];
  return a && g ? columns(a, batch, width, i => Number(g.data[i])) : null;
}

/** The frames of a training: their numbers as curves, their arrays as pictures; a slider. */
export function framesPanel(app) {
  const {frames, arrays} = app.trace;
  if (!frames.length) return null;
  const box = panel("training", "Training"), body = h("div", {});
  const numbers = [...new Set(frames.flatMap(f => Object.keys(f.numbers)))];
  const show = k => {
    const frame = frames[k];
    slider.setAttribute("aria-valuetext", `step ${frame.step}`);
    body.replaceChildren(h("p", {"data-frame": k, text: `step ${frame.step}: ${Object.entries(frame.numbers).map(([name, v]) => `${name} ${digits(v, 4)}`).join(", ")}`}),
      ...Object.entries(frame.arrays).map(([name, place]) => {
        const a = arrays.whole(place);
        return a && a.shape.length === 4 && a.shape[1] <= 4 ? h("div", {}, h("h3", {text: name}), h("div", {class: "tiles"}, tiles(a)))
          : figure({name, what: "", a});
      }));
  };
  const slider = h("input", {type: "range", min: 0, max: frames.length - 1, value: frames.length - 1, "aria-label": "frame of the training",
    oninput: () => show(Number(slider.value))});
  box.append(h("div", {class: "curves"}, numbers.map(name => curve(frames, name))), slider, body);
  show(frames.length - 1);
  return box;
}

function curve(frames, name) {
  const points = frames.filter(f => name in f.numbers).map(f => [f.step, f.numbers[name]]);
  const [x0, x1] = [points[0][0], points.at(-1)[0]], ys = points.map(p => p[1]);
  const [y0, y1] = [Math.min(...ys), Math.max(...ys)], SVG = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
  svg.setAttribute("viewBox", "0 0 200 60");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${name} from ${digits(ys[0], 3)} to ${digits(ys.at(-1), 3)}`);
  line.setAttribute("points", points.map(([x, y]) => `${4 + 192 * (x - x0) / (x1 - x0 || 1)},${56 - 52 * (y - y0) / (y1 - y0 || 1)}`).join(" "));
  svg.append(line);
  return h("figure", {}, h("figcaption", {text: `${name}: ${indexed([digits(y0, 3), digits(y1, 3)])}`}), svg);
}
