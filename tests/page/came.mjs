// Whence each gradient came at each moment, as the page has it: a document in, a list a node out.
import {readFileSync} from "node:fs";
import {Trace} from "../../minidl/explain/page/js/trace.mjs";

const trace = new Trace(JSON.parse(readFileSync(0, "utf8")));
console.log(JSON.stringify(trace.nodes.map((_, node) => Array.from(
  {length: trace.events.length + 1}, (_, before) => trace.came(node, before)))));
