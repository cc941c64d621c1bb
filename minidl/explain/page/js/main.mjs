// The page: a recorded step, an event of it, a cell of that, and all that is known of the number there.

import {unpacked} from "./decode.mjs";
import {digits, h} from "./dom.mjs";
import {graph} from "./graph.mjs";
import {HELP, pressed} from "./keys.mjs";
import {microscope} from "./microscope.mjs";
import {checksPanel, formulaPanel, ledgerPanel, sourcePanel, termsPanel} from "./panels.mjs";
import {Place} from "./place.mjs";
import {Predict} from "./predict.mjs";
import {timeline} from "./timeline.mjs";
import {Trace} from "./trace.mjs";
import {codesPanel, framesPanel, imagesPanel} from "./training.mjs";
import {described, searched, status} from "./words.mjs";

class App {
  constructor(document_) {
    this.trace = new Trace(document_);
    this.place = new Place(this.trace);
    this.predict = new Predict(this);
    this.wide = matchMedia("(min-width: 1200px)").matches;
  }

  // ------------------------------------------------------------------ what stands
  build(root) {
    const {trace} = this;
    this.timeline = timeline(this);
    this.graph = graph(this);
    this.status = h("p", {role: "status", class: "status"});
    this.note = h("p", {class: "note", "aria-live": "polite"});
    this.trail = h("nav", {class: "trail", "aria-label": "the way that you followed"});
    this.detail = h("div", {class: "detail"});
    this.left = h("div", {class: "left"}, this.graph.element);
    this.middle = h("div", {class: "middle"});
    this.more = h("div", {class: "more"});
    this.dialog = h("dialog", {"aria-label": "keys"}, h("h2", {text: "Keys"}), h("dl", {class: "keys"}, HELP.map(([key, what]) => [
      h("dt", {}, h("kbd", {text: key})), h("dd", {text: what})])), h("form", {method: "dialog"}, h("button", {text: "Close"})));
    this.asked = h("form", {class: "ask", hidden: true});
    const button = (key, text, act) => h("button", {title: `key ${key}`, onclick: act}, text, " ", h("kbd", {text: key}));
    root.replaceChildren(
      h("header", {class: "top"}, h("h1", {text: document.title}), h("p", {class: "dim", text: this.summary()}), h("p", {class: "intro", text: "Ask any number where it came from: choose one (click, or find it by name), read its terms, and press Enter to follow the ringed factor to what made it."}),
        h("div", {class: "actions"}, button("\u2190", "back one", () => this.act(() => this.place.step(-1))),
          button("\u2192", "next", () => this.act(() => this.place.step(1))), button("Backspace", "return", () => this.back()),
          button("/", "find", () => this.ask("find")), button("g", "go to", () => this.ask("goto")),
          trace.checks.some(c => c.status === "fail") ? button("c", "next wrong cell", () => this.red()) : "",
          this.predictButton = button("p", "predict first", () => this.togglePredict()), button("?", "keys", () => this.help())),
        this.asked),
      this.timeline.element, h("div", {class: "standing"}, this.status, this.note, this.trail),
      h("div", {class: "columns"}, this.left, this.middle, this.detail), this.more, this.dialog);
    document.addEventListener("keydown", e => { if (pressed(this, e)) e.preventDefault(); });
    document.addEventListener("pointerover", e => this.light(e.target));
    document.addEventListener("focusin", e => this.light(e.target));
    addEventListener("error", e => this.say(`This cannot be shown; perhaps the recorded step is damaged: ${e.message}`));
    addEventListener("hashchange", () => {
      if (location.hash === this.place.hash) return;
      const wrong = this.place.set(location.hash);
      this.render();
      this.say(wrong);
    });
    const wrong = this.place.set(location.hash);
    const frames = framesPanel(this);
    if (frames) this.more.append(frames);
    this.moving = h("div", {class: "moving"});
    this.more.append(this.moving);
    this.render();
    this.say(wrong);
  }

