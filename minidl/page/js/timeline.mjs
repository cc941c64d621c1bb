// All events in a row: bands of forward, backward and update, a lane for each turn, modules together.

import {h} from "./dom.mjs";
import {described} from "./words.mjs";

/** The timeline; `show(n)` marks the event n. */
export function timeline(app) {
  const {trace} = app, buttons = [];
  const turnOf = n => trace.turns.find(t => t.begin <= n && n < t.end)?.name ?? "";
  const lanes = [];
  trace.events.forEach((e, n) => {
    const module = e.phase === "update" ? "" : trace.ops[e.op].module, turn = turnOf(n);
    let lane = lanes.at(-1);
    if (!lane || lane.turn !== turn) lanes.push(lane = {turn, bands: []});
    let band = lane.bands.at(-1);
    if (!band || band.phase !== e.phase) lane.bands.push(band = {phase: e.phase, groups: []});
    let group = band.groups.at(-1);
    if (!group || group.module !== module) band.groups.push(group = {module, events: []});
    group.events.push(n);
  });
  const button = n => buttons[n] = h("button", {
    class: `event${trace.trivial(n) ? " trivial" : ""}${trace.failed(n) ? " wrong" : ""}`,
    "data-event": n + 1, tabindex: "-1", title: `event ${n + 1}: ${described(trace, n)}`,
    "aria-label": `event ${n + 1}: ${described(trace, n)}${trace.failed(n) ? ", WRONG" : ""}`,
    onclick: () => app.goto(n)}, trace.failed(n) ? "!" : "");
  const element = h("nav", {"data-panel": "timeline", "aria-label": "timeline of events", class: "timeline"}, lanes.map(lane => h(
    "div", {class: "lane", "data-turn": lane.turn || null}, lane.turn ? h("span", {class: "turn", text: `${lane.turn}'s turn`}) : "",
    h("div", {class: "bands"}, lane.bands.map(band => h("div", {class: `band ${band.phase}`},
      h("span", {class: "bandname", text: `${band.phase} (${band.groups.reduce((s, g) => s + g.events.length, 0)})`}),
      h("div", {class: "groups"}, band.groups.map(g => h("div", {class: "group", title: g.module || null},
        h("div", {class: "events"}, g.events.map(button)), h("span", {class: "module", text: g.module}))))))))));
  let now = null;
  return {element, show(n) {
    if (now) { now.removeAttribute("aria-current"); now.tabIndex = -1; }
    now = buttons[n];
    if (!now) return;
    now.setAttribute("aria-current", "step");
    now.tabIndex = 0;
    const box = element.getBoundingClientRect(), own = now.getBoundingClientRect();
    if (own.left < box.left + 40 || own.right > box.right - 40) element.scrollLeft += own.left - box.left - box.width / 2;
  }};
}
