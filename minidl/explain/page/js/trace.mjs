// A trace as the page reads it: events, ops and nodes by number, and whence a number came.

import {Arrays, flatOf, isCell, largest} from "./decode.mjs";
import {gradientTerms, valueTerms} from "./terms.mjs";

const CUT = "left out of the file for its size";
const WORDS = {constant: "a constant", label: "labels", mask: "a mask", noise: "noise",
               input: "an input without a name", parameter: "a parameter without a name"};

export class Trace {
  constructor(document) {
    this.doc = document;
    this.arrays = new Arrays(document.arrays);
    for (const part of ["nodes", "ops", "events", "sources", "checks", "frames", "modules",
                        "parameters", "passes", "turns", "cleared"]) {
      this[part] = document[part] ?? [];
    }
    this.made = new Map();                   // by op: its forward event
    this.brought = new Map();                // by node: the events that brought its gradient
    this.moved = new Map();                  // by node: the event that updates it
    this.events.forEach((e, n) => {
      if (e.phase === "forward") this.made.set(e.op, n);
      if (e.phase === "backward") {
        if (!this.brought.has(e.node)) this.brought.set(e.node, []);
        this.brought.get(e.node).push(n);
      }
      if (e.phase === "update" && !this.moved.has(e.node)) this.moved.set(e.node, n);
    });
    this.verdicts = new Map();               // by event: its checks, the failed ones first
    for (const check of this.checks) {
      const n = check.event ?? this.made.get(check.op);
      this.verdicts.set(n, [...this.verdicts.get(n) ?? [], check]);
    }
    const rank = c => ["fail", "skipped", "pass"].indexOf(c.status);
    for (const checks of this.verdicts.values()) checks.sort((a, b) => rank(a) - rank(b));
    this.calls = new Map();
  }

  /** Was a number wrong anywhere in this event? Its failed check, or undefined. */
  failed(n) { return this.verdicts.get(n)?.find(c => c.status === "fail"); }

  // ------------------------------------------------------------------ names
  /** What a node is called: its name, what it is, or which op made it. */
  name(node) {
    const {name, op, role} = this.nodes[node];
    if (name) return name;
    if (op === null) return WORDS[role] ?? role;
    const which = this.ops[op].outputs.indexOf(node);
    return `${which ? `output ${which + 1}` : "the output"} of ${this.called(op)}`;
  }

  called(op) {
    const {op: name, module} = this.ops[op];
    return name + (module ? ` in module ${module}` : "");
  }

  operand(op, k) { return this.ops[op].map?.operands[k] ?? `x${k}`; }

  result(op) { return this.ops[op].map?.result ?? "y"; }

  // ------------------------------------------------------------------ an event's arrays
  /** The node that an event is about: what an op made, whose gradient came, what was updated. */
  subject(n) {
    const e = this.events[n];
    return e.phase === "forward" ? this.ops[e.op].outputs[0] : e.node;
  }

  shape(n) { return this.nodes[this.subject(n)].shape; }

  /** The place of an event's result: a value, a contribution, the updated parameter. */
  resultPlace(n) {
    const e = this.events[n];
    return e.phase === "forward" ? this.nodes[this.subject(n)].value
      : e.phase === "backward" ? e.contribution : e.after;
  }

  wholeResult(n) { return this.arrays.whole(this.resultPlace(n)); }

  /** The number of an event's result at a cell; null where there is none. */
  numberAt(n, cell) {
    const a = this.wholeResult(n);
    return a && isCell(cell, a.shape) ? Number(a.data[flatOf(cell, a.shape)]) : null;
  }

  /** The cell to begin with: the largest of the wrong ones, or of the result. */
  firstCell(n) {
    const a = this.wholeResult(n), wrong = this.failed(n)?.cells;
    if (wrong?.length && isCell(wrong[0], this.shape(n))) return wrong[0];
    const e = this.events[n];
    const by = e.phase === "update" ? this.arrays.whole(e.gradient) : a;
    if (by && by.data.length) return largest(by);
    return this.shape(n).map(() => 0);
  }

