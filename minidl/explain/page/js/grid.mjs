// An array as numbers around a cell, and its whole plane as a picture.

import {digits, h, indexed, shapeText} from "./dom.mjs";
import {flatOf, isCell} from "./decode.mjs";

const SIDE = 10, SEEN = 256;                 // rows and columns of numbers, and of a picture, at most

/** From 0 to n (or wider, for padding), at most `most` of them, around what lies from a to b. */
function around(a, b, low, high, most = SIDE) {
  if (high - low <= most) return [low, high];
  let from = Math.floor((a + b) / 2) - Math.floor(most / 2);
  from = Math.max(low, Math.min(from, high - most));
  return [from, from + most];
}

/** The colour of a number: orange above 0, blue below; the further from 0, the stronger, but never so
 * strong that the number on it (in the colour of ink) could not be read. */
export function tint(value, scale) {
  const finite = Number.isFinite(value), share = !finite ? 1 : scale ? Math.min(1, Math.abs(value) / scale) : 0;
  return `color-mix(in oklab, var(--${!finite ? "odd" : value < 0 ? "minus" : "plus"}) calc(${share.toFixed(2)} * var(--strongest)), var(--paper))`;
}

function scaleOf(a) {
  const {min, max} = a.stats ?? {};
  if (min !== undefined) return Math.max(Math.abs(min), Math.abs(max));
  let most = 0;
  for (const v of a.data) if (Number.isFinite(v) && Math.abs(v) > most) most = Math.abs(v);
  return most;
}

const range = a => a.data.length > 1 && a.stats && a.stats.min !== undefined
  ? `from ${digits(a.stats.min, 3)} to ${digits(a.stats.max, 3)}`
    + (a.stats.nan ? `, ${a.stats.nan} NaN` : "") + (a.stats.inf ? `, ${a.stats.inf} inf` : "") : "";

/** A figure of an array.
 * options: name, what (in words), a (null: not in the file), focus (a cell of it), used, spot (of one
 * term), wrong and padding (lists of cells), chosen (the grid whose cell is chosen; a click calls `choose`), open (what a
 * click on a cell of another grid does). */
export function figure({name, what, a, focus, used = [], spot = [], wrong = [], padding = [], chosen, choose, open}) {
  const caption = h("figcaption", {}, h("b", {class: `sym s-${name}`, text: name}), ` ${what}`);
  if (!a || a.missing) {
    const first = a?.first ? `; its first numbers: ${a.first}` : "";
    caption.append(h("span", {class: "dim", text: `: ${a?.missing ?? "left out of the file for its size"}${first}`}));
    return h("figure", {"data-array": name}, caption);
  }
  caption.append(h("span", {class: "dim"}, `, ${shapeText(a.shape)} `, h("span", {class: chosen ? "secret" : null, text: range(a)})));
  if (!a.data.length) return h("figure", {"data-array": name}, caption, h("p", {text: "no numbers"}));
  const cell = isCell(focus, a.shape) ? focus : isCell(used[0], a.shape) ? used[0] : a.shape.map(() => 0);
  const plane = planeOf(a, cell);
  const marks = {used: keys(used, cell), spot: keys(spot, cell), wrong: keys(wrong, cell), padding: padding.filter(
    p => samePlane(p, cell, a.shape))};
  const table = numbersOf(a, cell, plane, marks, {name, chosen, choose: chosen ? choose : open});
  const picture = plane.rows > 4 && plane.columns > 4 && plane.rows * plane.columns > 81
    ? canvasOf(a, plane, cell, marks, chosen ? choose : open) : null;
  const lead = cell.slice(0, -2);
  const slice = lead.length ? h("span", {class: "dim", text: ` slice ${indexed([...lead, ":", ":"])}`}) : "";
  caption.append(slice);
  return h("figure", {"data-array": name}, caption, h("div", {class: "arrays", ...chosen ? {} : {tabindex: "0", role: "group", "aria-label": `${name}, its numbers`}}, picture, table));
}

