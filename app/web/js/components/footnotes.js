// Footnotes: the marker in the text, what it opens, and the notes below the rule.

import { slice } from "../codepoints.js";
import { button, freshId, h } from "../dom.js";
import { dateTime, plain } from "../format.js";
import { outLink, shownUrl, viewLink } from "../links.js";
import { attachPopover } from "./popover.js";

const AROUND = 160; // code points shown on each side of a quote

/** The superscript number. `passages`: the chunks that the answer was made from, for the quote's surroundings. `object`: called
    by who finds the footnote wrong. */
export function marker(citation, passages, object) {
  const opener = h("button", { type: "button", class: "marker", "aria-label": `Footnote ${citation.number}: show the quote` },
    String(citation.number));
  attachPopover(opener, () => notePopover(citation, passages, object));
  return h("sup", { class: "footnote" }, opener);
}

/** The list of notes under the answer. `hasQuotes`: the answer is made of the quotes, which needn't be said twice. */
export function noteList(citations, { hasQuotes }) {
  const name = freshId("notes");
  return h("section", { class: "notes", "aria-labelledby": name },
    h("h3", { class: "unseen", id: name }, "Footnotes"),
    h("ol", {}, citations.map((citation) =>
      h("li", { value: citation.number },
        !hasQuotes && [h("q", {}, h("bdi", {}, citation.quote)), " "],
        h("span", { class: "whence" }, place(citation)), " ",
        h("span", { class: "ways" }, ways(citation))))));
}

function notePopover(citation, passages, object) {
  const name = freshId("note");
  const { before, after } = surroundings(citation, passages);
  const note = h("div", { class: "note", role: "dialog", "aria-labelledby": name },
    h("p", { class: "note-place", id: name }, h("span", { class: "number" }, String(citation.number)), place(citation)),
    h("blockquote", { dir: "auto" },
      before && h("span", { class: "context" }, `…${before}`),
      h("mark", {}, citation.quote),
      after && h("span", { class: "context" }, `${after} …`)),
    h("p", { class: "note-foot" },
      h("span", { class: "ways" }, ways(citation)),
      h("span", { class: "fetched" }, `as of ${dateTime(citation.fetched_at)}`)),
    button("This footnote is wrong", () => { note.hidePopover(); object(); }, { class: "quiet objection" }));
  return note;
}

/** The text of the chunk on both sides of the quote; empty where the chunk isn't at hand. */
function surroundings(citation, passages) {
  const passage = passages.find((one) => one.chunk_id === citation.chunk_id);
  if (!passage || citation.start < passage.start || citation.end > passage.end) return { before: "", after: "" };
  const from = citation.start - passage.start;
  const to = citation.end - passage.start;
  return {
    before: plain(slice(passage.text, Math.max(0, from - AROUND), from).replace(/^\S*\s/, "")),
    after: plain(slice(passage.text, to, to + AROUND).replace(/\s\S*$/, "")).trimEnd(),
  };
}

function place(citation) {
  const headings = citation.heading_path.filter((heading) => heading !== citation.title);
  return [citation.title || shownUrl(citation.url), ...headings].flatMap((part, at) => [at ? " › " : null, h("bdi", {}, part)]);
}

function ways(citation) {
  return [
    outLink(citation.url, { class: "out", label: `Open the page at this sentence, footnote ${citation.number}` },
      h("bdi", { dir: "ltr" }, host(citation.url)), h("span", { "aria-hidden": "true" }, " ↗")),
    " · ",
    viewLink(`pages/${citation.page_id}`, pageParameters(citation),
      { "aria-label": `Stored text, footnote ${citation.number}` }, "stored text"),
  ];
}

function pageParameters({ start, end, content_hash: hash }) {
  return { cite: `${start}-${end}`, hash };
}

function host(address) {
  return shownUrl(address).split("/")[0] || "page";
}
