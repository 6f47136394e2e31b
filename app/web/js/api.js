// The service's HTTP API, spoken from one place: addresses, the key, and refusals as errors that say what to do.

import { serverEvents } from "./sse.js";

const KEY = "footnote.key";
let askForKey = async () => false;
let asking = null; // several requests may be refused at once: one question answers them all

/** A refusal (RFC 9457), or no answer at all (status 0). `message` is for people. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail, retryAfterS = null }) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** `asks`: called with the service's words when it wants a key; resolves to whether one was given. */
export function onKeyWanted(asks) {
  askForKey = asks;
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key); // for this tab, until it is closed
}

/** An address of the service, relative to where this page lies, so that a proxy may put both below a path. */
function address(path, query = {}) {
  const url = new URL(path, new URL(".", document.baseURI));
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function request(method, path, { query, body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service can't be reached. Is it still running? Then try again." });
  }
  if (response.ok) return response;
  const problem = await refusal(response);
  if (response.status === 401 && (await hasNewKey(key, problem.message))) return request(method, path, { query, body, signal, accept });
  throw problem;
}

/** Whether there is another key than the one that was refused: given meanwhile, or now. */
async function hasNewKey(refused, why) {
  if (sessionStorage.getItem(KEY) !== refused) return true;
  asking ??= askForKey(why).finally(() => { asking = null; });
  return asking;
}

async function refusal(response) {
  const retryAfterS = Number.parseInt(response.headers.get("Retry-After") ?? "", 10) || null;
  try {
    const { code, detail } = await response.json();
    return new Problem({ status: response.status, code: String(code), detail: String(detail), retryAfterS });
  } catch {
    const detail = `The service answered ${response.status}, without saying why.`;
    return new Problem({ status: response.status, code: "unknown", detail, retryAfterS });
  }
}

async function json(method, path, options) {
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** `told`: called with the id by which the service's log knows the request. */
async function* stream(method, path, { told = () => {}, ...options }) {
  const response = await request(method, path, { ...options, accept: "text/event-stream" });
  told(response.headers.get("X-Request-Id"));
  for await (const { event, data } of serverEvents(response)) {
    if (event === "error") throw new Problem(data);
    yield { event, data };
  }
}

export const api = {
  readiness: async (signal) => {
    const key = sessionStorage.getItem(KEY);
    const headers = key ? { Authorization: `Bearer ${key}` } : {}; // strangers are told the state alone
    const response = await fetch(address("readyz"), { signal, headers, cache: "no-store" });
    return response.json(); // 503 while it starts, with the same body
  },
  collections: (signal) => json("GET", "v1/collections", { signal }),
  ask: (body, signal, told) => stream("POST", "v1/ask", { body: { ...body, stream: true }, signal, told }),
  judge: (body) => json("POST", "v1/feedback", { body }),
  search: (body, signal) => json("POST", "v1/search", { body, signal }),
  checkCitations: (citations, signal) => json("POST", "v1/citations/check", { body: { citations }, signal }),
  ingest: (body) => json("POST", "v1/ingest", { body }),
  preview: (body) => json("POST", "v1/ingest/preview", { body }),
  explain: (body, signal) => json("POST", "v1/ingest/explain", { body, signal }),
  jobs: (limit, signal) => json("GET", "v1/jobs", { query: { limit }, signal }),
  job: (id, signal) => json("GET", `v1/jobs/${encodeURIComponent(id)}`, { signal }),
  jobUrls: (id, query, signal) => json("GET", `v1/jobs/${encodeURIComponent(id)}/urls`, { query, signal }),
  watchJob: (id, signal) => stream("GET", `v1/jobs/${encodeURIComponent(id)}/events`, { signal }),
  /** `verb`: pause, resume, cancel or retry. */
  tellJob: (id, verb) => json("POST", `v1/jobs/${encodeURIComponent(id)}/${verb}`, {}),
  sources: (query, signal) => json("GET", "v1/sources", { query, signal }),
  runSource: (id) => json("POST", `v1/sources/${encodeURIComponent(id)}/run`, {}),
  scheduleSource: (id, every) => json("PUT", `v1/sources/${encodeURIComponent(id)}/schedule`, { body: { every } }),
  selectContent: (id, body) => json("PUT", `v1/sources/${encodeURIComponent(id)}/selectors`, { body }),
  deleteSource: (id, pages) => json("DELETE", `v1/sources/${encodeURIComponent(id)}`, { query: { pages } }),
  reindex: (signal) => json("GET", "v1/reindex", { signal }),
  evaluations: (signal) => json("GET", "v1/evaluations", { signal }),
  evaluation: (id, signal) => json("GET", `v1/evaluations/${encodeURIComponent(id)}`, { signal }),
  pages: (query, signal) => json("GET", "v1/pages", { query, signal }),
  page: (id, signal) => json("GET", `v1/pages/${encodeURIComponent(id)}`, { signal }),
  pageLog: (id, signal) => json("GET", `v1/pages/${encodeURIComponent(id)}/log`, { query: { limit: 20 }, signal }),
  deletePage: (id) => json("DELETE", `v1/pages/${encodeURIComponent(id)}`, {}),
};
