// How much of a page's visible text was kept, and what was not: as a share, as a list, and side by side.

import { unitOffsets } from "../codepoints.js";
import { h } from "../dom.js";
import { count, number, words } from "../format.js";
import { blocksOf } from "./stored_text.js";

/** Never 100% of what isn't whole, nor 0% of what is something. */
function percent(share) {
  const rounded = Math.round(100 * share);
  if (rounded === 100 && share < 1) return "99%";
  return rounded === 0 && share > 0 ? "1%" : `${rounded}%`;
}

/** The share in few letters, with what was left out behind it; a dash where nothing was read. */
export function keptShare(coverage) {
  if (!coverage) return "—";
  const parts = coverage.left_out ?? [];
  if (!parts.length) return percent(coverage.share);
  return h("details", { class: "kept" }, h("summary", {}, percent(coverage.share), h("span", { class: "unseen" }, " kept; show what was left out")),
    partList(parts));
}

/** The same for a page's own view, in full words. */
export function keptWords(coverage) {
  const parts = coverage.left_out ?? [];
  const sum = `${number.format(coverage.kept_words)} of ${count(coverage.visible_words, "word")} (${percent(coverage.share)})`;
  return parts.length ? h("details", { class: "kept" }, h("summary", {}, sum), partList(parts)) : sum;
}

/** The largest first. */
function partList(parts) {
  const largest = [...parts].sort((one, other) => other.words - one.words);
  return h("ul", { class: "left-out" }, largest.map((part) => h("li", {}, reasonOf(part), h("bdi", { class: "lost" }, part.text))));
}

function reasonOf({ reason, words: n }) {
  return h("span", { class: "reason" }, `${words(reason)}, ${count(n, "word")}`);
}

const SHOWN_CHARACTERS = 200;

/** A long menu is folded: what is kept beside it would be pushed out of sight. */
function lostText(text) {
  const characters = Array.from(text);
  if (characters.length <= 1.5 * SHOWN_CHARACTERS) return h("div", { dir: "auto" }, text);
  const space = characters.lastIndexOf(" ", SHOWN_CHARACTERS);
  const cut = space > SHOWN_CHARACTERS / 2 ? space : SHOWN_CHARACTERS;
  return h("details", { dir: "auto" },
    h("summary", {}, characters.slice(0, cut).join(""), h("span", { class: "more" }, "… ")),
    characters.slice(cut).join("").trimStart());
}

/** How a page is read (POST /v1/ingest/explain): kept and left out beside each other, in the page's order. */
export function sideBySide({ url, title, text, coverage, notes, keep, drop }) {
  const parts = [...(coverage?.left_out ?? [])].sort((one, other) => one.at - other.at);
  const unit = unitOffsets(text);
  const places = [...parts.map(({ at }) => unit(at)), text.length];
  const rows = [[null, text.slice(0, places[0])], ...parts.map((part, at) => [part, text.slice(places[at], places[at + 1])])];
  const selectors = [["Kept alone", keep], ["Left out", drop]].filter(([, given]) => given.length > 0);
  return h("div", { class: "reading" },
    h("p", {}, h("strong", { dir: "auto" }, title || url), h("span", { class: "hint" }, " ", h("bdi", { dir: "ltr" }, url))),
    coverage
      ? h("p", {}, `${number.format(coverage.kept_words)} of ${count(coverage.visible_words, "visible word")} would be kept (${percent(coverage.share)}).`)
      : h("p", {}, "All of it would be kept: this format leaves nothing out."),
    selectors.map(([name, given]) => h("p", { class: "hint" }, `${name} by selector: `, h("code", {}, given.join(", ")))),
    notes.map((note) => h("p", { class: "remark" }, note)),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Kept and left out, side by side" },
      h("table", { class: "sides" },
        h("thead", {}, h("tr", {}, ["Kept", "Left out"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows.filter(([part, kept]) => part || kept.trim()).map(([part, kept]) => h("tr", {},
          h("td", {}, blocksOf(kept).map(({ kind, start, end }) => h("div", { class: `block ${kind}`, dir: "auto" }, kept.slice(start, end)))),
          h("td", { class: "lost" }, part && [reasonOf(part), lostText(part.text)])))))));
}
