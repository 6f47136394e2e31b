// How good search and answers were found to be: the reports of `footnote eval … --publish`.

import { api } from "../api.js";
import { isLack, lackNote } from "../components/lack.js";
import { percent, qualityAgainstCost, reliability, riskCoverage } from "../components/plots.js";
import { problemBox } from "../components/problem.js";
import { h, show } from "../dom.js";
import { clipped, count, dateTime, milliseconds } from "../format.js";
import { viewLink } from "../links.js";

const MAIN = "ndcg@10";
const MEASURES = [["ndcg@10", "nDCG@10"], ["mrr@10", "MRR@10"], ["recall@10", "Recall@10"], ["recall@100", "Recall@100"]];
const WORST_SHOWN = 12;
const CASES_SHOWN = 20;
const STATES = [["grounded", "grounded"], ["quoted", "quoted"], ["abstained", "not answered"]];

export function evaluationsView() {
  return { title: "Evaluations", open: ({ path }, signal) => (path[1] ? report(path[1], signal) : list(signal)) };
}

function list(signal) {
  const found = h("div", {}, h("p", { class: "progress" }, "Reading…"));
  const load = async () => {
    try {
      const { evaluations } = await api.evaluations(signal);
      show(found, evaluations.length ? table(evaluations) : h("p", {}, "None yet. Measure your own pages with ",
        h("code", {}, "footnote eval retrieval --questions FILE.csv --publish"), ", and the figures stand here."));
    } catch (error) {
      if (error.name !== "AbortError") show(found, refused(error, load));
    }
  };
  load();
  return h("section", { class: "evaluations" }, h("h1", { tabindex: "-1" }, "Evaluations"), found);
}

function table(evaluations) {
  return scrolling("Evaluations, the newest first", ["Made", "Of", "Sets", "Questions"], evaluations.map((one) => [
    viewLink(`evaluations/${one.id}`, {}, {}, one.made_at ? dateTime(one.made_at) : one.id),
    one.kind,
    h("bdi", {}, clipped(one.sets.join(", "), 120)),
    String(one.questions),
  ]));
}

function report(id, signal) {
  const element = h("section", { class: "evaluations" }, h("h1", { tabindex: "-1" }, "Evaluation"), h("p", { class: "progress" }, "Reading…"));
  const load = async () => {
    try {
      const body = await api.evaluation(id, signal);
      const [title, section] = body.evaluation === "answers" ? ["Whether answers hold", answerSet] : ["How well search finds", retrievalSet];
      show(element,
        h("p", { class: "whence" }, viewLink("evaluations", {}, {}, "All evaluations")),
        h("h1", { tabindex: "-1" }, title),
        h("p", { class: "hint" }, `Made ${body.made_at ? dateTime(body.made_at) : "at an unknown time"} by Footnote ${body.footnote ?? "?"}`,
          body.machine?.processor ? `, on ${body.machine.processor} (${count(body.machine.cores ?? 0, "core")})` : "", "."),
        body.sets.map((one) => section(one, body)),
        body.command && h("details", {}, h("summary", {}, "How to measure this again"), h("pre", {}, h("code", {}, String(body.command)))));
      document.title = `${title} — Footnote`;
    } catch (error) {
      if (error.name === "AbortError") return;
      show(element, h("h1", { tabindex: "-1" }, "Evaluation"), error instanceof TypeError
        ? h("p", { class: "remark" }, "This report was made by another release, and can't be drawn. Its figures are at /v1/evaluations.")
        : refused(error, error.status === 404 ? null : load));
    }
  };
  load();
  return element;
}

function refused(error, again) {
  return isLack(error) ? lackNote("see evaluations", "admin", again) : problemBox(error, again);
}

function retrievalSet(one, body) {
  const points = one.configurations.map(({ name, measures, ms }) => ({ label: name, ms: ms.p50, ...measures[MAIN], isDefault: name === body.default }));
  const rows = one.configurations.map(({ name, title, measures, ms }) => [
    name === body.default ? h("strong", {}, name) : name, h("span", { class: "hint" }, title),
    ...MEASURES.map(([key]) => (measures[key] ? withInterval(measures[key], (value) => value.toFixed(3)) : "—")),
    milliseconds(ms.p50), milliseconds(ms.p95),
  ]);
  return h("section", {},
    h("h2", {}, h("bdi", {}, one.name)),
    h("p", { class: "hint" }, [count(one.queries, "question"), one.documents && count(one.documents, "document"),
      one.index?.chunks && count(one.index.chunks, "chunk")].filter(Boolean).join(", ") + "."),
    qualityAgainstCost(points, "nDCG@10"),
    scrolling(`Figures of ${one.name}, with 95% intervals`, ["Configuration", "What it is", ...MEASURES.map(([, name]) => name), "Median", "95%"], rows),
    worst(one, body.default));
}