  summary() {
    const {trace} = this, count = phase => trace.events.filter(e => e.phase === phase).length;
    const fails = trace.checks.filter(c => c.status === "fail").length;
    const checked = trace.checks.length ? fails ? `${trace.checks.length} checks, ${fails} WRONG`
      : `${trace.checks.length} checks, none wrong` : "not checked";
    const meta = trace.doc.meta, cut = trace.doc.arrays.filter(a => !a.full).length;
    return `${trace.ops.length} ops: ${count("forward")} forward, ${count("backward")} backward, ${count("update")} update events; ${checked}`
      + (meta.probe ? `; ${meta.probe} examples` : "") + (cut ? `; ${cut} of ${trace.doc.arrays.length} arrays were cut for their size` : "");
  }

  /** Show the place. What cannot be shown is said, and the keys stay alive. */
  render(focus = null) {
    try {
      this.draw();
    } catch (error) {
      this.middle.replaceChildren();
      this.detail.replaceChildren();
      this.status.textContent = `event ${this.place.event + 1} of ${this.trace.events.length} cannot be shown: ${error.message}`;
      console.error(error);
    }
    if (focus) focus();
  }

  draw() {
    const {trace, place} = this, {event: n, cell} = place;
    const found = trace.terms(n, cell), e = trace.events[n];
    this.say("");
    this.ended = false;
    this.spotted = 0;
    this.timeline.show(n);
    this.graph.show(n);
    this.status.textContent = status(trace, n, cell);
    document.documentElement.classList.toggle("predicting", this.predict.hides(n, cell));
    if (this.predict.hides(n, cell)) this.status.textContent = this.status.textContent.replace(/: [^:;]*(;.*)?$/, ": what is it?");
    this.middle.replaceChildren(h("h2", {class: "event-title"}, h("b", {text: `${e.phase} `}), described(trace, n).replace(/^\w+, /, "")),
                                microscope(this, n, cell, found));
    this.detail.replaceChildren(termsPanel(this, n, cell, found), formulaPanel(this, n, cell, found),
                                ledgerPanel(this, n, cell), checksPanel(this, n, cell), sourcePanel(this, n));
    this.moving.replaceChildren(...[codesPanel(this, n), imagesPanel(this, n)].filter(Boolean));
    this.colour(e);
    this.bringIntoSight(document.querySelector("[data-cell]"));
    this.trail.replaceChildren(...this.way());
    document.querySelectorAll(".next").forEach(one => one.classList.remove("next"));
    this.firstFactor()?.classList.add("next");
  }

  /** The steps that were followed, each with its number; a click goes back there. */
  way() {
    const {came, event, cell} = this.place, last = came.findLastIndex(step => !step.factor) + 1, steps = came.slice(last);
    if (!steps.length) return [];
    const all = [...steps, {event, cell, value: this.trace.numberAt(event, cell)}];
    return [h("span", {text: "followed: "}), ...all.flatMap(({event: n, cell: at, value}, i) => [i ? " \u2192 " : "", h("button", {class: "link", text: `${digits(value, 3)}`,
      title: `event ${n + 1}, ${described(this.trace, n)}, [${at}]`, "aria-label": `event ${n + 1}: ${digits(value, 3)}`, onclick: () => { while (this.place.came.length > last + i) this.place.back(); this.jumped(); }}),
      h("sub", {text: n + 1})])];
  }

  jumped() {
    this.mark(true);
    this.render();
  }

  /** Show the numbers of one term in the grids: their slices, and their cells. */
  spot(i) {
    const {event: n, cell} = this.place, found = this.trace.terms(n, cell), old = this.middle.querySelector("[data-panel=microscope]");
    if (i === this.spotted || typeof found === "string" || !found.terms[i] || !old || old.contains(document.activeElement)) return;
    this.spotted = i;
    old.replaceWith(microscope(this, n, cell, {...found, terms: [found.terms[i], ...found.terms.filter((_, k) => k !== i)], spotted: found.terms[i]}));
    this.colour(this.trace.events[n]);
  }

  /** On a narrow screen numbers scroll sideways: to the chosen one. */
  bringIntoSight(cell) {
    const box = cell?.closest(".arrays");
    if (box) box.scrollLeft += Math.max(0, cell.getBoundingClientRect().right + 4 - box.getBoundingClientRect().right);
  }

