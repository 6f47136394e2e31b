// Which collection is asked, listed or filled. Shown only where there is a choice.

import { api } from "../api.js";
import { h, select, show } from "../dom.js";
import { chooseCollection, chosenCollection } from "../store.js";

/** A labelled select that fills itself; `onChange` is told the name. Empty while there is one collection alone. */
export function collectionSelect({ onChange = () => {}, signal } = {}) {
  const holder = h("span", { class: "collection" });
  api.collections(signal).then(({ collections }) => {
    const names = collections.map((collection) => collection.name);
    if (!names.includes(chosenCollection())) {
      chooseCollection("default");
      onChange("default");
    }
    if (names.length < 2) return;
    const options = collections.map(({ name, pages }) => [name, `${name} (${pages})`]);
    const choice = select(options, chosenCollection(), {
      on: { change: () => { chooseCollection(choice.value); onChange(choice.value); } },
    });
    show(holder, h("label", {}, "Collection ", choice));
  }, () => {}); // whoever lists or asks next says what is wrong
  return holder;
}
