// The panels about one event's cell: terms, formula, source, what arrived, checks, the update rule.

import {digits, h, indexed, panel} from "./dom.mjs";
import {flatOf, isCell, largest} from "./decode.mjs";
import {formulaOf, parsed} from "./formula.mjs";
import {numbers} from "./steps.mjs";
import {described} from "./words.mjs";

const MOST_ROWS = 4000;                      // terms that are listed; the rest is one row

/** Null where the file had no room for the array, or it has no such cell: which is neither None nor 0. */
const numberAt = (a, cell) => a && isCell(cell, a.shape) ? Number(a.data[flatOf(cell, a.shape)]) : null;
const kept = (value, precision) => value === null ? "not in the file" : digits(value, precision);
const apart = (a, b) => a === null || b === null ? null : Object.is(a, b) ? 0 : a - b;     // also of NaN and NaN

/** What may be wider than a narrow screen, in a box that scrolls, by the keyboard too. */
const sideways = (label, what) => h("div", {class: "sideways", tabindex: "0", role: "group", "aria-label": label}, what);

/** A factor as a button that leads to its maker. */
function factorButton(app, factor) {
  const leads = factor.operand !== null && factor.operand !== undefined;
  const text = [h("span", {class: `sym s-${factor.name}`, text: factor.name}),
                h("span", {class: "index", text: indexed(factor.index)}), " ",
                h("span", {class: "value", text: kept(factor.value)})];
  if (!leads) {
    return h("span", {class: "factor", tabindex: "0", "data-factor": factor.name,
                      "data-index": factor.index.join(",")}, text);
  }
  return h("button", {class: "factor", "data-factor": factor.name, "data-index": factor.index.join(","),
    title: factor.operand === "gy" ? "Enter: the event that brought this gradient" : "Enter: the event that made this number",
    onclick: () => app.follow(factor)}, text);
}

/** What an event without terms was given, as buttons that lead to the makers: of the number at the same
 * place, or of the largest one. */
function givenTo(app, n, cell) {
  const {trace} = app, e = trace.events[n], op = trace.ops[e.op];
  const factor = (name, node, place, operand) => {
    const a = trace.arrays.whole(place), {shape} = trace.nodes[node];
    const index = isCell(cell, shape) ? cell : a?.data.length ? largest(a) : shape.map(() => 0);
    return {name, index, value: numberAt(a, index), operand};
  };
  const given = op.inputs.map((node, k) => factor(trace.operand(e.op, k), node, trace.nodes[node].value, k));
  if (e.phase === "backward") given.unshift(factor(`g${trace.result(e.op)}`, op.outputs[0], e.gy, "gy"));
  return given.length ? h("p", {}, "It was given ", given.map((f, k) => [k ? ", " : "", factorButton(app, f)]), " and others.") : "";
}

/** The cell as its terms, the largest first, with the sum so far; then what is stored. */
export function termsPanel(app, n, cell, found) {
  const {trace} = app, stored = numberAt(trace.wholeResult(n), cell);
  if (trace.events[n].phase === "update") return updatePanel(app, n, cell);
  const box = panel("terms", "Terms");
  if (stored !== null) box.dataset.stored = stored;
  if (typeof found === "string") {
    box.append(h("p", {text: `No terms: ${found}.`}), app.trace.shape(n).includes(0) ? "" : givenTo(app, n, cell));
    return box;
  }
  box.dataset.total = found.total;
  const shown = found.terms.slice(0, MOST_ROWS), rest = found.terms.slice(MOST_ROWS);
  let sum = 0;
  const rows = shown.map((term, i) => {
    const factors = term.factors.slice(0, 40).flatMap((f, k) => [
      k ? h("span", {class: "sign", text: found.sign === "*" ? " \u00d7 " : ", "}) : "", factorButton(app, f)]);
    const more = term.factors.length > 40 ? ` and ${term.factors.length - 40} more` : "";
    return h("tr", {"data-term": i, onpointerenter: () => app.spot(i), onfocusin: () => app.spot(i)}, h("td", {}, factors.length ? factors : "a constant", more),
             h("td", {class: "number secret", text: digits(term.value)}),
             h("td", {class: "number secret", text: digits(sum += term.value)}));
  });
  if (rest.length) {
    const left = rest.reduce((s, t) => s + t.value, 0);
    rows.push(h("tr", {}, h("td", {text: `${rest.length} more terms, each smaller`}),
                h("td", {class: "number secret", text: digits(left)}), h("td", {class: "number secret", text: digits(sum + left)})));
  }
  const difference = apart(found.total, stored);
  box.append(
    h("p", {class: "dim", text: countText(found) + legend(trace, n)}),
    app.predict.question(n, cell, stored),
    h("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": "all terms"}, h("table", {class: "terms"},
      h("thead", {}, h("tr", {}, ["what", "value", "sum so far"].map(t => h("th", {scope: "col", text: t})))),
      h("tbody", {}, rows))),
    h("dl", {class: "totals"},
      h("dt", {text: "sum"}), h("dd", {class: "secret", text: digits(found.total)}),
      h("dt", {text: "stored"}), h("dd", {class: "secret", text: kept(stored)}),
      h("dt", {text: "difference"}), h("dd", {class: "secret", text: difference === null ? "" : digits(difference, 2)})));
  if (found.steps.length) box.insertBefore(stepsTable(trace, found), box.querySelector(".scroll"));
  if (found.candidates) {
    box.insertBefore(h("p", {"data-candidates": found.candidates.length}, "The largest of ", found.candidates.map((f, i) => [i ? ", " : "", factorButton(app, f)])), box.querySelector(".scroll"));
  }
  return box;
}