/** The last two axes at the cell: rows, columns, and where its first number stands. */
function planeOf(a, cell) {
  const columns = a.shape.at(-1) ?? 1, rows = a.shape.length > 1 ? a.shape.at(-2) : 1;
  const begin = a.shape.length > 2
    ? flatOf([...cell.slice(0, -2), 0, 0], a.shape) : 0;
  return {rows, columns, begin, row: cell.length > 1 ? cell.at(-2) : 0, column: cell.at(-1) ?? 0};
}

const samePlane = (index, cell, shape) => index.length === shape.length
  && index.slice(0, -2).every((i, d) => i === cell[d]);

/** Of the cells in the plane of `cell`: row and column as one text. */
function keys(cells, cell) {
  const found = new Set();
  for (const index of cells) {
    if (index.length === cell.length && index.slice(0, -2).every((i, d) => i === cell[d])) {
      found.add(`${index.length > 1 ? index.at(-2) : 0},${index.at(-1) ?? 0}`);
    }
  }
  return found;
}

function numbersOf(a, cell, plane, marks, {name, chosen, choose}) {
  const scale = scaleOf(a), box = [...marks.used].map(k => k.split(",").map(Number));
  const out = marks.padding.map(p => [p.length > 1 ? p.at(-2) : 0, p.at(-1)]);
  const reach = (places, d) => places.reduce(([low, high], p) => [Math.min(low, p[d]), Math.max(high, p[d])], [Infinity, -Infinity]);
  const wide = d => reach(box, d)[1] - reach(box, d)[0] >= SIDE;
  const all = !box.length || chosen ? [[plane.row, plane.column]] : wide(0) || wide(1) ? [box[0]] : [...box, ...out];
  const [rows, columns] = [reach(all, 0), reach(all, 1)], limit = (n, [low, high]) => [Math.min(0, low), Math.max(n, high + 1)];
  const [top, bottom] = around(...rows, ...limit(plane.rows, rows));
  const [left, right] = around(...columns, ...limit(plane.columns, columns));
  const index = (r, c) => a.shape.length > 1 ? [...cell.slice(0, -2), r, c] : a.shape.length ? [c] : [];
  const head = h("tr", {}, h("th", {"aria-label": "row and column"}), Array.from({length: right - left}, (_, i) => h(
    "th", {scope: "col", text: left + i})));
  const body = [];
  for (let r = top; r < bottom; r++) {
    const cells = [h("th", {scope: "row", text: r})];
    for (let c = left; c < right; c++) {
      if (r < 0 || c < 0 || r >= plane.rows || c >= plane.columns) {
        cells.push(h("td", {class: "padding", text: "0", title: "padding: counts as 0"}));
        continue;
      }
      const value = Number(a.data[plane.begin + r * plane.columns + c]), key = `${r},${c}`;
      const here = chosen && r === plane.row && c === plane.column;
      const bad = marks.wrong.has(key);
      cells.push(h("td", {
        role: chosen ? "gridcell" : null, tabindex: here ? "0" : null,
        "data-cell": here ? index(r, c).join(",") : null, "aria-selected": chosen ? String(Boolean(here)) : null,
        class: [here ? "here" : "", marks.used.has(key) ? marks.used.size > 60 ? "used many" : "used" : "", marks.spot.has(key) ? "spot" : "", bad ? "wrong" : ""].join(" ").trim() || null,
        style: `background:${tint(value, scale)}`, "data-at": index(r, c).join(","),
        onclick: choose ? () => choose(index(r, c)) : null, title: chosen || !choose ? null : "click: who made this number",
      }, digits(value, 3), bad ? h("b", {class: "bad", text: " WRONG"}) : ""));
    }
    body.push(h("tr", {role: chosen ? "row" : null}, cells));
  }
  const more = right - left < plane.columns || bottom - top < plane.rows;
  const label = `${name}, numbers around ${indexed(cell) || "the only one"}` + (more ? `, of ${plane.rows} rows and ${plane.columns} columns` : "");
  if (chosen) {
    head.setAttribute("role", "row");
    head.querySelectorAll("th").forEach(t => t.setAttribute("role", "columnheader"));
    body.forEach(row => row.querySelector("th").setAttribute("role", "rowheader"));
  }
  return h("table", {class: "numbers", role: chosen ? "grid" : null, "aria-label": label},
           h("thead", {role: chosen ? "rowgroup" : null}, head), h("tbody", {role: chosen ? "rowgroup" : null}, body));
}

