// What belongs to more than one event: frames of a training, images with the way the loss would move
// them, and of codes (mu) the pulls that reach them.

import {digits, h, indexed, panel} from "./dom.mjs";
import {count} from "./decode.mjs";
import {figure} from "./grid.mjs";

/** Images beside each other as one picture: (n, channels, height, width), of which channel 0. */
function tiles(a, sign = 1) {
  const [n, c, rows, columns] = a.shape.length === 4 ? a.shape : [a.shape[0], 1, ...a.shape.slice(-2)];
  const zoom = Math.max(1, Math.floor(96 / Math.max(rows, columns))), show = Math.min(n, 16);
  let most = 1e-300;
  for (const v of a.data) if (Number.isFinite(v)) most = Math.max(most, Math.abs(v));
  return Array.from({length: show}, (_, i) => {
    const canvas = h("canvas", {width: columns * zoom, height: rows * zoom, role: "img", "aria-label": `image ${i + 1} of ${n}`});
    requestAnimationFrame(() => {
      const paper = canvas.getContext("2d"), style = getComputedStyle(canvas);
      const rgb = name => style.getPropertyValue(name).trim().match(/\w\w/g).map(v => parseInt(v, 16));
      const [plus, minus, ground] = ["--plus", "--minus", "--paper"].map(rgb);
      for (let r = 0; r < rows; r++) {
        for (let k = 0; k < columns; k++) {
          const v = sign * Number(a.data[((i * c) * rows + r) * columns + k]), to = v < 0 ? minus : plus;
          const share = Number.isFinite(v) ? Math.abs(v) / most : 1;
          paper.fillStyle = `rgb(${ground.map((g, d) => Math.round(g + (to[d] - g) * share)).join()})`;
          paper.fillRect(k * zoom, r * zoom, zoom, zoom);
        }
      }
    });
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
      : h("p", {class: "dim", "data-pixels": node.id, text: "gradient: None (has not arrived, or is not wanted)"}));
  }
  return shown ? box : null;
}

/** Of a code of two parts, mean and log variance: what pulls at each dimension of the mean. */
export function codesPanel(app, n) {
  const {trace} = app;
  const codes = trace.nodes.filter(node => /(^|\.)(mu|mean|log_?var|logvar)$/.test(node.name ?? "") && node.shape.length === 2
    && (trace.brought.get(node.id) ?? []).length > 1);
  if (!codes.length) return null;
  const box = panel("codes", "The code: what pulls at it");
  for (const node of codes) {
    const rows = [], events = trace.brought.get(node.id), [batch, width] = node.shape;
    const parts = events.map(m => trace.arrays.whole(trace.events[m].contribution));
    if (parts.includes(null)) continue;
    for (let d = 0; d < Math.min(width, 32); d++) {
      const at = parts.map(a => { let s = 0; for (let b = 0; b < batch; b++) s += Number(a.data[b * width + d]); return s; });
      rows.push(h("tr", {}, h("th", {scope: "row", text: d}), at.map((v, i) => h("td", {class: "number", text: events[i] <= n ? digits(v, 3) : "None"})),
        h("td", {class: "number", text: events.at(-1) <= n ? digits(at.reduce((s, v) => s + v, 0), 3) : "None"})));
    }
    box.append(h("h3", {text: trace.name(node.id)}), h("table", {class: "ledger", "data-code": node.id}, h("thead", {}, h("tr", {}, h("th", {text: "dimension", scope: "col"}),
      events.map(m => h("th", {scope: "col"}, h("button", {class: "link", text: sourceOf(trace, m), onclick: () => app.goto(m)}))), h("th", {scope: "col", text: "gradient"}))),
      h("tbody", {}, rows)), h("p", {class: "dim", text: "Sums over the batch; the columns add up to the gradient."}));
  }
  return box;
}

/** Which way a contribution came: the loss's own term (no layer in between), or the reconstruction. */
function sourceOf(trace, m) {
  const op = trace.ops[trace.events[m].op], seen = new Set();
  const passes = node => {                   // does a module's parameter lie behind this way?
    for (const user of trace.ops) {
      if (!user.inputs.includes(node) || seen.has(user.id)) continue;
      seen.add(user.id);
      if (user.inputs.some(i => trace.nodes[i].role === "parameter") || passes(user.outputs[0])) return true;
    }
    return false;
  };
  return `${passes(op.outputs[0]) ? "reconstruction" : "KL"} (${op.op}, event ${m + 1})`;
}

/** KL per dimension: the op that the sum of KL terms is taken of, added over the batch. */
export function divergence(trace) {
  return trace.nodes.filter(node => /(^|\.)kl/i.test(node.name ?? "") && count(node.shape) > 1).map(node => (
    {name: node.name, a: trace.arrays.whole(node.value)})).filter(k => k.a);
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
