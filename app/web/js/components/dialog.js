// Questions that must be answered first: the browser's own modal dialog, which keeps the focus and gives it back.

import { button, field, freshId, h } from "../dom.js";

/** Show a dialog; resolves to what `read` gives for a yes, and to null for a no or Esc. */
function askIn({ title, body, yes, isDangerous = false, read }) {
  return new Promise((resolve) => {
    const heading = h("h2", { id: freshId("dialog") }, title);
    const dialog = h("dialog", { "aria-labelledby": heading.id });
    const form = h("form", { method: "dialog", on: { submit: (event) => { event.preventDefault(); dialog.close("yes"); } } },
      heading, body,
      h("div", { class: "actions" },
        h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, yes),
        button("Cancel", () => dialog.close("no"))));
    dialog.append(form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? read() : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** `option`: a box to tick. Resolves to null, or to {option: whether it was ticked}. */
export function confirmed({ title, text, yes, option = null }) {
  const box = h("input", { type: "checkbox" });
  const body = [h("p", {}, text), option && h("label", { class: "check" }, box, option)];
  return askIn({ title, body, yes, isDangerous: true, read: () => ({ option: box.checked }) });
}

/** Asks for an API key; `why`: the service's words. Resolves to it, or null. */
export function askKey(why) {
  const input = h("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const body = [
    h("p", {}, why),
    h("p", { class: "hint" }, "The key is kept in this tab alone, until you close it."),
    field("API key", input),
  ];
  return askIn({ title: "Sign in", body, yes: "Sign in", read: () => input.value.trim() || null });
}
