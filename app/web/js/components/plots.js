// The plots of evaluations: quality against cost, and how well confidence means what it says.

import { freshId, h, svg } from "../dom.js";

const WIDTH = 640;
const HEIGHT = 300;
const EDGE = { left: 52, right: 150, top: 14, bottom: 42 };
const TICKS_MS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000];
const LABEL_GAP = 19; // of a line of text on a phone
const SIDE = 300;
const MARGIN = 42;

const between = (low, high, begin, end) => (value) => begin + (high > low ? (value - low) / (high - low) : 0.5) * (end - begin);

/** `points`: {label, ms, mean, low, high, isDefault}. Cost to the right on a logarithmic axis, quality upwards with its interval. */
export function qualityAgainstCost(points, measure) {
  const spent = points.map(({ ms }) => Math.max(ms, 0.05));
  const first = TICKS_MS.findLast((tick) => tick <= Math.min(...spent)) ?? TICKS_MS[0];
  const last = TICKS_MS.find((tick) => tick >= Math.max(...spent)) ?? TICKS_MS.at(-1);
  const x = between(Math.log10(first), Math.log10(last > first ? last : first * 2), EDGE.left + 12, WIDTH - EDGE.right);
  const ticks = roundTicks(Math.min(...points.map(({ low }) => low)), Math.max(...points.map(({ high }) => high)));
  const y = between(ticks[0], ticks.at(-1), HEIGHT - EDGE.bottom, EDGE.top);
  const bottom = HEIGHT - EDGE.bottom;
  const title = svg("title", { id: freshId("cost") }, `${measure} against milliseconds a question; the table holds the same figures`);
  const labels = spread(points.map((point, at) => ({ ...point, x: x(Math.log10(spent[at])), at: y(point.mean) })));
  return h("figure", { class: "plot" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": title.id }, title,
      ticks.map((tick) => [
        svg("line", { class: "lane", x1: EDGE.left, x2: WIDTH - EDGE.right + 12, y1: y(tick), y2: y(tick) }),
        svg("text", { class: "tick", x: EDGE.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2))]),
      TICKS_MS.filter((tick) => tick >= first && tick <= last).map((tick) =>
        svg("text", { class: "tick", x: x(Math.log10(tick)), y: bottom + 18, "text-anchor": "middle" }, String(tick))),
      svg("text", { class: "axis", x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "milliseconds a question, median"),
      labels.map(({ label, x: left, at, place, low, high, mean, isDefault }) => svg("g", { class: isDefault ? "point default" : "point" },
        svg("title", {}, `${label}: ${mean.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`),
        svg("line", { class: "interval", x1: left, x2: left, y1: y(low), y2: y(high) }),
        svg("circle", { cx: left, cy: at, r: isDefault ? 5.5 : 4 }),
        svg("line", { class: "leader", x1: left + 7, x2: WIDTH - EDGE.right + 14, y1: at, y2: place }),
        svg("text", { x: WIDTH - EDGE.right + 18, y: place + 4 }, label)))),
    h("figcaption", {}, `${measure}, upwards with 95% intervals, against the median time of a question. The default is red.`));
}

/** Each label at its point's height, as far as those above leave room. */
function spread(points) {
  let lowest = -Infinity;
  return points.toSorted((one, other) => one.at - other.at).map((point) => {
    const place = Math.max(point.at, lowest + LABEL_GAP);
    lowest = place;
    return { ...point, place };
  });
}

function roundTicks(low, high) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((size) => (high - low) / size <= 6) ?? 0.25;
  const begin = Math.floor(low / step + 1e-9);
  const end = Math.max(begin + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: end - begin + 1 }, (_, at) => (begin + at) * step);
}

/** `bins`: {n, confidence, answerable}. On the diagonal confidence is what it says; dots are as large as their bin. */
export function reliability(bins) {
  const most = Math.max(1, ...bins.map(({ n }) => n));
  return square("How often the pages answered, by confidence", "confidence", "answerable", (x, y) => [
    svg("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    bins.map(({ n, confidence, answerable }) => svg("circle", { class: "bin", cx: x(confidence), cy: y(answerable), r: 3 + 9 * Math.sqrt(n / most) },
      svg("title", {}, `${n} questions: ${percent(confidence)} sure, ${percent(answerable)} answerable`))),
  ]);
}

/** `points`: {coverage, risk}. If only the surest were answered: how many of those the pages don't answer. */
export function riskCoverage(points) {
  const most = Math.max(0.05, ...points.map(({ risk }) => risk));
  return square("Risk against coverage", "share answered, the surest first", "wrongly answered", (x, y) => [
    svg("polyline", { class: "risk", points: points.map(({ coverage, risk }) => `${x(coverage)},${y(risk / most)}`).join(" ") }),
  ], (share) => percent(share * most));
}

function square(name, below, beside, draw, tickText = percent) {
  const x = between(0, 1, MARGIN, SIDE - 10);
  const y = between(0, 1, SIDE - MARGIN, 10);
  const title = svg("title", { id: freshId("plot") }, name);
  return h("figure", { class: "plot square" },
    svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-labelledby": title.id }, title,
      [0, 0.5, 1].map((tick) => [
        svg("line", { class: "lane", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
        svg("text", { class: "tick", x: MARGIN - 6, y: y(tick) + 4, "text-anchor": "end" }, tickText(tick)),
        svg("text", { class: "tick", x: x(tick), y: SIDE - MARGIN + 16, "text-anchor": "middle" }, percent(tick))]),
      draw(x, y),
      svg("text", { class: "axis", x: x(0.5), y: SIDE - 8, "text-anchor": "middle" }, below)),
    h("figcaption", {}, `${name}: ${beside} upwards, ${below} to the right.`));
}

export function percent(share) {
  return `${Math.round(share * 100)}%`;
}
