// Where one is in a trace: an event, a cell of its result, and the way one came. Without a page, so
// that tests can walk it.

import {isCell} from "./decode.mjs";

/** ``3, 0, 1, 2`` as a cell. */
const cellOf = text => text.trim() ? text.trim().split(/[\s,]+/).map(Number) : [];

export class Place {
  constructor(trace) {
    this.trace = trace;
    this.event = 0;
    this.cell = trace.events.length ? trace.firstCell(0) : [];
    this.came = [];                          // {event, cell, factor}: what Backspace goes back to
    this.chosen = new Map();                 // by number (a parameter, a node): the cell one chose
  }

  /** What an event is about, as one thing: a parameter is the same before and after its update. */
  subject(event) {
    const node = this.trace.subject(event), {parameter} = this.trace.nodes[node];
    return parameter === null || parameter === undefined ? `node ${node}` : `parameter ${parameter}`;
  }

  /** Choose a cell of the event. */
  choose(cell) {
    this.cell = cell;
    this.chosen.set(this.subject(this.event), cell);
  }

  /** A jump: what changes the place, remembered for Backspace. */
  jump(change) {
    const before = {event: this.event, cell: this.cell};
    const done = change();
    if (done !== false && typeof done !== "string" && (this.event !== before.event || this.cell !== before.cell)) this.came.push(before);
    return done;
  }

  // ------------------------------------------------------------------ events
  /** To an event; to a cell of it, or to the one chosen before, or to its most telling one. */
  goto(event, cell = null) {
    this.event = Math.max(0, Math.min(event, this.trace.events.length - 1));
    const shape = this.trace.shape(this.event);
    if (isCell(cell, shape)) { this.choose(cell); return; }
    const before = this.trace.failed(this.event) ? null : this.chosen.get(this.subject(this.event));
    this.cell = isCell(before, shape) ? before : this.trace.firstCell(this.event);
  }

  step(by) { this.goto(this.event + by); }

  /** To the first event of a band: "forward", "backward", "update". */
  band(phase) {
    const found = this.trace.events.findIndex(e => e.phase === phase);
    if (found >= 0) this.goto(found);
    return found >= 0;
  }

  /** To where the next (or the one before) module's events begin. */
  module(by) {
    const {events, ops} = this.trace;
    const of = n => events[n].phase === "update" ? "update" : `${events[n].phase} ${ops[events[n].op].module}`;
    let n = this.event;
    const begin = m => { while (m > 0 && of(m - 1) === of(m)) m--; return m; };
    if (by > 0) {
      while (n < events.length && of(n) === of(this.event)) n++;
      if (n < events.length) this.goto(n);
    } else {
      n = begin(n);
      this.goto(n === this.event && n > 0 ? begin(n - 1) : n);
    }
  }

  /** To the next wrong number: of this event, then of the events after it, beginning again after the last. */
  red() {
    const count = this.trace.events.length, cells = n => this.trace.failed(n)?.cells.filter(c => isCell(c, this.trace.shape(n))) ?? [];
    const here = cells(this.event), at = here.findIndex(c => String(c) === String(this.cell));
    if (at >= 0 && at + 1 < here.length) { this.goto(this.event, here[at + 1]); return true; }
    for (let k = 1; k <= count; k++) {
      const n = (this.event + k) % count;
      if (this.trace.failed(n)) { this.goto(n, cells(n)[0] ?? null); return true; }
    }
    return false;
  }

