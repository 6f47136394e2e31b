// Where the time went, drawn: one bar for each stage, one below the other.

import { freshId, h, svg } from "../dom.js";
import { milliseconds } from "../format.js";

const WIDTH = 640;
const LABEL = 112;
const VALUE = 84;
const ROW = 26;

const MEANING = {
  embed: "the question becomes a vector",
  dense: "nearest vectors",
  lexical: "words (BM25), from the beginning",
  fusion: "both lists become one",
  lookup: "the database decides what is live",
  rerank: "late interaction reorders the best",
  evidence: "sentence by sentence",
  generation: "writing",
  verification: "does each quote stand, and support what it stands at?",
};
const ORDER = Object.keys(MEANING);

/** Stages with their begin and length, in milliseconds, from the service's lengths: {name, begin, length}. */
export function stagesOf(timings) {
  const names = Object.keys(timings).filter((name) => name !== "total");
  names.sort((one, other) => place(one) - place(other));
  const stages = [];
  let end = 0;
  for (const name of names) {
    // words are looked up while the question becomes a vector and its neighbours are sought; what follows waits for both
    const begin = name === "lexical" ? 0 : end;
    stages.push({ name, begin, length: timings[name] });
    end = Math.max(end, begin + timings[name]);
  }
  return stages;
}

function place(name) {
  const found = ORDER.indexOf(name);
  return found < 0 ? ORDER.length : found;
}

export function waterfall(timings) {
  const stages = stagesOf(timings);
  if (!stages.length) return null;
  const total = Math.max(timings.total ?? 0, ...stages.map(({ begin, length }) => begin + length), 0.001);
  const scale = (WIDTH - LABEL - VALUE) / total;
  const title = svg("title", { id: freshId("waterfall") }, `Time by stage, ${milliseconds(total)} in all`);
  const rows = stages.map(({ name, begin, length }, at) => {
    const y = at * ROW;
    const x = LABEL + begin * scale;
    const width = Math.max(length * scale, 1.5);
    return svg("g", { class: "stage" },
      svg("title", {}, `${name}: ${milliseconds(length)}${MEANING[name] ? ` — ${MEANING[name]}` : ""}`),
      svg("line", { class: "lane", x1: LABEL, x2: WIDTH - VALUE, y1: y + ROW - 3, y2: y + ROW - 3 }),
      svg("text", { x: 0, y: y + 17 }, name),
      svg("rect", { class: "bar", x, y: y + 5, width, height: ROW - 12, rx: 2 }),
      svg("text", { class: "value", x: WIDTH, y: y + 17, "text-anchor": "end" }, milliseconds(length)));
  });
  return h("figure", { class: "waterfall" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${stages.length * ROW + 2}`, role: "img", "aria-labelledby": title.id }, title, rows),
    h("figcaption", {}, stages.map(({ name, length }) => `${name} ${milliseconds(length)}`).join(" · ")));
}
