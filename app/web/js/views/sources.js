// What is indexed, and the work on it: adding, watching, repeating, deleting.

import { api } from "../api.js";
import { say } from "../components/announce.js";
import { isFinal, JobCard } from "../components/job_card.js";
import { isLack, lackNote } from "../components/lack.js";
import { problemBox } from "../components/problem.js";
import { h, show } from "../dom.js";
import { dateTime } from "../format.js";
import { viewLink } from "../links.js";
import { addPages } from "./add_pages.js";
import { reindexing } from "./reindexing.js";
import { sourceItem } from "./source_item.js";

const RECENT_JOBS = 30;
const WATCHED_AT_ONCE = 3; // a browser keeps few connections to one host, and others are needed too

export function sourcesView() {
  return { title: "Sources", open: (_, signal) => new SourcesView(signal).element };
}

class SourcesView {
  constructor(signal) {
    this.signal = signal;
    this.cards = new Map(); // of the jobs that are followed, by their id
    this.shown = new Set();
    this.waiting = [];
    this.watched = 0;
    this.atWork = h("section", { "aria-labelledby": "at-work", hidden: true }, h("h2", { id: "at-work" }, "Jobs"));
    this.list = h("div", {}, h("p", { class: "progress" }, "Reading…"));
    this.earlier = h("div", {});
    this.heading = h("h1", { tabindex: "-1" }, "Sources");
    this.element = h("section", { class: "sources" });
    this.arrange();
    this.load();
  }

  arrange() {
    show(this.element, this.heading,
      reindexing(this.signal),
      addPages({ signal: this.signal, onStarted: (jobId) => this.started(jobId) }),
      this.atWork,
      h("section", { "aria-labelledby": "known" }, h("h2", { id: "known" }, "What is indexed"), this.list),
      this.earlier);
  }

  /** The key isn't for this: said once, in the place of everything that it couldn't do. */
  lacking() {
    const again = () => { this.arrange(); this.load(); };
    show(this.element, this.heading, lackNote("see or change what is indexed", "ingest", again),
      h("p", {}, viewLink("pages", {}, {}, "The pages themselves"), " can be read with it."));
  }

  async load() {
    try {
      const [{ sources }, { jobs }] = await Promise.all([api.sources({ limit: 200 }, this.signal), api.jobs(RECENT_JOBS, this.signal)]);
      const changed = () => this.load();
      const open = jobs.filter((job) => !isFinal(job) && !job.spec.dry_run);
      for (const job of open.reverse()) this.follow(job);
      show(this.list, sources.length
        ? h("ul", { class: "source-list" }, sources.map((source) =>
            sourceItem(source, { onChanged: changed, onStarted: (id) => this.started(id), onRevived: (job) => this.follow(job) })))
        : h("p", {}, "Nothing yet. Add a page, a sitemap or a whole site above."));
      this.tellEarlier(jobs.filter((job) => isFinal(job) && !job.spec.dry_run && !this.shown.has(job.id)));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (isLack(error)) this.lacking();
      else show(this.list, problemBox(error, () => this.load()));
    }
  }

  tellEarlier(jobs) {
    show(this.earlier, jobs.length > 0 && h("details", { class: "earlier" },
      h("summary", {}, `Earlier jobs (${jobs.length})`),
      jobs.map((job) => {
        const card = new JobCard(job);
        card.onRevived = () => { card.element.remove(); this.follow(card.job); };
        card.element.querySelector("header").append(h("span", { class: "hint" }, dateTime(job.finished_at)));
        return card.element;
      })));
  }

  async started(jobId) {
    try {
      const card = this.follow(await api.job(jobId, this.signal));
      card.element.scrollIntoView({ block: "nearest" });
      this.load();
    } catch (error) {
      if (error.name !== "AbortError") show(this.list, problemBox(error, () => this.load()));
    }
  }

  /** Show a job that is at work, and follow it as soon as there is a connection for it. */
  follow(job) {
    const known = this.cards.get(job.id);
    if (known) return known;
    const card = new JobCard(job);
    this.cards.set(job.id, card);
    this.shown.add(job.id);
    this.atWork.hidden = false;
    this.atWork.querySelector("h2").after(card.element);
    this.waiting.push(card);
    this.next();
    return card;
  }

  async next() {
    if (this.watched >= WATCHED_AT_ONCE || !this.waiting.length) return;
    const card = this.waiting.shift();
    this.watched += 1;
    try {
      const job = await card.follow(this.signal);
      say(`${card.state.textContent}: ${card.tally.textContent}`);
      this.ended(card, job);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.cards.delete(card.job.id);
      show(card.trouble, problemBox(error, () => { card.element.remove(); this.follow(card.job); }));
    } finally {
      this.watched -= 1;
    }
    this.next();
  }

  /** It stays where it is, to be read; what it changed is read again. */
  ended(card, job) {
    this.cards.delete(job.id);
    card.onRevived = () => { card.element.remove(); this.follow(card.job); };
    this.load();
  }
}
