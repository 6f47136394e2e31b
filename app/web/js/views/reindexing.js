// Whether the index is being made anew with another embedder, and how far that is.

import { api } from "../api.js";
import { h, show } from "../dom.js";
import { number } from "../format.js";

const POLL_MS = 2000;
const STEPS = { cut: "cutting the stored text", fill: "embedding", check: "comparing with the database", switch: "changing over", clear: "clearing up" };

/** A note that follows a reindex; empty while there is none, and for those who may not know. */
export function reindexing(signal) {
  const note = h("div", { class: "reindexing" });
  let wasRunning = false;
  const look = async () => {
    let status;
    try {
      status = await api.reindex(signal);
    } catch {
      return; // it takes the scope admin; what else is wrong, the rest of the view says
    }
    if (status.state === "running") {
      show(note, h("p", {}, `The index is being made anew: ${STEPS[status.step] ?? "beginning"}. Questions are answered from the old one until it is done.`),
        h("progress", { max: String(status.total || 1), value: String(status.done), "aria-label": "Chunks in the new index" }),
        h("p", { class: "hint" }, `${number.format(status.done)} of ${number.format(status.total)} chunks`));
      wasRunning = true;
      const timer = setTimeout(look, POLL_MS);
      signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    } else if (status.state === "failed") {
      show(note, h("p", { class: "remark" }, `Making the index anew failed: ${status.error ?? "the log says why"} The old one is in use.`));
    } else {
      show(note, wasRunning && h("p", { class: "remark" }, "The new index is in use."));
    }
  };
  look();
  return note;
}
