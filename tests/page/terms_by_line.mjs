// What the page computes, for a test in Python: a question a line in, an answer a line out.
import {createInterface} from "node:readline";
import {gradientTerms, valueTerms} from "../../minidl/page/js/terms.mjs";

const array = a => ({shape: a.shape, data: a.data.map(Number), full: true});
const word = x => Number.isFinite(x) ? x : String(x);

for await (const line of createInterface({input: process.stdin})) {
  const q = JSON.parse(line), call = {map: q.map, operands: q.operands.map(array), out: array(q.out),
    extra: Object.fromEntries(Object.entries(q.extra).map(([name, a]) => [name, array(a)])),
    places: place => place === null ? null : array(q.places[place])};
  const found = "operand" in q ? gradientTerms(call, q.operand, q.index, array(q.gy))
    : valueTerms(call, q.index);
  console.log(JSON.stringify({total: word(found.total), outside: found.outside,
    terms: found.terms.map(t => ({value: word(t.value), factors: t.factors.map(f => (
      {...f, value: word(f.value)}))})),
    steps: found.steps.map(s => ({...s, value: s.value === null ? null : word(s.value)}))}));
}
