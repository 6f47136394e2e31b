// The list of stored pages, by address.

import { api } from "../api.js";
import { collectionSelect } from "../components/collections.js";
import { problemBox } from "../components/problem.js";
import { button, field, h, show } from "../dom.js";
import { count, relative } from "../format.js";
import { shownUrl, viewAddress, viewLink } from "../links.js";
import { chooseCollection, chosenCollection } from "../store.js";
import { openPage } from "./page.js";

const AT_ONCE = 50;

/** `#/pages` lists them; `#/pages/ID` shows one. */
export function pagesView() {
  return {
    title: "Pages",
    open: ({ path, parameters }, signal) => (path[1] ? openPage(path[1], parameters, signal) : listPages(parameters, signal)),
  };
}

function listPages(parameters, signal) {
  if (parameters.get("collection")) chooseCollection(parameters.get("collection"));
  const prefix = h("input", { type: "text", inputmode: "url", spellcheck: "false", value: parameters.get("prefix") ?? "", placeholder: "https://docs.example.com/", autocomplete: "off" });
  const list = h("ul", { class: "page-list" });
  const more = h("div", { class: "told" });
  let asked = 0;

  async function load(after = null) {
    const mine = (asked += 1);
    if (!after) show(list);
    show(more, h("p", { class: "progress" }, "Reading…"));
    try {
      const query = { collection: chosenCollection(), url_prefix: prefix.value.trim(), after, limit: AT_ONCE };
      const [{ pages, next }, exact] = await Promise.all([api.pages(query, signal), after ? null : pageAt(query, signal)]);
      if (mine !== asked) return; // asked anew meanwhile
      if (exact?.alias) list.append(h("li", { class: "hint" }, h("bdi", { dir: "ltr" }, shownUrl(exact.alias.url)), " is another URL of:"));
      const first = (exact?.pages ?? []).filter((page) => pages.every((other) => other.id !== page.id));
      list.append(...[...first, ...pages].map(pageItem));
      show(more, !list.hasChildNodes() && h("p", {}, "No page is stored under this address."), next && button("More", () => load(next)));
    } catch (error) {
      if (error.name !== "AbortError") show(more, problemBox(error, () => load(after)));
    }
  }

  const find = (event) => {
    event.preventDefault();
    history.replaceState(null, "", viewAddress("pages", { prefix: prefix.value.trim() }));
    load();
  };
  load();
  return h("section", { class: "pages" },
    h("h1", { tabindex: "-1" }, "Pages"),
    h("form", { class: "finding", on: { submit: find } },
      field("Address, or what addresses begin with", prefix), h("button", { type: "submit" }, "Show"), collectionSelect({ signal, onChange: () => load() })),
    list, more);
}

/** The page that a whole address leads to: a citation's, one spelled otherwise, or another URL of the page. */
function pageAt({ collection, url_prefix }, signal) {
  return url_prefix ? api.pages({ collection, url: url_prefix }, signal) : null;
}

function pageItem(page) {
  return h("li", {},
    viewLink(`pages/${page.id}`, {}, {}, h("bdi", {}, page.title || shownUrl(page.url))),
    h("span", { class: "where" }, h("bdi", { dir: "ltr" }, shownUrl(page.url))),
    h("span", { class: "hint" }, `${count(page.chunks, "chunk")} · fetched ${relative(page.fetched_at)}`));
}
