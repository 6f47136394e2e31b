// One stored page: the text that answers are made from, with its chunks and what was cited of it.

import { api } from "../api.js";
import { say } from "../components/announce.js";
import { confirmed } from "../components/dialog.js";
import { keptShare, keptWords } from "../components/kept.js";
import { problemBox } from "../components/problem.js";
import { storedText } from "../components/stored_text.js";
import { button, h, show } from "../dom.js";
import { count, dateTime, milliseconds, number, words } from "../format.js";
import { outLink, shownUrl } from "../links.js";
import { citationsOf } from "../store.js";

export function openPage(id, parameters, signal) {
  const element = h("article", { class: "page" }, h("h1", { tabindex: "-1" }, "Page"), h("p", { class: "progress" }, "Reading…"));
  const load = async () => {
    try {
      const page = await api.page(id, signal);
      const cited = await citedSpans(page, parameters, signal);
      show(element, head(page), cited.note && h("p", { class: "remark" }, cited.note),
        h("div", { class: "stored" }, storedText(page.text, page.chunk_spans, cited.spans)), visitsOf(page, signal));
      document.title = `${page.title || shownUrl(page.url)} — Footnote`;
      const marked = element.querySelector("mark");
      if (marked) marked.scrollIntoView({ block: "center" });
    } catch (error) {
      if (error.name !== "AbortError") show(element, h("h1", { tabindex: "-1" }, "Page"), problemBox(error, error.status === 404 ? null : load));
    }
  };
  load();
  return element;
}

/** The span that the address names and those that this tab's answers cited, as far as they still stand. */
async function citedSpans(page, parameters, signal) {
  const past = citationsOf(page.id);
  const spans = parameters.getAll("cite").map(readSpan).filter(Boolean);
  const isSameVersion = (parameters.get("hash") ?? page.content_hash) === page.content_hash;
  const found = isSameVersion ? spans.map((span) => ({ ...span, label: "Cited" })) : [];
  let lost = isSameVersion ? 0 : spans.length;
  if (past.length) {
    const asked = past.slice(0, 100).map(({ page_id, content_hash, start, end, quote }) => ({ page_id, content_hash, start, end, quote }));
    const { citations } = await api.checkCitations(asked, signal);
    for (const [at, { state, start, end }] of citations.entries()) {
      if (start === null) continue;
      if (!found.some((one) => one.start === start && one.end === end)) found.push({ start, end, label: "Cited" });
      if (state === "moved" && spans.some((span) => span.start === past[at].start)) lost -= 1;
    }
  }
  const note = lost > 0 ? "The page has changed since it was cited, and what was cited can't be marked on it any more." : null;
  return { spans: found, note };
}

function readSpan(text) {
  const found = /^(\d{1,10})-(\d{1,10})$/.exec(text);
  return found && Number(found[1]) < Number(found[2]) ? { start: Number(found[1]), end: Number(found[2]) } : null;
}

function head(page) {
  const facts = [
    ["Original", outLink(page.url, {}, h("bdi", { dir: "ltr" }, shownUrl(page.url)), h("span", { "aria-hidden": "true" }, " ↗"))],
    ["As of", dateTime(page.fetched_at)],
    page.published_at && ["Published", dateTime(page.published_at)],
    page.modified_at && ["Modified", dateTime(page.modified_at)],
    page.coverage && ["Kept", keptWords(page.coverage)],
    ["Size", `${count(page.characters, "character")}, ${count(page.chunks, "chunk")}`],
    page.language && ["Language", page.language],
    ["Collection", page.collection],
    ["Version", h("code", { class: "hash", title: "SHA-256 of title and text" }, page.content_hash)],
    page.aliases.length > 0 && ["Also at", page.aliases.map(({ url, kind }) =>
      h("div", {}, outLink(url, {}, h("bdi", { dir: "ltr" }, shownUrl(url))), ` (${words(kind)})`))],
  ].filter(Boolean);
  return h("header", {},
    h("h1", { tabindex: "-1", dir: "auto" }, page.title || shownUrl(page.url)),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    page.notes.map((note) => h("p", { class: "remark" }, note)),
    h("div", { class: "actions" }, button("Delete this page…", () => remove(page), { class: "quiet" })));
}

async function remove(page) {
  const answer = await confirmed({
    title: "Delete this page?",
    text: `“${page.title || shownUrl(page.url)}” leaves every index and every answer at once. A source that leads to it brings it back when it is run again.`,
    yes: "Delete",
  });
  if (!answer) return;
  try {
    await api.deletePage(page.id);
    location.hash = "#/pages";
    say("Page deleted.");
  } catch (error) {
    say(error.message);
  }
}

/** What each job made of its address, read when somebody wants to know. */
function visitsOf(page, signal) {
  const body = h("tbody");
  const trouble = h("div", {});
  const columns = ["When", "Outcome", "Kept", "Status", "Size", "Time"];
  const load = async () => {
    try {
      const { visits } = await api.pageLog(page.id, signal);
      show(body, visits.map((visit) => h("tr", {},
        h("td", {}, dateTime(visit.at)),
        h("td", {}, words(visit.state), visit.reason && ` (${words(visit.reason)})`, visit.message && h("span", { class: "hint" }, visit.message)),
        h("td", {}, keptShare(visit.coverage)),
        h("td", {}, visit.http_status ?? "—"),
        h("td", {}, visit.size_bytes === null ? "—" : `${number.format(visit.size_bytes)} bytes`),
        h("td", {}, visit.elapsed_ms === null ? "—" : milliseconds(visit.elapsed_ms)))));
    } catch (error) {
      if (error.name !== "AbortError") show(trouble, problemBox(error, load));
    }
  };
  const details = h("details", { class: "history", on: { toggle: () => details.open && !body.hasChildNodes() && load() } },
    h("summary", {}, "History: what each job made of this address"),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "History" },
      h("table", {}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))), body)),
    trouble);
  return details;
}