  /** The colours of symbols: the same in formula, terms and figures. */
  colour(e) {
    const op = e.phase === "update" ? null : this.trace.ops[e.op];
    const names = op?.map ? [op.map.result, ...op.map.operands, ...Object.keys(op.map.arrays)] : ["w", "g"];
    names.forEach((name, k) => {
      for (const one of document.querySelectorAll(`.${CSS.escape(`s-${name}`)}, .${CSS.escape(`s-g${name}`)}`)) one.dataset.colour = k % 6;
    });
  }

  /** Light up what a symbol stands for, wherever it stands. */
  light(target) {
    const symbol = target.closest?.("[class*='s-']"), name = symbol && /(?:^| )s-(\S+)/.exec(symbol.getAttribute("class"))?.[1];
    if (name === this.lit) return;
    this.lit = name;
    document.querySelectorAll(".lit").forEach(one => one.classList.remove("lit"));
    if (!name) return;
    document.querySelectorAll(`.${CSS.escape(`s-${name}`)}, [data-array="${CSS.escape(name)}"]`).forEach(one => one.classList.add("lit"));
  }

  /** A word beside the status line, until the next step. */
  say(text) {
    this.note.textContent = text;
  }

  // ------------------------------------------------------------------ going
  /** Write the place into the hash: a step of the browser's history where one has jumped. */
  mark(jump) {
    if (jump) { location.hash = this.place.hash; return; }
    try {
      history.replaceState(null, "", this.place.hash);
    } catch {                                // in a notebook's frame there is no history
      location.hash = this.place.hash;
    }
  }

  act(change, focus = null) {
    change();
    this.mark(false);
    this.render(focus);
  }

  goto(n, cell = null) { this.jump(() => this.place.goto(n, cell)); }

  /** A jump, to which Backspace leads back; or a word why there is none. */
  jump(change, otherwise = "", focus = null) {
    const done = this.place.jump(change);
    if (done === false || typeof done === "string") { this.say(done || otherwise); return false; }
    this.mark(true);
    this.render(focus);
    return true;
  }

  band(phase) { this.jump(() => this.place.band(phase), `There are no ${phase} events in this recording.`); }

  move(axis, by) {
    const inGrid = document.activeElement?.closest?.("[role=grid]");
    if (axis >= 0 && this.place.move(axis, by)) this.act(() => {}, inGrid ? () => this.focusCell() : null);
    else this.say("The result has no such axis.");
  }

  choose(index) { this.act(() => this.place.choose(index), () => this.focusCell()); }

  focusCell() { document.querySelector("[data-cell]")?.focus({preventScroll: true}); }

  /** The name of an axis of the event's result, in words where the op's indices have a meaning. */
  axisName(d) {
    const {trace, place} = this, e = trace.events[place.event], map = e.phase === "update" ? null : trace.ops[e.op].map;
    const forms = map?.kind !== "contract" ? null : e.phase === "forward" ? map.out : [...map.factors, ...map.bias?.factors ?? []][e.input];
    const names = forms ? Object.keys(forms[d] ?? {}) : [];
    const words = {n: "example", o: "output", c: "input channel", u: "kernel row", v: "kernel column"};
    const image = !forms && trace.shape(place.event).length === 4 && e.phase !== "update";
    return names.length === 1 && words[names[0]] || (image ? ["example", "channel", "row", "column"][d] : `axis ${d}`);
  }

  /** The first factor that leads somewhere: where Enter goes from. */
  firstFactor() {
    const all = [...document.querySelectorAll("button[data-factor]")], {trace, place} = this;
    if (trace.events[place.event].phase === "backward") return all[0];
    const op = trace.events[place.event].phase === "update" ? null : trace.ops[trace.events[place.event].op];
    return all.find(b => op && trace.nodes[op.inputs[op.map?.operands.indexOf(b.dataset.factor)] ?? -1]?.op !== null) ?? all[0];
  }

  followFirst() {
    const factor = this.firstFactor();
    if (this.ended) this.say("This is the loss, where backward() began. Tab to a factor to go on to what made it, or press Backspace.");
    else if (factor) factor.click();
    else this.say("There is nothing to follow here.");
  }

