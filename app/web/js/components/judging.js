// Was the answer helpful, and which of its footnotes were wrong? Nothing is sent before somebody says so.

import { api } from "../api.js";
import { button, field, freshId, h, show } from "../dom.js";
import { say } from "./announce.js";
import { problemBox } from "./problem.js";

const MAX_COMMENT = 2000;

/** What stands at the foot of an answer. `asked`: {question, collection, requestId}. */
export class Judging {
  constructor(answer, asked) {
    this.answer = answer;
    this.asked = asked;
    this.element = h("div", { class: "judging", role: "group", "aria-label": "Judge this answer" });
    this.offer();
  }

  offer() {
    show(this.element, h("span", {}, "Helpful?"),
      button("Yes", () => this.send({ helpful: true }), { class: "quiet" }),
      button("No", () => this.askMore(), { class: "quiet" }));
  }

  /** `wrong`: the number of a footnote that somebody has pointed at already. */
  askMore(wrong = null) {
    const boxes = this.answer.citations.map(({ number }) => {
      const box = h("input", { type: "checkbox", value: String(number), checked: number === wrong });
      return { number, box, label: h("label", { class: "check" }, box, `Footnote ${number} doesn't support what it stands at`) };
    });
    const comment = h("textarea", { rows: "2", maxlength: String(MAX_COMMENT) });
    const title = h("h3", { id: freshId("judge") }, "What was wrong?");
    const submitted = (event) => {
      event.preventDefault();
      const wrongs = boxes.filter(({ box }) => box.checked).map(({ number }) => number);
      this.send({ helpful: false, wrong: wrongs, comment: comment.value.trim() || null });
    };
    const form = h("form", { class: "judge", "aria-labelledby": title.id, on: { submit: submitted } }, title,
      boxes.map(({ label }) => label),
      field(boxes.length ? "Anything else?" : "What would have helped?", comment, "Your question is kept with what you say here, by this service alone."),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "primary" }, "Send"),
        button("Cancel", () => { this.offer(); this.element.querySelector("button").focus(); }, { class: "quiet" })));
    show(this.element, form);
    (boxes[0]?.box ?? comment).focus();
    form.scrollIntoView({ block: "nearest" });
  }

  async send({ helpful, wrong = [], comment = null }) {
    const { question, collection, requestId } = this.asked;
    const citations = this.answer.citations.map(({ number, page_id, content_hash, start, end }) =>
      ({ number, page_id, content_hash, start, end, wrong: wrong.includes(number) }));
    try {
      await api.judge({ question, collection, state: this.answer.state, helpful, citations, comment, request_id: requestId });
      show(this.element, h("span", { tabindex: "-1" }, "Thank you."));
      this.element.firstChild.focus();
      say("Thank you", { isSeen: false });
    } catch (error) {
      show(this.element, problemBox(error, () => this.send({ helpful, wrong, comment })));
    }
  }
}
