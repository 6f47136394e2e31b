// What became of each address of a job.

import { api } from "../api.js";
import { button, h, select, show } from "../dom.js";
import { milliseconds, number, words } from "../format.js";
import { outLink, shownUrl, viewLink } from "../links.js";
import { keptShare } from "./kept.js";
import { problemBox } from "./problem.js";

const AT_ONCE = 100;
const LEAST_PAUSE_MS = 1000;
const LITTLE_KEPT = "little kept";
const LITTLE = 0.6; // of the words, where a job says so of itself
export const COLUMNS = ["Address", "Outcome", "Kept", "Status", "Time"];
const FILTERS = [["", "all"], [LITTLE_KEPT, LITTLE_KEPT], ["pending", "pending"], ["indexed", "indexed"], ["unchanged", "unchanged"], ["skipped", "skipped"], ["failed", "failed"]];

/** A closed list that is filled when it is opened, and kept up with the job while it is. */
export function outcomeTable(jobId) {
  const body = h("tbody");
  const more = h("p", {});
  const filter = select(FILTERS, "", { "aria-label": "Show addresses that are", on: { change: () => load() } });
  const summary = h("summary", {}, "Each address");
  const element = h("details", { class: "outcomes", on: { toggle: () => element.open && load() } },
    summary, filter,
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "What became of each address" },
      h("table", {},
        h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
        body)),
    more);
  let loadedAt = 0;
  let timer = 0;

  async function load(after = 0) {
    clearTimeout(timer);
    loadedAt = Date.now();
    try {
      const wanted = filter.value === LITTLE_KEPT ? { max_kept: LITTLE } : { state: filter.value };
      const { urls, next } = await api.jobUrls(jobId, { ...wanted, after, limit: AT_ONCE });
      const rows = urls.map(outcomeRow);
      if (after) body.append(...rows);
      else show(body, rows.length ? rows : h("tr", {}, h("td", { colspan: COLUMNS.length }, "None.")));
      show(more, next && button("More", () => load(next)));
    } catch (error) {
      show(more, problemBox(error, () => load(after)));
    }
  }

  let seen = "";
  return {
    element,
    summary,
    /** The job has moved on: read the list again, but not more than once a second. */
    changed(job) {
      const now = JSON.stringify(job.urls);
      if (now === seen) return;
      seen = now;
      if (!element.open) return;
      clearTimeout(timer);
      timer = setTimeout(load, Math.max(0, loadedAt + LEAST_PAUSE_MS - Date.now()));
    },
  };
}

export function outcomeRow(outcome) {
  return h("tr", { "data-state": outcome.state },
    h("td", {}, outLink(outcome.url, {}, h("bdi", { dir: "ltr" }, shownUrl(outcome.url)))),
    h("td", {},
      outcome.page_id && ["indexed", "unchanged"].includes(outcome.state)
        ? viewLink(`pages/${outcome.page_id}`, {}, {}, outcome.state)
        : words(outcome.reason ?? outcome.state),
      outcome.chunks > 0 && ` (${number.format(outcome.chunks)})`,
      outcome.message && h("span", { class: "hint" }, h("bdi", {}, outcome.message))),
    h("td", {}, keptShare(outcome.coverage)),
    h("td", {}, outcome.http_status ?? "—"),
    h("td", {}, outcome.elapsed_ms === null ? "—" : milliseconds(outcome.elapsed_ms)));
}
