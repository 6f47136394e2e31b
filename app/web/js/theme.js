// A classic script in the head: the chosen theme is there before anything is painted.
"use strict";
(() => {
  try {
    const chosen = localStorage.getItem("footnote.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // A browser that keeps nothing for us shows the system's theme.
  }
})();
