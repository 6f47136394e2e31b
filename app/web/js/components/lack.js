// What a key's scopes don't reach, said as a fact and not as a failure.

import { keepKey } from "../api.js";
import { button, h } from "../dom.js";
import { askKey } from "./dialog.js";

/** Whether the service said that the key lacks a scope. */
export function isLack(error) {
  return error.code === "forbidden";
}

/** `what`: such as "see or change what is indexed". `again`: once there is another key. */
export function lackNote(what, scope, again) {
  return h("div", { class: "lack" },
    h("p", {}, `Your key may not ${what}: that takes one with the scope `, h("strong", {}, scope), "."),
    h("p", {}, button("Use another key", async () => {
      const key = await askKey(`A key with the scope ${scope}.`);
      if (key) { keepKey(key); again(); }
    })));
}
