// Which view is shown: the address' fragment, `#/pages/ID?cite=3-9`. The service needs to know of none of them.

import { h, show } from "./dom.js";

/** The fragment taken apart: {path: ["pages", "ID"], parameters}. */
export function readRoute(fragment) {
  const [path, query = ""] = fragment.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decode), parameters: new URLSearchParams(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * Show the view that the address names, now and after every change.
 * `views`: name → {title, open(route, signal) → element}; "" is the first one. A view's signal ends when it is left; a view
 * that gives the same element again goes on as it was.
 */
export function startRouter({ main, nav, views }) {
  let leaving = new AbortController();
  const go = (isFirst) => {
    leaving.abort();
    leaving = new AbortController();
    const route = readRoute(location.hash);
    const name = route.path[0] ?? "";
    const view = views[name];
    const title = view ? view.title : "Not found";
    document.title = name === "" ? "Footnote" : `${title} — Footnote`;
    show(main, view ? view.open(route, leaving.signal) : notFound());
    for (const link of nav.querySelectorAll("a")) {
      const isHere = link.getAttribute("href") === `#/${name}`;
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (isFirst) return;
    scrollTo(0, 0);
    const heading = main.querySelector("h1");
    (heading ?? main).focus({ preventScroll: true });
  };
  addEventListener("hashchange", () => go(false));
  go(true);
}

function notFound() {
  return h("section", { class: "measure" }, h("h1", { tabindex: "-1" }, "Not found"), h("p", {}, "There is no such view."));
}