  // ------------------------------------------------------------------ calls and terms
  /** An op's call as terms.mjs reads it; a text that says why there is none. */
  call(id) {
    if (!this.calls.has(id)) this.calls.set(id, this.readCall(id));
    return this.calls.get(id);
  }

  readCall(id) {
    const op = this.ops[id], {map} = op, whole = node => this.arrays.whole(this.nodes[node].value);
    if (!map) return op.library ? `its numbers were ${CUT}` : "an op of your own, which declares no terms";
    const operands = op.inputs.map(whole), out = whole(op.outputs[0]);
    const extra = Object.fromEntries(Object.entries(map.arrays).map(([k, node]) => [k, whole(node)]));
    const places = map.kind === "positions" ? map.groups.flatMap(g => [g.out, g.in]) : [];
    const all = [...operands, out, ...Object.values(extra), ...places.map(
      p => p === null ? true : this.arrays.whole(p))];
    if (all.includes(null)) return `its numbers were ${CUT}`;
    return {map, operands, out, extra, places: p => p === null ? null : this.arrays.whole(p)};
  }

  /** The event's cell as a sum of terms; a text that says why there are none. */
  terms(n, cell) {
    const e = this.events[n];
    if (!isCell(cell, this.shape(n))) return "there are no numbers in it";
    if (e.phase === "update") return "an update has no terms, but a rule";
    if (this.shape(n).includes(0)) return "its array has no numbers";
    const call = this.call(e.op);
    if (typeof call === "string") return call;
    if (e.phase === "forward") return valueTerms(call, cell);
    const gy = this.arrays.whole(e.gy);
    return gy ? gradientTerms(call, e.input, cell, gy) : `its numbers were ${CUT}`;
  }

  // ------------------------------------------------------------------ what had arrived
  /** The pass back that an event belongs to, of passes within each other the innermost. */
  passOf(n) { return this.passes.findLast(p => p.begin <= n && n < p.end) ?? null; }

  /** The contributions before event `before` to a node, and to what its parameter was before, by pass. */
  byPass(node, before) {
    const {parameter} = this.nodes[node], found = new Map();
    const same = (parameter ?? null) === null ? [node]
      : [...this.brought.keys()].filter(other => other <= node && this.nodes[other].parameter === parameter);
    for (const n of same.flatMap(other => this.brought.get(other) ?? []).sort((x, y) => x - y)) {
      if (n >= before) break;
      const pass = this.passOf(n);
      if (!found.has(pass)) found.set(pass, []);
      found.get(pass).push(n);
    }
    return [...found];
  }

  /** The events before event `before` that a node's gradient then is the sum of: the rule of
   * minidl/explain/arrived.py. A gradient begins anew where it was cleared, be it set to zero in place;
   * what grad() finds is not added to it. */
  came(node, before) {
    const {parameter} = this.nodes[node];
    const rest = (left, moments, until) => left.length && moments.some(m => left.at(-1) < m && m <= until) ? [] : left;
    const clearings = this.cleared.filter(c => c.parameters.includes(parameter)).map(c => c.event);
    let left = [], last = [], going = [];
    for (const [pass, places] of this.byPass(node, before)) {
      left = rest(left, clearings, places[0]);
      last = "earlier" in this.events[places[0]] ? [...left, ...places] : places;
      if (!pass || pass.deposits) left = last;
      if (pass && pass.begin < before && before < pass.end) going = last;
    }
    if (going.length) return going;
    if ((parameter ?? null) !== null) return rest(left, clearings, before);
    return rest(last, this.passes.filter(p => p.outputs.includes(node)).map(p => p.begin), before);
  }

