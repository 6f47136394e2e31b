// The only module that makes links. Out of here they lead to http and https alone, and tell nobody where they were followed.

import { h } from "./dom.js";

const OUTSIDE = new Set(["http:", "https:"]);

/** The address as a browser writes it, or null where it is none that may be opened. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return OUTSIDE.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link to a page outside; its children alone where the address isn't one that may be opened. */
export function outLink(address, { label = null, ...props } = {}, ...children) {
  const url = safeUrl(address);
  if (url === null) return h("span", props, children);
  const link = h("a", { ...props, target: "_blank", rel: "noopener noreferrer external", "aria-label": label }, children);
  link.href = url;
  return link;
}

/** A link to a view of this page: `viewLink("pages/" + id, {cite: "3-9"}, {}, "text")`. */
export function viewLink(path, parameters, props, ...children) {
  const link = h("a", props, children);
  link.href = viewAddress(path, parameters);
  return link;
}

export function viewAddress(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  const tail = query.toString();
  return `#/${path.split("/").map(encodeURIComponent).join("/")}${tail ? `?${tail}` : ""}`;
}

/** An address for people: without scheme and text fragment, its host in the form that can't pretend to be another. */
export function shownUrl(address) {
  const url = safeUrl(address);
  if (url === null) return String(address);
  return url.replace(/^https?:\/\//, "").replace(/#:~:.*$/, "").replace(/\/$/, "");
}