/** What gy and gx are, where they are met. */
function legend(trace, n) {
  const e = trace.events[n];
  if (e.phase !== "backward") return "";
  const y = trace.result(e.op), x = trace.operand(e.op, e.input);
  return ` g${y} is the loss's gradient with respect to ${y}, this op's result, and leads on to the loss; g${x} is that of ${x}.`;
}

function countText(found) {
  const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const padding = found.outside ? `, and ${many(found.outside, "term")} in the padding, which count${found.outside === 1 ? "s" : ""} as 0` : "";
  const zeros = found.terms.filter(t => t.value === 0).length, some = found.terms.length > 1;
  return found.sign === "," ? "A function of the numbers below."
    : many(found.terms.length, "term") + (zeros && some ? `, ${zeros} of them zero` : "") + padding + (some ? "; the largest first." : ".");
}

/** The lines of a composite's formula at the cell; of a gradient also how each moves with the operand. */
function stepsTable(trace, {steps, moved}) {
  const head = moved ? h("thead", {}, h("tr", {}, ["line", "value", `per ${moved}`].map(t => h("th", {scope: "col", text: t})))) : "";
  const body = steps.map(s => h("tr", {"data-step": s.name}, h("td", {}, lineOf(trace, s.text)),
    h("td", {class: "number secret", text: s.value === null ? "several" : digits(s.value)}),
    moved ? h("td", {class: "number secret", text: s.change === null ? "several" : digits(s.change)}) : ""));
  return sideways("the lines of the formula", h("table", {class: "steps", "data-steps": steps.length}, head, h("tbody", {}, body)));
}

/** A line of a declaration for a reader: no argument of axes. */
export const readable = text => text.replace(/^\w+ = /, "").replaceAll(", dim)", ")")
  .replace(/(max|sum|mean|var)\((.*?), \d\)/g, "$1($2)").replace(/take\((\w+), column\((\w+)\), \d\)/g, "$1[$2]")
  .replace(/column\((\w+)\)/g, "$1").replaceAll("**", "^").replaceAll(" * ", " \u00b7 ").replaceAll("==", "=");