  /** To the next event, after this one, whose description has the text. A name that events are about,
   * with a cell or without (``0.weight[3,0,1,2]``), leads to its gradient first, then to its others.
   * Returns true, or a text that says why not. */
  find(text, describe) {
    const [, words, indices] = /^(.*?)\s*(?:\[([-\d,\s]*)\])?$/.exec(text.trim()), {events} = this.trace;
    const gradients = /\.grad$/.test(words), wanted = words.toLowerCase().replace(/\.grad$/, "");
    const cell = indices === undefined ? null : cellOf(indices), rank = n => ["backward", "update", "forward"].indexOf(events[n].phase);
    const name = n => this.trace.name(this.trace.subject(n)).toLowerCase();
    const named = test => [...events.keys()].filter(n => test(n) && (!gradients || events[n].phase === "backward")).sort((a, b) => rank(a) - rank(b));
    let about = named(n => wanted ? name(n) === wanted : n === this.event);
    if (!about.length && cell) {                    // "weight[0,1]": of which module?
      about = named(n => name(n).endsWith(`.${wanted}`));
      const names = [...new Set(about.map(name))];
      if (names.length > 1) return `Which one: ${names.slice(0, 8).map(each => `${each}[${cell}]`).join(", ")}?`;
    }
    const there = cell ? about.filter(n => isCell(cell, this.trace.shape(n))) : about;
    if (there.length) {
      const here = there.indexOf(this.event), same = !cell || String(cell) === String(this.cell);
      const k = here >= 0 && same ? (here + 1) % there.length : 0;
      this.goto(there[k], cell);
      this.found = there.length > 1 ? `${k + 1} of ${there.length} events about ${words.trim() || "this number"}; once more leads to the next.` : "";
      return true;
    }
    if (about.length) return `[${cell}] is outside ${words.trim() || "the result"}, whose shape is (${this.trace.shape(about[0]).join(", ")}).`;
    if (cell || wanted && !Number.isNaN(Number(wanted))) return `Nothing here is called "${words.trim()}": numbers are found by names, such as ${this.example()}.`;
    this.found = "";
    for (let k = 1; k <= events.length; k++) {
      const n = (this.event + k) % events.length;
      if (describe(n).toLowerCase().includes(wanted)) { this.goto(n, cell); return true; }
    }
    return `No event has the words "${text.trim()}".`;
  }

  /** The name of some number, to show how names look. */
  example() {
    const n = this.trace.nodes.find(node => node.role === "parameter" && node.name && node.shape.length);
    return n ? `${n.name}[${n.shape.map(() => 0)}]` : "loss";
  }

  // ------------------------------------------------------------------ cells
  /** Along an axis of the result, counted from the last one; stays inside. */
  move(axisFromLast, by) {
    const shape = this.trace.shape(this.event), d = shape.length - 1 - axisFromLast;
    if (d < 0) return false;
    const cell = [...this.cell];
    cell[d] = Math.max(0, Math.min(cell[d] + by, shape[d] - 1));
    this.choose(cell);
    return true;
  }

  // ------------------------------------------------------------------ following
  /** To the maker of a term's factor; false where there is none to go to. */
  follow(factor) {
    const found = this.trace.follow(this.event, factor);
    if (!found || found.event === undefined) return found;
    this.came.push({event: this.event, cell: this.cell, factor, value: this.trace.numberAt(this.event, this.cell)});
    this.goto(found.event, found.cell);
    return found;
  }

  /** To where one came from: the factor that was followed; null at the beginning of the way. */
  back() {
    const before = this.came.pop();
    if (!before) return null;
    this.goto(before.event, before.cell);
    return before.factor ?? {};
  }

  // ------------------------------------------------------------------ as text
  /** ``#event=19&cell=0,3,5,5``. */
  get hash() {
    return `#event=${this.event + 1}` + (this.cell.length ? `&cell=${this.cell.join(",")}` : "");
  }

  /** To where such a text says. Returns "" then, else what is wrong with it in words. */
  set(hash) {
    const found = new URLSearchParams(hash.replace(/^#/, "")), count = this.trace.events.length;
    if (!found.has("event")) return hash ? `The address says nothing that there is here: ${hash}` : "";
    const event = Number(found.get("event")), cell = found.get("cell");
    if (!(Number.isInteger(event) && event >= 1 && event <= count)) return `There is no event ${found.get("event")}: 1 to ${count}.`;
    const index = cell === null ? null : cellOf(cell);
    this.goto(event - 1, index);
    return index === null || isCell(index, this.trace.shape(event - 1)) ? ""
      : `[${index}] is outside the result of event ${event}, whose shape is (${this.trace.shape(event - 1).join(", ")}).`;
  }
}
