// An event in words: what the status line says, and what is searched.

import {digits, indexed, shapeText} from "./dom.mjs";
import {flatOf, isCell} from "./decode.mjs";

/** ``backward, conv2d in module 0, gradient of 0.weight, contribution 1 of 1``. */
export function described(trace, n) {
  const e = trace.events[n];
  if (e.phase === "forward") {
    const began = trace.passes.some(p => p.outputs.includes(trace.subject(n)));
    return `forward, ${trace.called(e.op)}, a result of shape ${shapeText(trace.shape(n))}${began ? ", the loss: backward() begins here" : ""}`;
  }
  if (e.phase === "backward") {
    return `backward, ${trace.called(e.op)}, gradient of ${trace.name(e.node)}, contribution `
      + `${e.number} of ${e.of}`;
  }
  return `update, ${e.rule} step ${e.step}, ${trace.name(e.node)}`;
}

/** The same with its place, its cell and that number: complete when read aloud. */
export function status(trace, n, cell) {
  const a = trace.wholeResult(n), there = a && isCell(cell, a.shape);
  const number = there ? digits(Number(a.data[flatOf(cell, a.shape)])) : a ? "no numbers" : "not in the file";
  const turn = trace.turns.length > 1 && trace.turns.find(t => t.begin <= n && n < t.end);
  const wrong = trace.failed(n) ? "; WRONG: " + trace.failed(n).reason : "";
  return `event ${n + 1} of ${trace.events.length}, ${described(trace, n)}`
    + (turn ? `, ${turn.name}'s turn` : "")
    + `; cell ${cell.length ? indexed(cell) : "(a single number)"}: ${number}${wrong}`;
}

/** What is searched: the words, and the parameters' and modules' names. */
export function searched(trace, n) {
  const e = trace.events[n];
  const inputs = e.phase === "forward" ? trace.ops[e.op].inputs.map(i => trace.name(i)) : [];
  const line = e.phase === "update" ? "" : trace.sources[trace.ops[e.op].line]?.text ?? "";
  return [described(trace, n), trace.name(trace.subject(n)), ...inputs, line].join(" ");
}