// ---------------------------------------------------------------- an update
function updatePanel(app, n, cell) {
  const {trace} = app, e = trace.events[n], box = panel("terms", "Update");
  const get = place => numberAt(trace.arrays.whole(place), cell);
  const g = {name: "g", index: cell, value: get(e.gradient), operand: "sum"};
  const stored = get(e.after), found = ruleOf(trace, e, cell);
  if (stored !== null) box.dataset.stored = stored;
  if (found) box.dataset.total = found.value;
  const change = apart(stored, get(e.before));
  const rows = [["g, the gradient", h("button", {class: "factor", "data-factor": "g", "data-index": cell.join(","),
    title: "Enter: the event that brought this gradient", onclick: () => app.follow(g)},
    h("span", {class: "sym s-g", text: "g"}), indexed(cell), " ", kept(g.value))],
    ["w, before the step", kept(get(e.before))]];
  for (const [name, place] of Object.entries(e.state)) {
    const after = e.state_after ? [" \u2192 ", h("span", {class: "secret", text: kept(get(e.state_after[name]))})] : "";
    rows.push([`${name}${e.state_after ? ", before \u2192 after" : ", before"}`, [kept(get(place)), after]]);
  }
  const came = trace.came(e.node, n), arrived = came.length ? get(trace.events[came.at(-1)].sum) : null;
  if (arrived !== null && arrived !== g.value) {
    rows.splice(1, 0, ["as it had arrived", [digits(arrived), " (changed before the step: by clipping, a hook, or the program)"]]);
  }
  const named = Object.entries(e.names ?? {}).filter(([, v]) => typeof v === "number").map(([name, v]) => `${name} ${digits(v)}`);
  if (named.length) rows.push(["numbers of the rule", named.join(", ")]);
  box.append(h("table", {class: "steps"}, h("tbody", {}, rows.map(([what, value]) => h("tr", {},
    h("th", {scope: "row", text: what}), h("td", {class: "number wrap"}, value))))));
  if (found) {
    box.append(sideways("the lines of the rule", h("table", {class: "steps", "data-steps": found.lines.length}, h("tbody", {}, found.lines.map(line => h(
      "tr", {"data-step": line.name}, h("td", {}, lineOf(trace, line.text)),
      h("td", {class: "number secret", text: digits(line.value)})))))));
  } else {
    box.append(h("p", {text: e.steps?.length ? "The rule cannot be worked out: its numbers were left out of the file for their size."
      : "A rule that minidl does not know: its numbers before and after are all there is."}));
  }
  box.append(app.predict.question(n, cell, stored), h("dl", {class: "totals"},
    h("dt", {text: "by the rule"}), h("dd", {class: "secret", text: found ? digits(found.value) : "?"}),
    h("dt", {text: "stored"}), h("dd", {class: "secret", text: kept(stored)}),
    h("dt", {text: "difference"}), h("dd", {class: "secret", text: found && stored !== null ? digits(found.value - stored, 2) : ""}),
    h("dt", {text: "the weight moved by"}), h("dd", {class: "secret", text: kept(change)})));
  return box;
}

/** An update's rule for one number: its lines with their values; null where it is not known. */
function ruleOf(trace, e, cell) {
  if (!e.steps?.length) return null;
  const known = new Map(Object.entries(e.names).map(([name, v]) => [name, typeof v === "object" && v !== null
    ? numberAt(trace.arrays.whole(v.array), cell) : v]));
  if ([...known.values()].includes(null)) return null;
  const values = numbers(e.steps, Object.fromEntries(known));
  const lines = e.steps.filter(s => s.text).map(s => (
    {name: s.name, text: s.text, value: values.get(s.name)}));
  return {lines, value: values.get(e.steps.at(-1).name)};
}

// ---------------------------------------------------------------- formula, source
export function formulaPanel(app, n, cell, found) {
  const box = panel("formula", "Formula"), e = app.trace.events[n];
  const op = e.phase === "update" ? null : app.trace.ops[e.op];
  box.append(h("div", {class: "formulas", tabindex: "0", role: "group", "aria-label": "the formula, line by line"},
    formulaOf(app.trace, n, cell, found), op ? "" : e.lines.map(text => h("div", {class: "formula"}, lineOf(app.trace, text)))));
  if (!op) {
    box.append(h("p", {class: "dim", text: Object.entries(e.options).map(([k, v]) => `${k} ${v}`).join(", ")}));
  } else {
    if (op.formula) box.append(h("p", {class: "dim", text: `formula ${op.formula} of minidl's ledger (docs/ledger.md), which names the tests that prove it`}));
    const options = optionsOf(app.trace, op);
    if (options) box.append(h("p", {class: "dim", text: options}));
  }
  return box;
}

/** A line of a formula as MathML, or as text where there is none. */
function lineOf(trace, text) {
  const found = trace.doc.lines?.[text];
  return found ? parsed(found) : readable(text);
}

const LETTERS = {stride: " s =", padding: " p =", pads: " p =", dilation: " d =", window: " k =", kernel: " k ="};

/** The arguments that are numbers, with their names where the file has them. */
function optionsOf(trace, op) {
  const names = trace.doc.signatures?.[op.op] ?? [];
  const words = a => a === null || typeof a !== "object" ? String(a) : "tuple" in a ? `(${a.tuple.map(words).join(", ")})`
    : "float" in a || "dtype" in a || "repr" in a ? String(Object.values(a)[0]) : "";
  return op.arguments.map((a, i) => [names[i] ?? "", words(a)]).filter(([, text]) => text && text !== "null")
    .map(([name, text]) => `${name}${LETTERS[name] ?? ""} ${text}`.trim()).join(", ");
}