/** The plane as a picture, its marks outlined; of a large one the part around the cell. */
function canvasOf(a, plane, cell, marks, choose) {
  const [top, bottom] = around(plane.row, plane.row, 0, plane.rows, SEEN), [left, right] = around(plane.column, plane.column, 0, plane.columns, SEEN);
  const rows = bottom - top, columns = right - left, zoom = Math.max(1, Math.min(8, Math.floor(168 / Math.max(rows, columns))));
  const part = rows < plane.rows || columns < plane.columns ? `, rows from ${top} and columns from ${left}, of ${plane.rows} by ${plane.columns}` : "";
  const canvas = h("canvas", {width: columns * zoom, height: rows * zoom, role: "img",
    "aria-label": `a picture of ${rows} by ${columns} numbers${part}, orange above zero, blue below`});
  requestAnimationFrame(() => {
    const paper = paint(canvas, rows, columns, (r, c) => Number(a.data[plane.begin + (top + r) * plane.columns + left + c]), scaleOf(a));
    outline(paper, marks, plane, top, left, zoom);
  });
  if (choose) {
    canvas.addEventListener("click", e => choose([...cell.slice(0, -2),
      top + Math.floor(e.offsetY / zoom), left + Math.floor(e.offsetX / zoom)]));
  }
  return canvas;
}

/** Paint a canvas with rows x columns numbers: `at(r, c)`, of which `most` is the largest magnitude. */
export function paint(canvas, rows, columns, at, most) {
  const paper = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const rgb = name => style.getPropertyValue(name).trim().match(/\w\w/g).map(v => parseInt(v, 16));
  const [plus, minus, ground, odd] = ["--plus", "--minus", "--paper", "--odd"].map(rgb);
  const pixels = new ImageData(columns, rows), small = new OffscreenCanvas(columns, rows);
  for (let r = 0, p = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, p += 4) {
      const v = at(r, c), finite = Number.isFinite(v), to = finite ? v < 0 ? minus : plus : odd;
      const share = finite ? (most ? Math.min(1, Math.abs(v) / most) ** 0.7 : 0) : 1;
      for (let d = 0; d < 3; d++) pixels.data[p + d] = ground[d] + (to[d] - ground[d]) * share;
      pixels.data[p + 3] = 255;
    }
  }
  small.getContext("2d").putImageData(pixels, 0, 0);
  paper.imageSmoothingEnabled = false;
  paper.drawImage(small, 0, 0, canvas.width, canvas.height);
  return paper;
}

/** Frames around the marked cells of a picture whose first cell is (top, left). */
function outline(paper, marks, plane, top, left, zoom) {
  const style = getComputedStyle(document.documentElement);
  const frame = (key, colour) => {
    const [r, c] = key.split(",").map(Number);
    paper.strokeStyle = style.getPropertyValue(colour);
    paper.lineWidth = Math.max(1, zoom / 4);
    paper.strokeRect((c - left) * zoom + 0.5, (r - top) * zoom + 0.5, zoom - 1, zoom - 1);
  };
  if (marks.used.size <= 60) marks.used.forEach(key => frame(key, "--used"));
  marks.wrong.forEach(key => frame(key, "--wrong"));
  frame(`${plane.row},${plane.column}`, "--ink");
}
