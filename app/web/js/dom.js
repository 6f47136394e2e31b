// Elements from values. Whatever comes from a page, a model or an address goes in as text, never as markup: there is no way
// here to set an attribute that runs, loads or styles, and links are made by links.js alone.

const REFUSED = /^(on|style$|src|href$|xlink|action$|formaction$|srcdoc$)/i;
const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: attributes, and `on` for listeners; null and false leave one out. Children: nodes, texts, lists. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (REFUSED.test(name)) throw new TypeError(`h() sets no ${name}`);
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Put these children in the place of all that an element holds. */
export function show(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

let lastId = 0;

/** An id that no other element of this page has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** A button that does something here and sends nothing. */
export function button(label, onClick, props = {}) {
  return h("button", { type: "button", on: { click: onClick }, ...props }, label);
}

/** A field with its label above it; `hint` stands below and belongs to the field. */
export function field(label, control, hint = null) {
  control.id ||= freshId("field");
  const note = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A select of [value, label] pairs. */
export function select(options, chosen, props = {}) {
  return h("select", props, options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}
