// What went wrong, and what to do.

import { button, h } from "../dom.js";
import { words } from "../format.js";

/** A refusal, shown where the answer would have stood. `again`: offered as "Try again". */
export function problemBox(error, again = null) {
  const wait = error.retryAfterS ? ` Try again in ${error.retryAfterS} s.` : "";
  return h("div", { class: "problem", role: "alert" },
    h("p", {}, h("strong", {}, `${title(error)}: `), `${error.message}${wait}`),
    again && h("p", {}, button("Try again", again)));
}

function title(error) {
  if (!error.code) return "Error";
  const name = words(error.code);
  return name[0].toUpperCase() + name.slice(1);
}
