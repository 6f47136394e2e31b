// Numbers, times and words as people read them.

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

export const number = new Intl.NumberFormat();

export function count(n, one, many = `${one}s`) {
  return `${number.format(n)} ${n === 1 ? one : many}`;
}

/** Our times are UTC; not all of them say so. */
export function instant(text) {
  return new Date(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
}

export function dateTime(text) {
  return text ? moment.format(instant(text)) : "—";
}

export function relative(text, now = Date.now()) {
  if (!text) return "never";
  const seconds = (instant(text) - now) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return unit === "second" && Math.abs(seconds) < 10 ? "just now" : ago.format(Math.round(seconds / size), unit);
}

export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

export function every(seconds) {
  for (const [unit, size] of [["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds % size === 0) return seconds === size ? `every ${unit}` : `every ${seconds / size} ${unit}s`;
  }
  return `every ${seconds} seconds`;
}

export function clipped(text, most) {
  const points = [...text];
  return points.length > most ? `${points.slice(0, most - 1).join("")}…` : text;
}

/** Without fences and empty lines, where a text is shown to be recognised and not to be quoted. */
export function plain(text) {
  return text.replace(/^```.*$/gm, "").replace(/\n{2,}/g, "\n");
}

/** snake_case words of the API, for people. */
export function words(name) {
  return String(name).replaceAll("_", " ");
}
