// Elements of the page, and numbers as text.

/** An element: its attributes (an "on..." is a listener, `text` its text), and its children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== false));
  return element;
}

/** A number as it is shown: six digits, a real minus sign. */
export function digits(value, precision = 6) {
  if (value === null || value === undefined) return "None";
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "\u2212inf";
  if (value === 0) return "0";
  let text = value.toPrecision(precision);
  if (text.includes(".") && !text.includes("e")) text = text.replace(/\.?0+$/, "");
  if (text.includes("e")) text = text.replace(/\.?0+e/, "e").replace("e+", "e");
  else if (Math.abs(value) < 1e-4) text = value.toExponential(precision - 1).replace(/\.?0+e/, "e");
  return text.replaceAll("-", "\u2212");
}

/** ``[0,3,5,5]``; of a single number nothing. */
export const indexed = index => index.length ? `[${index.join(",")}]` : "";

/** ``(2, 3, 28, 28)``. */
export const shapeText = shape => shape.length ? `(${shape.join(", ")})` : "a single number";

/** A panel with a heading, that can be found by tests and tools. */
export function panel(name, title, ...children) {
  return h("section", {"data-panel": name, "aria-labelledby": `${name}-title`, class: "panel"},
           h("h2", {id: `${name}-title`, text: title}), ...children);
}