  follow(factor) {
    const found = this.place.follow(factor), {trace} = this;
    if (!found) { this.say("This number has no maker: it is a slope, or a constant."); return; }
    const through = found.through?.length ? `Through ${found.through.map(n => `${trace.called(trace.events[n].op)} (event ${n + 1})`).join(", ")}, which only hands numbers on. ` : "";
    const cut = found.detached ? "Through detach(), behind which no gradient comes. " : "";
    if (found.unknown !== undefined) { this.say(`${through}No event of this recording brought this gradient: the program set it, or it is older.`); return; }
    if (found.event === undefined) { this.say(through + cut + this.given(found, factor.value)); return; }
    this.mark(true);
    this.render(() => found.began ? document.activeElement?.blur?.() : this.firstFactor()?.focus({preventScroll: true}));
    this.ended = Boolean(found.began);
    this.say(through + cut + (found.began ? "Here backward() began, with gradient 1: this is the end of the way. Tab to a factor to go on to what made the loss." : ""));
  }

  /** A leaf's number in words: it was given, and where its gradient and its update are. */
  given({leaf, cell}, value) {
    const {trace} = this, came = trace.brought.get(leaf) ?? [], moved = trace.moved.get(leaf);
    return `${trace.name(leaf)}${cell.length ? `[${cell.join(",")}]` : ""} is ${value === null ? "not in the file" : digits(value)}: it was given, no op made it.`
      + (came.length ? ` Its gradient comes in event ${came.map(n => n + 1).join(", ")}` : "") + (moved !== undefined ? `, its update in event ${moved + 1}.` : came.length ? "." : "");
  }

  back() {
    const factor = this.place.back();
    if (!factor) { this.say("You are where you began."); return; }
    this.mark(true);
    this.render(() => {
      const one = [...document.querySelectorAll("[data-factor]")].find(b => b.dataset.factor === factor.name
        && b.dataset.index === (factor.index ?? []).join(","));
      one?.focus({preventScroll: true});
    });
  }

  red() {
    this.jump(() => this.place.red(), this.trace.checks.length ? "No number is known to be wrong." : "Nothing was checked: trace.check() before saving.", () => this.focusCell());
  }

  toSource() { (document.querySelector("[data-panel=source] pre") ?? document.querySelector("[data-panel=source] h2")).focus(); }

  // ------------------------------------------------------------------ asking
  ask(what) {
    const input = h("input", {id: "asked", autocomplete: "off"});
    const count = this.trace.events.length, {trace} = this;
    this.asked.replaceChildren(h("label", {for: "asked", text: what === "find" ? `Find an event by its words, or a number by its name, such as ${this.place.example()}: ` : `Event, 1 to ${count}, perhaps with a cell, such as 3 [0,1]; or a name, such as ${this.place.example()}: `}), input, h("button", {text: "Go"}));
    this.asked.hidden = false;
    this.asked.onsubmit = e => {
      e.preventDefault();
      const text = input.value.trim(), number = /^(\d+)\s*(?:\[(.*)\])?$/.exec(text), n = number?.[1];
      const address = number && `#event=${n}${number[2] === undefined ? "" : `&cell=${number[2]}`}`;
      const done = what === "goto" && number ? this.jump(() => this.place.set(address) || true)
        : this.jump(() => this.place.find(text, m => searched(trace, m)));
      if (!done) return;
      this.asked.hidden = true;
      input.blur();
      this.say(this.place.found ?? "");
    };
    this.say("");
    input.addEventListener("keydown", e => {
      if (e.key !== "Escape") return;
      this.asked.hidden = true;
      this.say("");
    });
    input.focus();
  }

  togglePredict() {
    this.predict.on = !this.predict.on;
    this.predictButton.setAttribute("aria-pressed", String(this.predict.on));
    this.render(() => document.querySelector("#guess")?.focus());
  }

  help() { this.dialog.showModal(); }

  dialogOpen() { return this.dialog.open; }
}

/** Unpack the trace of the page and show it. */
export async function start() {
  const root = document.querySelector("#page");
  try {
    const recorded = await unpacked(document.querySelector("#trace").textContent);
    if (!recorded?.events?.length) throw new Error("it has no events");
    const app = new App(recorded);
    app.build(root);
    root.removeAttribute("aria-busy");
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    root.replaceChildren(h("h1", {text: "This page cannot be shown"}), h("p", {role: "alert", text: `The recorded step in this file is damaged or not whole, or this browser is older than 2023. (${error.message})`}));
    document.documentElement.dataset.ready = "failed";
    throw error;
  }
}
