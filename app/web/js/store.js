// What is remembered: the conversation for this tab, the theme and the collection for this browser. Nothing leaves it.

const THREAD = "footnote.thread";
const MAX_TURNS = 30;

function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {
    // A full or forbidden store only forgets.
  }
}

/** The turns of this tab's conversation: {question, answer, passages}. */
export function loadThread() {
  const turns = read(sessionStorage, THREAD);
  return Array.isArray(turns) ? turns.filter((turn) => turn?.question && turn?.answer) : [];
}

export function saveThread(turns) {
  write(sessionStorage, THREAD, turns.length ? turns.slice(-MAX_TURNS) : null);
}

/** Every citation that this tab was given for a page, the newest answer's first. */
export function citationsOf(pageId) {
  const turns = loadThread().reverse();
  return turns.flatMap((turn) => (turn.answer.citations ?? []).filter((citation) => citation.page_id === pageId));
}

export function chosenCollection() {
  return read(localStorage, "footnote.collection") ?? "default";
}

export function chooseCollection(name) {
  write(localStorage, "footnote.collection", name);
}

/** The theme is kept as bare text: theme.js reads it before anything else is there. */
export function chosenTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

export function chooseTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("footnote.theme");
    else localStorage.setItem("footnote.theme", theme);
  } catch {
    // as above
  }
}
