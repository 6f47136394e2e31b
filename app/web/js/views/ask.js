// Questions and their answers, one below the other. The view is made once: an answer goes on being written while another view
// is looked at.

import { api } from "../api.js";
import { collectionSelect } from "../components/collections.js";
import { button, field, h, show } from "../dom.js";
import { count } from "../format.js";
import { viewLink } from "../links.js";
import { chosenCollection, loadThread, saveThread } from "../store.js";
import { Turn } from "./turn.js";

const MAX_HISTORY = 20; // questions that a follow-up may lean on; the service takes no more

export function askView() {
  let view = null;
  return {
    title: "Ask",
    open(route) {
      view ??= new Ask();
      view.opened(route);
      return view.element;
    },
  };
}

class Ask {
  constructor() {
    this.turns = loadThread();
    this.running = null;
    this.thread = h("div", { class: "thread" });
    this.welcome = h("header", { class: "welcome" });
    this.input = h("textarea", {
      rows: "1", maxlength: "4000", required: true, autocomplete: "off", enterkeyhint: "send",
      on: { keydown: (event) => this.keyPressed(event) },
    });
    this.submit = h("button", { type: "submit", class: "primary" }, "Ask");
    this.stop = button("Stop", () => this.running?.abort(), { hidden: true });
    this.clear = button("New conversation", () => this.restart(), { class: "quiet" });
    this.prefix = h("input", { type: "url", placeholder: "https://docs.example.com/guide/", autocomplete: "off" });
    this.element = h("section", { class: "ask" }, this.welcome, this.thread, this.form());
    for (const turn of this.turns) this.thread.append(restored(turn));
    this.arrange();
    this.tellPages();
  }

  form() {
    const question = field("Your question", this.input);
    question.classList.add("question");
    return h("form", { class: "asking", on: { submit: (event) => { event.preventDefault(); this.ask(); } } },
      question,
      h("div", { class: "asking-row" },
        h("details", { class: "scope" },
          h("summary", {}, "Where to look"),
          collectionSelect(),
          field("Only addresses that begin with", this.prefix)),
        this.clear, this.stop, this.submit));
  }

  /** A link to `/?q=…` fills the question in; asking is left to whoever followed it. */
  opened() {
    const linked = new URLSearchParams(location.search).get("q");
    if (linked !== null) {
      this.input.value = linked.slice(0, 4000);
      history.replaceState(null, "", location.pathname + location.hash);
    }
    requestAnimationFrame(() => { if (matchMedia("(pointer: fine)").matches) this.input.focus({ preventScroll: true }); });
  }

  keyPressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.element.querySelector("form").requestSubmit();
  }

  async tellPages() {
    const heading = h("h1", { tabindex: "-1" }, "Ask your pages");
    show(this.welcome, heading);
    try {
      const { collections } = await api.collections();
      const pages = collections.reduce((sum, collection) => sum + collection.pages, 0);
      show(this.welcome, heading, pages
        ? h("p", {}, `${count(pages, "page")} to answer from. Every footnote is compared, character by character, with the stored page before it is shown.`)
        : h("p", {}, "Nothing is indexed yet. ", viewLink("sources", {}, {}, "Add a page, a sitemap or a site"), " first."));
    } catch {
      // the banner says what is wrong
    }
  }

  async ask() {
    const question = this.input.value.trim();
    if (!question || this.running) return;
    this.input.value = "";
    const turn = new Turn(question, chosenCollection());
    this.thread.append(turn.element);
    this.running = new AbortController();
    this.arrange();
    if (turn.element.previousSibling) turn.element.scrollIntoView({ block: "start" });
    const prefix = this.prefix.value.trim();
    const history = this.turns.slice(-MAX_HISTORY).map((earlier) => earlier.question);
    const body = { question, history, collection: turn.collection, filters: prefix ? { url_prefix: prefix } : {} };
    const answer = await turn.answered(api.ask(body, this.running.signal, (id) => { turn.requestId = id; }), () => this.again(turn));
    this.running = null;
    if (answer) {
      this.turns.push({ question, answer, passages: turn.passages, collection: turn.collection, requestId: turn.requestId });
      saveThread(this.turns);
    }
    this.arrange();
    this.input.focus({ preventScroll: true });
  }

  /** Put a question that got no answer back, and ask it anew. */
  again(turn) {
    if (this.running) return;
    turn.element.remove();
    this.input.value = turn.question;
    this.ask();
  }

  restart() {
    this.running?.abort();
    this.turns = [];
    saveThread(this.turns);
    show(this.thread);
    this.arrange();
    this.input.focus();
  }

  arrange() {
    const isEmpty = !this.thread.hasChildNodes();
    this.element.classList.toggle("is-empty", isEmpty);
    this.input.placeholder = isEmpty ? "" : "Ask another question";
    this.stop.hidden = !this.running;
    this.submit.hidden = Boolean(this.running);
    this.clear.hidden = isEmpty || Boolean(this.running);
  }
}

/** A turn of the conversation as it was before the page was loaded anew. */
function restored({ question, answer, passages, collection, requestId }) {
  const turn = new Turn(question, collection ?? "default");
  turn.requestId = requestId ?? null;
  return turn.finished(answer, passages).element;
}
