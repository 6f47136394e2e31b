// A line for each result through its ranks, stage by stage. The ranks stand at the results as text, too.

import { freshId, h, svg } from "../dom.js";
import { clipped } from "../format.js";

export const STAGES = [
  { name: "lexical", label: "Words" },
  { name: "dense", label: "Vectors" },
  { name: "fusion", label: "Fused" },
  { name: "rerank", label: "Late interaction" },
];
const WIDTH = 640;
const TOP = 30;
const LEFT = 30;
const RIGHT = 210;
const ROW = 19; // the first ranks stand in rows of a line's height, those behind them ever closer
const ROWS = 12;

export function rankChart(hits) {
  const columns = [...STAGES.filter(({ name }) => hits.some((hit) => hit.stages?.[name])), { name: "final", label: "Final" }];
  const ranksOf = (hit, at) => columns.map(({ name }) => (name === "final" ? at + 1 : hit.stages?.[name]?.rank ?? null));
  const lowest = Math.max(...hits.flatMap((hit, at) => ranksOf(hit, at)));
  const height = TOP + y(lowest) + 18;
  const x = (column) => LEFT + (column * (WIDTH - LEFT - RIGHT)) / Math.max(columns.length - 1, 1);
  const title = svg("title", { id: freshId("ranks") }, "The rank of each result by stage; the same numbers stand at each result below");
  const lines = hits.map((hit, at) => {
    const points = ranksOf(hit, at).map((rank, column) => (rank === null ? null : [x(column), TOP + y(rank)])).filter(Boolean);
    const last = points.at(-1);
    return svg("g", { class: at < 3 ? "rank best" : "rank" },
      svg("title", {}, `${at + 1}. ${hit.title}`),
      svg("polyline", { points: points.map((point) => point.join(",")).join(" ") }),
      points.map(([cx, cy]) => svg("circle", { cx, cy, r: 3.5 })),
      // the labels of the last ranks stand close together: beyond ten they would overlap
      at < 10 && svg("text", { x: last[0] + 10, y: last[1] + 4 }, `${at + 1}  ${clipped(hit.title, 26)}`));
  });
  return h("figure", { class: "ranks", tabindex: "0", "aria-label": "Ranks by stage" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-labelledby": title.id }, title,
      columns.map(({ label }, column) => svg("text", { class: "column", x: x(column), y: 14, "text-anchor": column ? "middle" : "start" }, label)),
      columns.map((_, column) => svg("line", { class: "lane", x1: x(column), x2: x(column), y1: TOP - 8, y2: height - 6 })),
      lines));
}

function y(rank) {
  return (Math.min(rank, ROWS) - 1 + Math.log2(Math.max(rank / ROWS, 1)) * 2) * ROW;
}
