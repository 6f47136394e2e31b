// One source: what it is, when it is run, and what can be done with it.

import { api } from "../api.js";
import { say } from "../components/announce.js";
import { confirmed } from "../components/dialog.js";
import { isFinal, JobCard, scopeOf } from "../components/job_card.js";
import { problemBox } from "../components/problem.js";
import { linesOf, selectorField } from "../components/selectors.js";
import { button, field, freshId, h, select, show } from "../dom.js";
import { count, every, relative, words } from "../format.js";
import { safeUrl, viewLink } from "../links.js";

const SCHEDULES = [["", "not repeated"], ["43200", "every 12 hours"], ["86400", "every day"], ["604800", "every week"]];

/** `onChanged`: read the list again. `onStarted`: told a new job's id. `onRevived`: told a job that was put back to work. */
export function sourceItem(source, { onChanged, onStarted, onRevived }) {
  const title = h("h3", { id: freshId("source") }, scopeOf(source));
  const trouble = h("div", {});
  const described = { "aria-describedby": title.id };
  const attempt = (work) => async () => {
    show(trouble);
    try {
      await work();
    } catch (error) {
      show(trouble, problemBox(error));
    }
  };
  const run = attempt(async () => onStarted((await api.runSource(source.id)).job_id));
  const remove = attempt(async () => {
    const answer = await confirmed({
      title: "Delete this source?",
      text: "It is forgotten, with its schedule. This can't be undone.",
      yes: "Delete",
      option: `Also delete its pages (${source.pages}), unless another source leads to them`,
    });
    if (!answer) return;
    const { pages_deleted: deleted } = await api.deleteSource(source.id, answer.option);
    say(`Source deleted${answer.option ? `, with ${count(deleted, "page")}` : ""}.`);
    onChanged();
  });
  const schedule = scheduleSelect(source, (seconds) => attempt(async () => {
    await api.scheduleSource(source.id, seconds);
    say(seconds ? `To be run ${every(seconds)}.` : "No longer repeated.");
    onChanged();
  })(), title.id);
  return h("li", { class: "source", "aria-labelledby": title.id },
    title,
    h("p", { class: "tally" }, factsOf(source)),
    trouble,
    h("div", { class: "actions" },
      viewLink("pages", { collection: source.collection, prefix: prefixOf(source) }, described, "Pages"),
      button("Run again", run, described),
      schedule,
      button("Delete…", remove, { ...described, class: "quiet" })),
    selectorsOf(source, onChanged),
    source.last_job && isFinal(source.last_job) && lastRun(source.last_job.id, onRevived));
}

/** Which parts of its pages are content, where the rules don't see it by themselves. */
function selectorsOf(source, onChanged) {
  const keep = selectorField("main, article.content", source.spec.keep ?? []);
  const drop = selectorField(".promo", source.spec.drop ?? []);
  const trouble = h("div", {});
  const save = async () => {
    show(trouble);
    try {
      await api.selectContent(source.id, { keep: linesOf(keep), drop: linesOf(drop) });
      say("Its next run reads its pages so.");
      onChanged();
    } catch (error) {
      show(trouble, problemBox(error));
    }
  };
  const said = [...(source.spec.keep ?? []), ...(source.spec.drop ?? [])].length;
  return h("details", { class: "selectors" },
    h("summary", {}, said ? `Content selectors (${said})` : "Content selectors"),
    h("form", { on: { submit: (event) => { event.preventDefault(); save(); } } },
      h("div", { class: "grid" },
        field("Keep only", keep, "CSS selectors of what is content, one a line; empty: as found by itself."),
        field("Leave out", drop, "CSS selectors, one a line.")),
      h("div", { class: "actions" }, h("button", { type: "submit" }, "Save")),
      trouble));
}

/** What all addresses of a source begin with, where that can be said: a crawl stays in the folder of its one start page. */
function prefixOf({ mode, spec }) {
  const url = spec.urls.length === 1 ? safeUrl(spec.urls[0]) : null;
  if (url === null || mode === "sitemap") return "";
  return mode === "crawl" ? new URL(".", url).href : url;
}

function factsOf({ collection, pages, last_job: last, next_at: next, every_s: seconds }) {
  return [
    count(pages, "page"),
    collection !== "default" && `in ${collection}`,
    last && (isFinal(last) ? `last run ${words(last.state)} ${relative(last.finished_at)}` : `${words(last.state)} now`),
    seconds && `${every(seconds)}, next ${relative(next)}`,
  ].filter(Boolean).join(" · ");
}

function scheduleSelect(source, onChange, describedBy) {
  const chosen = source.every_s ? String(source.every_s) : "";
  const options = SCHEDULES.some(([value]) => value === chosen) ? SCHEDULES : [...SCHEDULES, [chosen, every(source.every_s)]];
  const choice = select(options, chosen, {
    "aria-label": "Repeat", "aria-describedby": describedBy,
    on: { change: () => onChange(choice.value ? Number(choice.value) : null) },
  });
  return choice;
}

function lastRun(jobId, onRevived) {
  const place = h("div", {});
  const details = h("details", { on: { toggle: () => details.open && !place.hasChildNodes() && load() } },
    h("summary", {}, "Last run"), place);
  const load = async () => {
    try {
      const card = new JobCard(await api.job(jobId));
      card.onRevived = () => {
        show(place, h("p", { class: "hint" }, "At work again: see above."));
        onRevived(card.job);
      };
      show(place, card.element);
    } catch (error) {
      show(place, problemBox(error, load));
    }
  };
  return details;
}
