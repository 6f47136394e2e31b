// Puts the page together: views, theme, sign-in, and what the service says of itself.

import { api, keepKey, onKeyWanted } from "./api.js";
import { askKey } from "./components/dialog.js";
import { startRouter } from "./router.js";
import { chosenTheme, chooseTheme } from "./store.js";
import { askView } from "./views/ask.js";
import { evaluationsView } from "./views/evaluations.js";
import { inspectView } from "./views/inspect.js";
import { pagesView } from "./views/pages.js";
import { sourcesView } from "./views/sources.js";

const THEMES = ["system", "light", "dark"];
const STARTING_POLL_MS = 1500;

const main = document.getElementById("main");

onKeyWanted(async (why) => {
  const key = await askKey(why);
  if (key) keepKey(key);
  return Boolean(key);
});

document.getElementById("skip").addEventListener("click", () => main.focus());

const theme = document.getElementById("theme");
const tellTheme = () => {
  theme.textContent = { system: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosenTheme()];
  theme.setAttribute("aria-label", `Colours: ${chosenTheme()}. Change`);
};
theme.addEventListener("click", () => {
  chooseTheme(THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]);
  tellTheme();
});
tellTheme();

/** What is missing, or that it isn't ready yet, is said above everything. */
async function tellReadiness() {
  const banner = document.getElementById("banner");
  const tell = (text) => { banner.hidden = !text; banner.textContent = text; };
  try {
    const { state, stage, degraded } = await api.readiness();
    if (state === "starting") setTimeout(tellReadiness, STARTING_POLL_MS);
    tell(state === "ready" ? degraded.map((lack) => `Note: ${lack}.`).join(" ") : `Footnote is ${state}: ${stage}…`);
  } catch {
    tell("The service can't be reached.");
  }
}
tellReadiness();

startRouter({
  main,
  nav: document.getElementById("views"),
  views: {
    "": askView(),
    sources: sourcesView(),
    pages: pagesView(),
    inspect: inspectView(),
    evaluations: evaluationsView(),
  },
});