export function sourcePanel(app, n) {
  const box = panel("source", "Source"), {trace} = app, e = trace.events[n];
  if (e.phase === "update") {
    box.append(h("p", {class: "dim", text: "The rule is the optimiser's: minidl/optim/update_rules.py."}));
    return box;
  }
  const op = trace.ops[e.op];
  box.append(...listing(trace.sources[op.line], "your line", true));
  const callers = (op.callers ?? []).map(place => trace.sources[place]).filter(Boolean);
  if (callers.length) {
    box.append(h("details", {}, h("summary", {text: `called from (${callers.length})`}),
                 h("ol", {class: "stack"}, callers.map(s => h("li", {}, h("code", {text: s.text}),
                   h("span", {class: "dim", text: ` ${s.path}:${s.line}${s.function ? `, in ${s.function}` : ""}`}))))));
  }
  const own = trace.sources[(e.phase === "forward" ? op.forward : op.backward) ?? -1] ?? trace.sources[op.code ?? -1];
  if (own) {
    box.append(h("details", {open: app.wide ? true : null}, h("summary", {text: e.phase === "forward" ? "the op's own function" : "the op's backward pass"}),
                 ...listing(own, "", false)));
  }
  return box;
}

/** Lines of a program, the one that is meant marked. */
function listing(source, what, mark) {
  if (!source) return [h("p", {class: "dim", text: "no source is known"})];
  const lines = source.lines ?? [source.text], first = source.first ?? source.line;
  const place = `${source.path}:${source.line}`;
  return [h("p", {class: "place"}, what ? `${what}: ` : "", h("b", {text: place}),
            source.function ? h("span", {class: "dim", text: `, in ${source.function}`}) : ""),
          h("pre", {tabindex: "0", role: "group", "aria-label": `lines of ${place}`}, lines.map((text, i) => h("code", {
            class: mark && first + i === source.line ? "marked" : null, "data-line": first + i,
            "aria-current": mark && first + i === source.line ? "true" : null,
          }, h("span", {class: "lineno", text: String(first + i).padStart(4)}), mark && first + i === source.line ? "\u25b6 " : "  ", text, "\n")))];
}

// ---------------------------------------------------------------- what arrived
/** Every contribution to a gradient, and the sum so far: what has not arrived is None. */
export function ledgerPanel(app, n, cell) {
  const {trace} = app, e = trace.events[n], box = panel("ledger", "Gradient, as it arrives (+=)");
  const node = e.phase === "forward" ? trace.subject(n) : e.node;
  const all = trace.brought.get(node) ?? [];
  const pass = trace.passes.find(p => p.begin <= n && n < p.end);
  const rows = e.phase === "backward" && pass ? all.filter(m => m >= pass.begin && m < pass.end) : all;
  const name = trace.name(node);
  if (!rows.length) {
    const began = trace.passes.filter(p => p.outputs.includes(node)), seed = began.length ? trace.arrays.whole(began[0].seeds[began[0].outputs.indexOf(node)]) : null;
    box.append(h("p", {text: began.length ? `backward() began at ${name}, with the gradient ${kept(numberAt(seed, cell))} (event ${began[0].begin + 1} is its first).`
      : `Gradient of ${name}: None. No gradient arrives here in this recording.`}));
    return box;
  }
  const now = e.phase === "forward" ? -1 : n, data = rows.map(m => {
    const event = trace.events[m];
    return {m, event, arrived: m <= now, g: numberAt(trace.arrays.whole(event.contribution), cell),
            sum: numberAt(trace.arrays.whole(event.sum), cell)};
  });
  const most = Math.max(...data.flatMap(d => [Math.abs(d.sum ?? 0), Math.abs((d.sum ?? 0) - (d.g ?? 0))]).filter(Number.isFinite), 1e-300);
  box.dataset.rows = rows.length;
  box.append(h("p", {class: "dim", text: `of ${name} at ${indexed(cell) || "its only number"}`
    + (e.earlier !== undefined ? `; ${kept(numberAt(trace.arrays.whole(e.earlier), cell))} was there from an earlier backward()` : "")}),
    sideways("contributions", h("table", {class: "ledger"}, h("thead", {}, h("tr", {}, ["", "from", "contribution", "sum so far", ""].map(t => h("th", {scope: "col", text: t})))),
      h("tbody", {}, data.map(({m, event, arrived, g, sum}) => h("tr", {class: m === n ? "now" : arrived ? "" : "later", "data-event": m + 1},
        h("td", {text: `${event.number} of ${event.of}`}),
        h("td", {}, h("button", {class: "link", text: described(trace, m).replace(/^backward, /, "").replace(/, gradient of.*/, ""),
                                 onclick: () => app.goto(m, cell)}), h("span", {class: "dim", text: ` event ${m + 1}${lossOf(trace, m)}`})),
        h("td", {class: "number secret", text: arrived ? kept(g) : "None"}),
        h("td", {class: "number secret", text: arrived ? kept(sum) : "None (not arrived)"}),
        h("td", {class: "arrows"}, arrived && Number.isFinite(sum) && Number.isFinite(g) ? arrow(sum - g, sum, most) : "")))))));
  const moved = trace.moved.get(node);
  if (moved !== undefined) box.append(h("p", {}, "What the optimiser did with it: ", h("button", {class: "link", text: `event ${moved + 1}`, onclick: () => app.goto(moved, cell)})));
  const cleared = trace.cleared.find(c => c.event > Math.max(now, 0) && c.parameters.includes(trace.nodes[node].parameter));
  if (cleared) box.append(h("p", {class: "dim", text: `Cleared before event ${cleared.event + 1} (zero_grad).`}));
  return box;
}