/** The questions that the default configuration does worst on: what to look into. */
function worst(one, name) {
  const judged = (one.by_query ?? []).map((query) => ({ query, score: query.found?.[name]?.measures?.[MAIN] })).filter(({ score }) => score !== undefined);
  const low = judged.filter(({ score }) => score < 1).toSorted((a, b) => a.score - b.score).slice(0, WORST_SHOWN);
  if (!low.length) return null;
  return h("details", {}, h("summary", {}, `Where ${name} does worst`),
    h("ol", { class: "cases" }, low.map(({ query, score }) => h("li", {},
      h("p", { class: "case-question", dir: "auto" }, query.text),
      h("p", { class: "hint" }, `nDCG@10 ${score.toFixed(2)} · `,
        viewLink("inspect", { q: query.text }, {}, "Search for it"), " · wanted: ",
        h("bdi", {}, clipped(Object.keys(query.relevant ?? {}).map((id) => one.texts?.[id]?.title || id).join("; "), 200)))))));
}

function answerSet(one) {
  const { refusal } = one;
  const rows = [
    ["Right to refuse", "of what was refused, how much the pages don't answer", withInterval(refusal.precision, percent)],
    ["Refused what it should", "of what the pages don't answer, how much was refused", withInterval(refusal.recall, percent)],
    ["Refused, though answerable", "", `${refusal.wrongly_refused} of ${one.answerable}`],
    ["Answered, though it can't be", "", `${refusal.wrongly_answered} of ${one.questions - one.answerable}`],
    one.gold_sentence_cited && ["Cites the gold sentence", "", withInterval(one.gold_sentence_cited, percent)],
    one.answer_said && ["Says an expected answer", "", withInterval(one.answer_said, percent)],
    ["Citations that don't resolve", "must be none", `${one.citations_unresolved} of ${one.citations}`],
    ["Calibration error", "0 where confidence means what it says", one.calibration.ece.toFixed(3)],
    ["Median time", "", one.ms?.total ? milliseconds(one.ms.total.p50) : "—"],
  ].filter(Boolean).map(([name, meaning, figure]) => [name, h("span", { class: "hint" }, meaning), figure]);
  return h("section", {},
    h("h2", {}, h("bdi", {}, one.name)),
    h("p", { class: "hint" }, `${count(one.questions, "question")}, ${one.answerable} of them answerable: `,
      STATES.map(([state, word]) => `${one.states[state] ?? 0} ${word}`).join(", "), "."),
    h("div", { class: "plots" }, reliability(one.calibration.bins), riskCoverage(one.risk_coverage)),
    scrolling(`Figures of ${one.name}`, ["Figure", "Meaning", "Value"], rows),
    wrongCases(one.cases ?? []));
}

function wrongCases(cases) {
  const wrong = cases.filter((one) => one.right === false).toSorted((a, b) => b.confidence - a.confidence).slice(0, CASES_SHOWN);
  if (!wrong.length) return null;
  return h("details", {}, h("summary", {}, "What went wrong, the surest first"),
    h("ol", { class: "cases" }, wrong.map((one) => h("li", {},
      h("p", { class: "case-question", dir: "auto" }, one.question),
      h("p", { class: "hint" }, `${one.answerable ? "answerable" : "unanswerable"}, ${one.state}, ${percent(one.confidence)} sure`),
      h("p", { class: "case-answer", dir: "auto" }, clipped(one.answer, 400)),
      one.wanted?.length > 0 && h("p", { class: "hint" }, "Wanted: ", h("bdi", {}, clipped(one.wanted.join(" / "), 300)))))));
}

function withInterval({ mean, low, high }, written) {
  return [written(mean), " ", h("small", {}, `${written(low)}–${written(high)}`)];
}

function scrolling(caption, heads, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, first), others.map((cell) => h("td", {}, cell)))))));
}
