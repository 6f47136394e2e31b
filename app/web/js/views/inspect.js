// Why these results: the chunks that a search finds, where each stage put them, and where the time went.

import { api } from "../api.js";
import { collectionSelect } from "../components/collections.js";
import { problemBox } from "../components/problem.js";
import { rankChart, STAGES } from "../components/rank_chart.js";
import { waterfall } from "../components/waterfall.js";
import { field, h, select, show } from "../dom.js";
import { clipped, count, plain } from "../format.js";
import { outLink, shownUrl, viewAddress, viewLink } from "../links.js";
import { chooseCollection, chosenCollection } from "../store.js";

const MODES = [["hybrid", "vectors and words"], ["dense", "vectors alone"], ["lexical", "words alone"]];
const LIMITS = [["5", "5"], ["10", "10"], ["25", "25"]];
const SHOWN_CHARS = 300;

export function inspectView() {
  return { title: "Inspect", open: ({ parameters }, signal) => inspect(parameters, signal) };
}

function inspect(parameters, signal) {
  if (parameters.get("collection")) chooseCollection(parameters.get("collection"));
  const query = h("input", { type: "search", required: true, maxlength: "4000", value: parameters.get("q") ?? "", autocomplete: "off" });
  const mode = select(MODES, parameters.get("mode") ?? "hybrid");
  const limit = select(LIMITS, "10");
  const rerank = h("input", { type: "checkbox", checked: true });
  const results = h("div", { class: "results" });

  async function search() {
    show(results, h("p", { class: "progress" }, "Searching…"));
    const body = {
      query: query.value.trim(), collection: chosenCollection(), mode: mode.value, limit: Number(limit.value), rerank: rerank.checked, explain: true,
    };
    try {
      show(results, explained(await api.search(body, signal)));
    } catch (error) {
      if (error.name !== "AbortError") show(results, problemBox(error, search));
    }
  }

  const submitted = (event) => {
    event.preventDefault();
    history.replaceState(null, "", viewAddress("inspect", { q: query.value.trim() }));
    search();
  };
  if (query.value.trim()) search(); // a search changes nothing, so a link may make one
  return h("section", { class: "inspect" },
    h("h1", { tabindex: "-1" }, "Why these results?"),
    h("form", { class: "inspecting", on: { submit: submitted } },
      field("Question or words", query),
      field("Search by", mode),
      field("Results", limit),
      h("label", { class: "check" }, rerank, "Rerank"),
      collectionSelect({ signal }),
      h("button", { type: "submit", class: "primary" }, "Search")),
    results);
}

function explained({ hits, timings_ms: timings, reranked }) {
  if (!hits.length) return h("p", {}, "Nothing was found. ", viewLink("sources", {}, {}, "Is anything indexed?"));
  return [
    h("h2", {}, "Where the time went"), waterfall(timings),
    h("h2", {}, "How the stages ranked them"),
    h("p", { class: "hint" }, reranked
      ? "Each line is one of the results, from its place by vectors and by words to its final one."
      : "The reranker had no part in this search."),
    rankChart(hits),
    h("h2", {}, count(hits.length, "result")),
    h("ol", { class: "hits" }, hits.map(hitItem)),
  ];
}

function hitItem(hit) {
  const headings = hit.heading_path.filter((heading) => heading !== hit.title);
  return h("li", {},
    h("p", { class: "hit-title" },
      viewLink(`pages/${hit.page_id}`, { cite: `${hit.start}-${hit.end}`, hash: hit.content_hash }, {}, h("bdi", {}, hit.title || shownUrl(hit.url))),
      headings.map((heading) => [" › ", h("bdi", {}, heading)])),
    h("p", { class: "hit-text", dir: "auto" }, clipped(plain(hit.text), SHOWN_CHARS)),
    h("p", { class: "hint" }, outLink(hit.url, { class: "out" }, h("bdi", { dir: "ltr" }, shownUrl(hit.url)))),
    h("dl", { class: "stages" },
      STAGES.filter(({ name }) => hit.stages?.[name]).map(({ name, label }) => h("div", {},
        h("dt", {}, label),
        h("dd", {}, h("strong", {}, `#${hit.stages[name].rank}`), ` ${hit.stages[name].score.toFixed(3)}`))),
      h("div", {}, h("dt", {}, "Final score"), h("dd", {}, hit.score.toFixed(3)))));
}
