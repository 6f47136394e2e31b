// Fields for CSS selectors, one a line: the service says what is wrong with one.

import { h } from "../dom.js";

export function selectorField(placeholder, given = []) {
  return h("textarea", { rows: "2", spellcheck: "false", autocapitalize: "off", class: "selector", placeholder }, given.join("\n"));
}

export function linesOf(control) {
  return control.value.split("\n").map((line) => line.trim()).filter(Boolean);
}
