// One place where the page says what happened: read out by screen readers, and seen for a while by everybody.

const SHOWN_MS = 6000;
let timer = 0;

/** `isSeen`: false for what the eye sees elsewhere already. */
export function say(text, { isSeen = true } = {}) {
  const place = document.getElementById("said");
  clearTimeout(timer);
  place.textContent = text;
  place.classList.toggle("unseen", !isSeen);
  timer = setTimeout(() => { place.textContent = ""; }, SHOWN_MS);
}
