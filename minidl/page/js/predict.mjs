// Predict first: the number is hidden until one has typed what it should be.

import {digits, h} from "./dom.mjs";

/** Is a typed number the stored one: to 1 %, or to the digits that were typed? */
export function judged(typed, stored) {
  const value = Number(typed.trim().replace("\u2212", "-").replace(",", "."));
  if (!typed.trim() || Number.isNaN(value)) return null;
  const decimals = (typed.split(/[.,]/)[1] ?? "").replace(/e.*/i, "").length;
  const exponent = Number((typed.match(/e(.*)/i) ?? [0, 0])[1]);
  const half = typed.trim() === "0" ? 0 : 0.5 * 10 ** (exponent - decimals);
  return Math.abs(value - stored) <= Math.max(Math.min(half, 0.05 * Math.abs(stored)), 0.01 * Math.abs(stored), 1e-12);
}

export class Predict {
  constructor(app) {
    this.app = app;
    this.on = false;
    this.open = new Set();                   // places whose number has been shown
  }

  key(n, cell) { return `${n}:${cell.join()}`; }

  hides(n, cell) { return this.on && !this.open.has(this.key(n, cell)); }

  /** The field to type into; nothing when one does not predict. */
  question(n, cell, stored) {
    if (!this.on || stored === null) return "";
    if (!this.hides(n, cell)) return h("p", {class: "judged", text: this.last ?? ""});
    const input = h("input", {id: "guess", inputmode: "decimal", autocomplete: "off", size: "12"});
    const answer = h("output", {for: "guess", class: "judged"});
    return h("form", {class: "predict", onsubmit: e => {
      e.preventDefault();
      const right = judged(input.value, stored);
      if (right === null) { answer.textContent = "Type a number."; return; }
      this.last = right ? `Right: it is ${digits(stored)}.` : `No: you said ${input.value.trim()}, it is ${digits(stored)}.`;
      this.open.add(this.key(n, cell));
      this.app.render();
      this.app.say(this.last);
    }}, h("label", {for: "guess", text: "What should this number be? "}), input,
        h("button", {text: "Judge"}), h("button", {type: "button", text: "Show it", onclick: () => {
          this.last = `It is ${digits(stored)}.`;
          this.open.add(this.key(n, cell));
          this.app.render();
        }}), answer);
  }
}