const lossOf = (trace, m) => {
  const pass = trace.passes.find(p => p.begin <= m && m < p.end);
  return pass && trace.passes.length > 1 && pass.outputs[0] !== null ? `, from ${trace.name(pass.outputs[0])}` : "";
};

/** An arrow from the sum before to the sum after. */
export function arrow(from, to, most) {
  const SVG = "http://www.w3.org/2000/svg", make = (tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
    return element;
  };
  const x = v => 60 + 54 * v / most, a = x(from), b = x(to), head = Math.sign(b - a) * Math.min(5, Math.abs(b - a));
  const svg = make("svg", {viewBox: "0 0 120 14", class: "arrow", role: "img", "aria-label": `from ${digits(from, 3)} to ${digits(to, 3)}`});
  svg.append(make("line", {x1: 60, y1: 1, x2: 60, y2: 13, class: "zero"}),
             make("line", {x1: a, y1: 7, x2: b, y2: 7, class: to < from ? "minus" : "plus"}),
             make("path", {d: `M${b} 7 l${-head} -4 v8 z`, class: to < from ? "minus" : "plus"}));
  return svg;
}

// ---------------------------------------------------------------- checks
export function checksPanel(app, n, cell) {
  const box = panel("checks", "Is it right?"), checks = app.trace.verdicts.get(n) ?? [];
  if (!checks.length) {
    if (app.trace.checks.length) {
      box.append(h("p", {text: app.trace.events[n].phase === "update" ? app.trace.events[n].steps?.length ? "The check worked the rule again for the whole parameter, and its state, and found the same numbers." : "A rule that is not minidl's: it was not checked." : "This event was not among what was checked."}));
      return box;
    }
    box.append(h("p", {text: "Not checked. Whoever records the step can prove every event: trace.check() before trace.save(), or minidl step --check."}));
    return box;
  }
  const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);
  for (const check of checks) {
    const word = {pass: "proved", fail: "WRONG", skipped: "not checked"}[check.status];
    const proved = check.proved === "all" || (check.proved ?? []).some(c => same(c, cell));
    const tried = (check.tried ?? []).some(c => same(c, cell));
    box.append(h("p", {class: `verdict ${check.status}`}, h("b", {text: word}), `: ${check.reason}`));
    if (check.proved !== undefined) {
      box.append(h("p", {class: "dim", text: `This cell: ${proved ? "proved by its terms" : "not added up"}, ${tried ? "tried" : "not tried"} with finite differences.`}));
    }
    if (check.cells?.length) {
      box.append(h("table", {class: "steps"}, h("thead", {}, h("tr", {}, ["wrong cell", "expected", "got"].map(t => h("th", {scope: "col", text: t})))),
        h("tbody", {}, check.cells.slice(0, 20).map((c, i) => h("tr", {}, h("td", {}, h("button", {class: "link", text: indexed(c) || "the number",
          onclick: () => app.goto(n, c)})), h("td", {class: "number", text: digits(numeric(check.expected?.[i]))}),
          h("td", {class: "number", text: digits(numeric(check.got?.[i]))}))))));
    }
  }
  return box;
}

const numeric = v => typeof v === "string" ? Number(v.replace("inf", "Infinity")) : v;
