// A job as it goes: how far it is, what became of each address, and what can be done about it.

import { api } from "../api.js";
import { button, freshId, h, show } from "../dom.js";
import { count, number, words } from "../format.js";
import { shownUrl } from "../links.js";
import { say } from "./announce.js";
import { outcomeTable } from "./outcomes.js";
import { problemBox } from "./problem.js";

const STATES = {
  queued: "Waiting", running: "At work", paused: "Paused", succeeded: "Done", failed: "Failed", cancelled: "Cancelled",
};
const VERBS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Retry failures" };
const ASKS_AGAIN_AFTER_MS = 1000;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const MODES = { page: "Page", sitemap: "Sitemap", crawl: "Crawl" };

export const isFinal = (job) => FINAL.has(job.state);

/** What a job or source is over, in a line: "Crawl of docs.example.com/guide and 2 more". */
export function scopeOf({ mode, spec }) {
  const [first, ...others] = spec.urls;
  const more = others.length ? ` and ${number.format(others.length)} more` : "";
  return [`${MODES[mode] ?? words(mode)} `, h("bdi", { dir: "ltr" }, shownUrl(first ?? "")), more];
}

export class JobCard {
  constructor(job) {
    const title = h("h3", { id: freshId("job") }, scopeOf(job));
    this.state = h("span", { class: "job-state" });
    this.bar = h("progress", { "aria-labelledby": title.id });
    this.tally = h("p", { class: "tally" });
    this.actions = h("div", { class: "actions" });
    this.remarks = h("div", { class: "remarks" });
    this.trouble = h("div", {});
    this.outcomes = outcomeTable(job.id);
    this.element = h("article", { class: "job", "aria-labelledby": title.id },
      h("header", {}, title, this.state), this.bar, this.tally, this.remarks, this.trouble, this.actions, this.outcomes.element);
    this.update(job);
  }

  update(job) {
    const before = this.job;
    this.job = job;
    const { pending, failed } = job.urls;
    this.state.textContent = stateWord(job);
    this.element.dataset.state = job.state;
    this.bar.max = Math.max(job.found, 1);
    this.bar.value = job.found - pending;
    if (job.state === "queued") this.bar.removeAttribute("value");
    this.bar.hidden = isFinal(job);
    this.tally.textContent = tallyOf(job);
    show(this.remarks,
      job.waits_for && h("p", { class: "remark" }, "An earlier job of the same source must end first."),
      job.error && h("p", { class: "remark" }, job.error),
      job.notes.map((note) => h("p", { class: "remark" }, note)));
    const verbs = verbsFor(job);
    if (!before || String(verbs) !== String(verbsFor(before)) || failed !== before.urls.failed) this.offer(verbs, failed);
    this.outcomes.changed(job);
  }

  /** Follow the job until it has ended; gives its last status. A stream that ends before, as a service's stop ends all, is
   *  asked for again. */
  async follow(signal) {
    for (;;) {
      for await (const { data } of api.watchJob(this.job.id, signal)) this.update(data);
      if (isFinal(this.job)) return this.job;
      await new Promise((resolve) => { setTimeout(resolve, ASKS_AGAIN_AFTER_MS); });
    }
  }

  offer(verbs, failed) {
    const hadFocus = this.actions.contains(document.activeElement);
    show(this.actions, verbs.map((verb) =>
      button(verb === "retry" ? `${VERBS.retry} (${number.format(failed)})` : VERBS[verb], () => this.tell(verb),
        { "aria-describedby": this.element.getAttribute("aria-labelledby") })));
    if (hadFocus) (this.actions.querySelector("button") ?? this.outcomes.summary).focus();
  }

  async tell(verb) {
    show(this.trouble);
    try {
      this.update(await api.tellJob(this.job.id, verb));
      say(`${stateWord(this.job)}.`);
      if (verb === "retry" || verb === "resume") this.onRevived?.();
    } catch (error) {
      show(this.trouble, problemBox(error));
    }
  }
}

function stateWord(job) {
  if (!isFinal(job) && job.cancel_requested) return "Being cancelled";
  if (job.state === "running" && job.pause_requested) return "About to pause";
  return STATES[job.state] ?? words(job.state);
}

function tallyOf(job) {
  const { urls } = job;
  const done = job.found - urls.pending;
  const parts = [isFinal(job) ? count(job.found, "address", "addresses") : `${number.format(done)} of ${count(job.found, "address", "addresses")}`];
  for (const state of ["indexed", "unchanged", "skipped", "failed"]) {
    if (urls[state]) parts.push(`${number.format(urls[state])} ${state}`);
  }
  if (job.removed) parts.push(`${number.format(job.removed)} removed`);
  if (job.poorly_kept) parts.push(`${number.format(job.poorly_kept)} with little kept`);
  if (job.chunks) parts.push(count(job.chunks, "chunk"));
  if (job.worked_s >= 1) parts.push(`${number.format(Math.round(job.worked_s))} s`);
  return parts.join(" · ");
}

function verbsFor(job) {
  if (isFinal(job)) return job.urls.failed && !job.spec.dry_run ? ["retry"] : [];
  if (job.cancel_requested) return [];
  return job.state === "paused" || job.pause_requested ? ["resume", "cancel"] : ["pause", "cancel"];
}
