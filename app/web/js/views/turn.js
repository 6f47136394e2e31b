// One question and its answer: drafts as drafts while they come, then what held.

import { say } from "../components/announce.js";
import { marker, noteList } from "../components/footnotes.js";
import { Judging } from "../components/judging.js";
import { problemBox } from "../components/problem.js";
import { waterfall } from "../components/waterfall.js";
import { button, freshId, h, show } from "../dom.js";
import { count, milliseconds } from "../format.js";
import { outLink, shownUrl, viewLink } from "../links.js";
const STATES = {
  grounded: ["Grounded", "The model's words; each sentence is supported by a quote."],
  quoted: ["Quoted", "The pages' own words, not the model's."],
  abstained: ["Not answered", "Nothing on the indexed pages speaks to the question."],
};

export class Turn {
  /** `collection`: the one that is asked. */
  constructor(question, collection) {
    this.question = question;
    this.collection = collection;
    this.requestId = null;
    this.passages = [];
    const heading = h("h2", { id: freshId("question"), dir: "auto" }, question);
    this.body = h("div", { class: "answer" });
    this.element = h("article", { class: "turn", "aria-labelledby": heading.id }, heading, this.body);
  }

  /** Read the answer's events to their end; gives the answer, or null if there is none. `again`: to ask anew. */
  async answered(events, again) {
    const progress = h("p", { class: "progress" }, "Looking through the pages…");
    const draft = h("p", { class: "draft", dir: "auto" });
    const drafting = h("div", { class: "drafting", hidden: true },
      h("p", { class: "draft-label" }, "Draft — not checked yet"), draft);
    show(this.body, progress, drafting);
    this.body.setAttribute("aria-busy", "true");
    say("Looking through the pages", { isSeen: false });
    try {
      for await (const { event, data } of events) {
        if (event === "retrieval") {
          this.passages = data.hits;
          progress.textContent = `${count(data.hits.length, "passage")} found; weighing the evidence…`;
        } else if (event === "token") {
          progress.textContent = "Writing…";
          drafting.hidden = false;
          draft.append(data.text);
        } else if (event === "done") {
          this.finished(data, this.passages);
          say(spoken(data), { isSeen: false });
          return data;
        }
      }
      throw new Error("The answer broke off. Ask again.");
    } catch (error) {
      if (error.name === "AbortError") this.stopped(again);
      else show(this.body, problemBox(error, again));
      return null;
    } finally {
      this.body.removeAttribute("aria-busy");
    }
  }

  stopped(again) {
    show(this.body, h("p", { class: "progress" }, "Stopped. Nothing that was written had been checked yet, so nothing is shown. "),
      h("p", {}, button("Ask again", again)));
    say("Stopped", { isSeen: false });
  }

  finished(answer, passages) {
    this.passages = passages ?? [];
    const [word, meaning] = STATES[answer.state] ?? [answer.state, ""];
    const asked = { question: this.question, collection: this.collection, requestId: this.requestId };
    this.judging = new Judging(answer, asked);
    show(this.body,
      h("p", { class: `state state-${answer.state in STATES ? answer.state : "other"}` },
        h("strong", {}, word), h("span", { class: "meaning" }, meaning), sureness(answer)),
      answer.rewritten_question && h("p", { class: "remark" }, "Understood as: ", h("bdi", {}, answer.rewritten_question)),
      this.statements(answer),
      answer.notes.map((note) => h("p", { class: "remark" }, note)),
      answer.nearest.length > 0 && nearest(answer.nearest),
      answer.citations.length > 0 && noteList(answer.citations, { hasQuotes: answer.state === "quoted" }),
      this.actions(answer),
      this.judging.element);
    return this;
  }

  statements(answer) {
    const cited = new Map(answer.citations.map((citation) => [citation.number, citation]));
    const marked = ({ text, citations }) => [
      h("bdi", {}, text),
      citations.filter((number) => cited.has(number)).map((number) =>
        marker(cited.get(number), this.passages, () => this.judging.askMore(number))),
    ];
    if (!answer.statements.length) return h("p", { class: "says", dir: "auto" }, answer.answer);
    if (answer.state === "quoted") {
      return answer.statements.map((statement) => h("p", { class: "says quotation", dir: "auto" }, marked(statement)));
    }
    return h("p", { class: "says", dir: "auto" },
      answer.statements.map((statement, at) => [at ? " " : null, marked(statement)]));
  }

  actions(answer) {
    const total = answer.timings_ms.total;
    return h("div", { class: "turn-foot" },
      answer.state !== "abstained" && button("Copy with footnotes", () => copy(asText(this.question, answer)), { class: "quiet" }),
      viewLink("inspect", { q: answer.rewritten_question ?? this.question, collection: this.collection }, {}, "Why these results?"),
      h("details", {},
        h("summary", {}, total === undefined ? "Time" : `Took ${milliseconds(total)}`),
        waterfall(answer.timings_ms),
        answer.model && h("p", { class: "hint" }, "Model: ", h("bdi", {}, answer.model))));
  }
}

/** How sure the service is that the pages answer, which decided between answering and not. */
function sureness({ confidence }) {
  if (!Number.isFinite(confidence)) return null;
  return h("span", { class: "sureness", title: "How likely it is that the pages answer the question" }, `Confidence ${Math.round(confidence * 100)}%.`);
}

function nearest(pages) {
  const name = freshId("nearest");
  return h("section", { class: "nearest", "aria-labelledby": name },
    h("h3", { id: name }, "The nearest pages"),
    h("ul", {}, pages.map((page) => h("li", {},
      viewLink(`pages/${page.page_id}`, {}, {}, h("bdi", {}, page.title || shownUrl(page.url))), " ",
      outLink(page.url, { class: "out", label: `Open the original: ${page.title}` },
        h("bdi", { dir: "ltr" }, shownUrl(page.url)), h("span", { "aria-hidden": "true" }, " ↗"))))));
}

function spoken({ state, citations }) {
  if (state === "abstained") return "Not answered: the indexed pages don't say";
  return `Answer ready: ${STATES[state]?.[0].toLowerCase() ?? state}, ${count(citations.length, "footnote")}`;
}

/** The answer as plain text, its footnotes below it. */
function asText(question, answer) {
  const notes = answer.citations.map((c) => `[${c.number}] ${c.title} — ${c.url}\n    “${c.quote}”`);
  return [question, answer.answer, notes.join("\n")].filter(Boolean).join("\n\n");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied, with its footnotes");
  } catch {
    say("The browser doesn't let this page copy. Mark the text and copy it yourself.");
  }
}
