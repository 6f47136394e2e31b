// The form that puts pages on the queue: first a dry run that shows what would be fetched, then the job.

import { api } from "../api.js";
import { sideBySide } from "../components/kept.js";
import { COLUMNS, outcomeRow } from "../components/outcomes.js";
import { problemBox } from "../components/problem.js";
import { linesOf, selectorField } from "../components/selectors.js";
import { button, field, h, select, show } from "../dom.js";
import { count, words } from "../format.js";
import { chooseCollection, chosenCollection } from "../store.js";

const MODES = [
  ["page", "These pages", "The addresses as they are, and nothing else."],
  ["crawl", "A whole site", "These pages and all that they link to below them."],
  ["sitemap", "A sitemap", "The pages that a sitemap lists."],
];
const SCHEDULES = [["", "only now"], ["12h", "every 12 hours"], ["1d", "every day"], ["1w", "every week"]];
const WANTED = new Set(["would_fetch", "would_check"]);

/** `onStarted`: told the id of the job. */
export function addPages({ signal, onStarted }) {
  const urls = h("textarea", { rows: "2", required: true, spellcheck: "false", autocapitalize: "off", placeholder: "https://docs.example.com/guide/" });
  const modes = MODES.map(([value, label, hint], at) => {
    const radio = h("input", { type: "radio", name: "mode", value, checked: at === 0 });
    return { radio, element: h("label", { class: "mode" }, radio, h("span", {}, h("strong", {}, label), h("span", { class: "hint" }, hint))) };
  });
  const limit = h("input", { type: "number", min: "1", max: "1000000", inputmode: "numeric", placeholder: "1000" });
  const include = h("input", { type: "text", spellcheck: "false", placeholder: "*/guide/*" });
  const exclude = h("input", { type: "text", spellcheck: "false", placeholder: "*/print/*" });
  const collection = h("input", { type: "text", value: chosenCollection(), pattern: "[a-z0-9][a-z0-9_\\-]{0,62}", spellcheck: "false", required: true });
  const every = select(SCHEDULES, "");
  const told = h("div", { class: "told", "aria-live": "polite" });
  const preview = h("button", { type: "submit", class: "primary" }, "Preview");
  const keep = selectorField("main, article.content");
  const drop = selectorField(".promo");
  const explain = button("What would be kept?", () => { if (form.reportValidity()) read(); });
  const direct = button("Start without a preview", () => { if (form.reportValidity()) start(); }, { class: "quiet" });

  const form = h("form", { class: "adding", on: { submit: (event) => { event.preventDefault(); look(); }, input: () => show(told) } },
    field("Addresses, one a line", urls),
    h("fieldset", { class: "modes" }, h("legend", {}, "What they stand for"), modes.map((mode) => mode.element)),
    h("details", { class: "more" }, h("summary", {}, "Bounds, collection and schedule"),
      h("div", { class: "grid" },
        field("Pages at most", limit),
        field("Repeat", every),
        field("Only addresses like", include, "Globs, separated by spaces; * matches slashes too."),
        field("No addresses like", exclude),
        field("Collection", collection, "Made if there is none of this name yet."),
        field("Keep only", keep, "CSS selectors of what is content, one a line; empty: as found by itself."),
        field("Leave out", drop, "CSS selectors, one a line."))),
    h("div", { class: "actions" }, preview, explain, direct),
    told);

  const body = () => ({
    urls: urls.value.split(/\s+/).filter(Boolean),
    mode: modes.find((mode) => mode.radio.checked).radio.value,
    collection: collection.value.trim(),
    include: include.value.split(/\s+/).filter(Boolean),
    exclude: exclude.value.split(/\s+/).filter(Boolean),
    max_pages: limit.value ? Number(limit.value) : null,
    keep: keep.value.trim() ? linesOf(keep) : null,
    drop: drop.value.trim() ? linesOf(drop) : null,
  });

  async function read() {
    const [url] = body().urls;
    explain.disabled = true;
    show(told, h("p", { class: "progress" }, "Reading the first of these pages…"));
    try {
      show(told, sideBySide(await api.explain({ url, keep: linesOf(keep), drop: linesOf(drop) }, signal)));
    } catch (error) {
      if (error.name !== "AbortError") show(told, problemBox(error));
    } finally {
      explain.disabled = false;
    }
  }

  async function look() {
    preview.disabled = true;
    show(told, h("p", { class: "progress" }, "Looking at robots.txt and the start pages…"));
    try {
      const { job_id: id } = await api.preview(await reachable(body()));
      let job = null;
      for await (const { data } of api.watchJob(id, signal)) job = data;
      const { urls: outcomes } = await api.jobUrls(id, { limit: 1000 }, signal);
      show(told, previewed(job, outcomes, start));
    } catch (error) {
      if (error.name !== "AbortError") show(told, problemBox(error));
    } finally {
      preview.disabled = false;
    }
  }

  async function start() {
    direct.disabled = true;
    try {
      const wanted = body();
      const { job_id: id } = await api.ingest({ ...wanted, every: every.value || null });
      chooseCollection(wanted.collection);
      urls.value = "";
      show(told);
      onStarted(id);
    } catch (error) {
      show(told, problemBox(error));
    } finally {
      direct.disabled = false;
    }
  }

  return h("section", { "aria-labelledby": "add" }, h("h2", { id: "add" }, "Add pages"), form);
}

/** A dry run makes no collection: into one that isn't there yet, it is looked at as if for the first one. */
async function reachable(wanted) {
  const { collections } = await api.collections();
  return collections.some(({ name }) => name === wanted.collection) ? wanted : { ...wanted, collection: "default" };
}

function previewed(job, outcomes, start) {
  const wanted = outcomes.filter(({ reason }) => WANTED.has(reason));
  const others = outcomes.length - wanted.length;
  const reasons = new Map();
  for (const { reason, state } of outcomes) reasons.set(reason ?? state, (reasons.get(reason ?? state) ?? 0) + 1);
  return h("div", { class: "preview" },
    h("p", {}, h("strong", {}, `${count(wanted.length, "page")} would be asked for`),
      others > 0 && `, ${others} of the addresses seen would not`, "."),
    h("p", { class: "hint" }, [...reasons].map(([reason, n]) => `${words(reason)}: ${n}`).join(" · ")),
    job.error && h("p", { class: "remark" }, job.error),
    job.notes.map((note) => h("p", { class: "remark" }, note)),
    outcomes.length > 0 && h("details", { class: "outcomes" }, h("summary", {}, "Each address"),
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "What would become of each address" },
        h("table", {}, h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, outcomes.map(outcomeRow))))),
    h("div", { class: "actions" }, wanted.length > 0 && button("Start", start, { class: "primary" })));
}