  /** A node's gradient when event n has happened: an array's place, or null: not arrived. */
  gradientAt(node, n) {
    const came = this.came(node, n + 1);
    if (came.length) return this.events[came.at(-1)].sum;
    const began = this.passes.filter(p => p.begin <= n && p.deposits && p.outputs.includes(node)).at(-1);
    return began ? began.seeds[began.outputs.indexOf(node)] : null;
  }

  // ------------------------------------------------------------------ whence
  /** Does an op hand numbers on as they are, whatever they are (reshape, permute, cat)? Not a maximum,
   * which chooses. */
  handsOn(op) {
    const {map} = this.ops[op];
    return map?.kind === "positions" && !map.window;
  }

  /** Who made this element of a node, as it was in event n: {event, cell, through}; of a leaf {leaf: node,
   * cell, through}. `through` are the events of ops on the way that only hand numbers on; `detached` tells
   * that detach() lay on the way. An earlier update made a parameter. */
  maker(node, cell, n) {
    const through = [];
    let detached = false;
    for (;;) {
      const {op, detached_from: from, parameter} = this.nodes[node];
      if (op === null && (from ?? null) !== null) {
        node = from;
        detached = true;
        continue;
      }
      if (op === null) {
        const updates = [...this.events.keys()].filter(m => m < n && this.events[m].phase === "update" && (parameter ?? null) !== null
          && this.nodes[this.events[m].node].parameter === parameter);
        return updates.length ? {event: updates.at(-1), cell, through, detached} : {leaf: node, cell, through, detached};
      }
      const call = this.handsOn(op) ? this.call(op) : "";
      const terms = typeof call === "string" || this.ops[op].outputs[0] !== node ? []
        : valueTerms(call, cell).terms;
      const [f] = terms.length === 1 ? terms[0].factors : [];
      if (!f) return {event: this.made.get(op), cell, through, detached};
      through.push(this.made.get(op));
      node = this.ops[op].inputs[f.operand];
      cell = f.index;
    }
  }

  /** Who brought this element of a node's gradient before event n: the event of the largest
   * contribution there; where backward() began, the op that made the node (`began`). */
  bringer(node, cell, before) {
    const through = [];
    for (;;) {
      const came = this.came(node, before);
      if (!came.length && this.nodes[node].op === null) return {unknown: node, cell, through};
      if (!came.length) {
        return {event: this.made.get(this.nodes[node].op), cell, began: true, through};
      }
      const size = n => {
        const a = this.arrays.whole(this.events[n].contribution);
        return a ? Math.abs(a.data[flatOf(cell, a.shape)]) : 0;
      };
      const n = came.reduce((best, m) => size(m) > size(best) ? m : best), e = this.events[n];
      const call = this.handsOn(e.op) ? this.call(e.op) : "";
      const gy = typeof call === "string" ? null : this.arrays.whole(e.gy);
      const {terms} = gy ? gradientTerms(call, e.input, cell, gy) : {terms: []};
      const out = this.ops[e.op].outputs[0];
      if (terms.length !== 1 || came.length > 1) return {event: n, cell, through};
      through.push(n);
      node = out;
      cell = terms[0].factors[0].index;
      before = n;
    }
  }

  /** Where a term's factor leads from event n: {event, cell}, {leaf, cell}, or null. */
  follow(n, factor) {
    const e = this.events[n];
    if (e.phase === "update") return this.bringer(e.node, factor.index, n);
    if (factor.operand === "gy") return this.bringer(this.ops[e.op].outputs[0], factor.index, n);
    if (factor.operand === null || factor.operand === undefined) return null;
    return this.maker(this.ops[e.op].inputs[factor.operand], factor.index, n);
  }

  /** Does an op only hand numbers on (reshape, flatten)? Such events are shown small. */
  trivial(n) {
    const e = this.events[n], map = e.phase === "update" ? null : this.ops[e.op].map;
    return map?.kind === "positions" && map.groups.length === 1 && !map.window
      && map.groups[0].out === null && map.groups[0].in === null;
  }
}
