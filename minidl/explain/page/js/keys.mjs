// What each key does. The same actions stand as buttons on the page.

export const HELP = [
  ["\u2190 \u2192", "event before, next event"], ["Shift+\u2190 \u2192", "module before, next module"],
  ["Home End", "first, last event"], ["f b u", "to the forward, backward, update band"],
  ["Enter", "follow the factor to its maker"], ["Backspace", "back to where you came from"],
  ["arrows in a grid", "choose a cell; Esc leaves the grid"], ["PgUp PgDn", "slice before, next slice"],
  ["[ ]", "along the first axis: batch item, or output channel"], ["/", "find an event by its words, or a number by its name: 0.weight[3,0,1,2]"], ["g", "go to an event by its number"],
  ["c", "next wrong (red) cell"], ["s", "to the source"], ["p", "predict first: hide the number"], ["?", "this help"],
];

/** Do what a key says; true if it says anything here. */
export function pressed(app, event) {
  const {key, target} = event, {place} = app, inGrid = Boolean(target.closest?.("[role=grid]"));
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (target.matches?.("input, textarea, select")) {
    if (key === "Escape") target.blur();
    return false;
  }
  if (app.dialogOpen()) return false;
  if (key === "Escape" && inGrid) {
    target.blur();
    return true;
  }
  const arrow = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, -1], ArrowDown: [1, 1]}[key];
  if (inGrid && arrow && !event.shiftKey) {
    app.move(...arrow);
    return true;
  }
  const shape = place.trace.shape(place.event);
  const actions = {
    ArrowLeft: () => event.shiftKey ? app.act(() => place.module(-1)) : app.act(() => place.step(-1)),
    ArrowRight: () => event.shiftKey ? app.act(() => place.module(1)) : app.act(() => place.step(1)),
    Home: () => app.act(() => place.goto(0)), End: () => app.act(() => place.goto(place.trace.events.length - 1)),
    f: () => app.band("forward"), b: () => app.band("backward"), u: () => app.band("update"),
    Backspace: () => app.back(), PageUp: () => app.move(2, -1), PageDown: () => app.move(2, 1),
    "[": () => app.move(shape.length - 1, -1), "]": () => app.move(shape.length - 1, 1),
    "/": () => app.ask("find"), g: () => app.ask("goto"), c: () => app.red(), s: () => app.toSource(),
    p: () => app.togglePredict(), "?": () => app.help(),
    Enter: () => app.followFirst(),
  };
  if (key === "Enter" && target.matches?.("button, a, summary")) return false;      // its own doing
  if (!(key in actions)) return false;
  actions[key]();
  return true;
}
