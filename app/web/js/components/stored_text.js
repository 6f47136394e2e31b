// A page's stored text as it stands, set so that it can be read: headings large, code in its own face, chunks numbered in the
// margin like verses, and what was cited marked. Nothing is left out or put in; Markdown's signs stay.

import { unitOffsets } from "../codepoints.js";
import { h } from "../dom.js";

/** `chunks` and `cites` are spans of code points: {start, end, ordinal} and {start, end, label}. */
export function storedText(text, chunks, cites) {
  const at = unitOffsets(text);
  const cuts = [
    ...chunks.map(({ start, ordinal }) => ({ at: at(start), kind: "chunk", ordinal })),
    ...cites.flatMap((cite) => [{ at: at(cite.start), kind: "open", cite }, { at: at(cite.end), kind: "close", cite }]),
  ].sort((one, other) => one.at - other.at || rank(one) - rank(other));
  const open = new Set();
  let next = 0;
  return blocksOf(text).map(({ kind, level, start, end }) => {
    const parts = [];
    let from = start;
    const flush = (to) => {
      if (to <= from) return;
      parts.push(piece(text.slice(from, to), open));
      from = to;
    };
    for (; next < cuts.length && cuts[next].at < end; next += 1) {
      const cut = cuts[next];
      flush(cut.at);
      if (cut.kind === "chunk") parts.push(verse(cut.ordinal));
      if (cut.kind === "open") open.add(cut.cite);
      if (cut.kind === "close") open.delete(cut.cite);
    }
    flush(end);
    return h("div", { class: `block ${kind}`, dir: "auto", ...(kind === "heading" ? { role: "heading", "aria-level": level + 1 } : {}) }, parts);
  });
}

function rank({ kind }) {
  return { close: 0, chunk: 1, open: 2 }[kind];
}

function piece(text, cites) {
  if (!cites.size) return text;
  return h("mark", { title: [...cites].map(({ label }) => label).join(", ") }, text);
}

function verse(ordinal) {
  return h("span", { class: "verse", "data-chunk": ordinal + 1, title: `Chunk ${ordinal + 1} begins`, "aria-hidden": "true" });
}

/** The text's blocks by what their lines begin with: {kind, level, start, end}; blank lines stand between them. */
export function blocksOf(text) {
  const blocks = [];
  let isCode = false;
  let current = null;
  let start = 0;
  for (const line of text.split("\n")) {
    const end = start + line.length;
    const isFence = /^\s*```/.test(line);
    const kind = isCode || isFence ? "code" : kindOf(line);
    if (kind === null) current = null;
    else if (current && current.kind === kind && kind !== "heading" && kind !== "item") current.end = end;
    else blocks.push((current = { kind, level: /^#*/.exec(line)[0].length, start, end }));
    if (isFence) {
      isCode = !isCode;
      if (!isCode) current = null;
    }
    start = end + 1;
  }
  return blocks;
}

function kindOf(line) {
  if (!line.trim()) return null;
  if (/^#{1,6} /.test(line)) return "heading";
  if (/^\s*([-*+]|\d+[.)]) /.test(line)) return "item";
  if (/^\s*\|/.test(line)) return "table";
  return /^>/.test(line) ? "quote" : "paragraph";
}
