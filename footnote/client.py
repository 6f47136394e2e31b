"""A small synchronous client of the HTTP API.

It raises the exceptions that the service raised (``corpus.errors``), rebuilt from the RFC 9457 problem document that came
over the wire, and Unavailable where the service can't be reached. Bodies are given as the JSON says; their fields are
documented at ``/docs`` of every service.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from corpus.errors import (
    Conflict,
    FootnoteError,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    RateLimited,
    StorageFull,
    Unauthorized,
    Unavailable,
)

Body = dict[str, Any]

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 300.0  # an answer may wait in a queue for the model
MAX_EVENT_BYTES = 16_000_000  # a job of a thousand long URLs repeats them in every event
RECONNECTS = 5
RECONNECT_AFTER_S = 1.0

_RAISED = (InvalidInput, Unauthorized, Forbidden, NotFound, Conflict, RateLimited, Unavailable, Overloaded, StorageFull)
_BY_CODE: dict[str, type[FootnoteError]] = {cls.code: cls for cls in _RAISED}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event with its data decoded."""

    name: str
    data: Body


class Client:
    """Talks to the service at ``base_url``, with ``api_key`` or else the one in FOOTNOTE_API_KEY. Every method raises
    FootnoteError and its kin; ``sleep`` paces reconnections."""

    def __init__(
        self,
        *,
        base_url: str,
        read_timeout_s: float = READ_TIMEOUT_S,
        api_key: str | None = None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._sleep = sleep
        self._http = httpx2.Client(
            base_url=self.base_url,
            headers=authorization(api_key),
            timeout=httpx2.Timeout(read_timeout_s, connect=min(CONNECT_TIMEOUT_S, read_timeout_s)),
            transport=transport,
            trust_env=not is_loopback(base_url),  # a proxy from the environment can't reach this machine's own loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_alive(self) -> bool:
        """Whether a Footnote service, ready or not, answers at all."""
        try:
            return bool(self._json("GET", "/healthz").get("status") == "ok")
        except FootnoteError:
            return False

    def readiness(self) -> Body:
        """``state``, ``stage``, ``degraded`` and, once ready, what is loaded and how much is indexed."""
        with translated(self.base_url):
            response = self._http.get("/readyz")
        return decoded(response, self.base_url) if response.status_code == 503 else self._checked(response)

    def ask(self, question: str, *, collection: str, filters: Body, history: Sequence[str] = ()) -> Iterator[Event]:
        """The events of an answer (retrieval, token …, citations, done); the last is always ``done``."""
        body: Body = {"question": question, "collection": collection, "filters": filters, "stream": True}
        if history:
            body["history"] = list(history)
        for event in self._events("POST", "/v1/ask", body=body):
            yield event
            if event.name == "done":
                return
        raise Unavailable("The connection ended before the answer did. Is the service stopping? Ask again.")

    def search(self, query: str, **fields: Any) -> Body:
        return self._json("POST", "/v1/search", body={"query": query} | fields)

    def ingest(self, urls: Sequence[str], *, dry_run: bool = False, **fields: Any) -> str:
        """Put work, or a dry run of it, on the queue; gives the job's id. Fields that are None are left to the service's
        defaults."""
        body = {"urls": list(urls)} | {name: value for name, value in fields.items() if value is not None}
        return str(self._json("POST", "/v1/ingest/preview" if dry_run else "/v1/ingest", body=body)["job_id"])

    def explain(self, url: str, *, keep: Sequence[str], drop: Sequence[str]) -> Body:
        """How one page is read: its text, and what is left out of it."""
        return self._json("POST", "/v1/ingest/explain", body={"url": url, "keep": list(keep), "drop": list(drop)})

    def jobs(self, *, limit: int) -> list[Body]:
        return list(self._json("GET", "/v1/jobs", params={"limit": limit})["jobs"])

    def job(self, job_id: str) -> Body:
        return self._json("GET", f"/v1/jobs/{segment(job_id)}")

    def job_urls(self, job_id: str, *, state: str | None = None) -> Iterator[Body]:
        """Every URL of the job, or every one that is in ``state``, in the order in which they were found."""
        after: int | None = 0
        wanted = {"state": state} if state else {}
        while after is not None:
            part = self._json("GET", f"/v1/jobs/{segment(job_id)}/urls", params={**wanted, "after": after, "limit": 1000})
            yield from part["urls"]
            after = part["next"]

    def watch_job(self, job_id: str) -> Iterator[Body]:
        """The job now and after each change; the last one is final. A connection that breaks is made again, as the
        first event of a new one tells all that was missed."""
        breaks = 0
        while True:
            try:
                for event in self._events("GET", f"/v1/jobs/{segment(job_id)}/events"):
                    breaks = 0
                    yield event.data
                    if event.name == "done":
                        return
            except Unavailable:
                if breaks >= RECONNECTS:
                    raise
            breaks += 1
            if breaks > RECONNECTS:
                raise Unavailable(f"The service ends each connection before job {job_id} has ended.")
            self._sleep(RECONNECT_AFTER_S)

    def cancel_job(self, job_id: str) -> Body:
        return self._json("POST", f"/v1/jobs/{segment(job_id)}/cancel")

    def pause_job(self, job_id: str) -> Body:
        return self._json("POST", f"/v1/jobs/{segment(job_id)}/pause")

    def resume_job(self, job_id: str) -> Body:
        return self._json("POST", f"/v1/jobs/{segment(job_id)}/resume")

    def retry_job(self, job_id: str, *, reason: str | None) -> Body:
        return self._json("POST", f"/v1/jobs/{segment(job_id)}/retry", body={"reason": reason})

    def failures(self, *, collection: str | None, reason: str | None, limit: int) -> list[Body]:
        """The first ``limit`` URLs that failed when their source was last run."""
        return self._paged("/v1/failures", "failures", {"collection": collection, "reason": reason}, limit=limit)

    def sources(self, *, collection: str | None, limit: int) -> list[Body]:
        """The newest ``limit`` sources."""
        return self._paged("/v1/sources", "sources", {"collection": collection}, limit=limit)

    def source(self, source: str) -> Body:
        return self._json("GET", f"/v1/sources/{segment(source)}")

    def run_source(self, source: str) -> str:
        """Run a source again; gives the job's id."""
        return str(self._json("POST", f"/v1/sources/{segment(source)}/run")["job_id"])

    def schedule_source(self, source: str, *, every: str | None) -> Body:
        return self._json("PUT", f"/v1/sources/{segment(source)}/schedule", body={"every": every})

    def select_content(self, source: str, *, keep: Sequence[str], drop: Sequence[str]) -> Body:
        return self._json("PUT", f"/v1/sources/{segment(source)}/selectors", body={"keep": list(keep), "drop": list(drop)})

    def delete_source(self, source: str, *, pages: bool) -> int:
        """Forget a source; gives how many pages went with it."""
        return int(self._json("DELETE", f"/v1/sources/{segment(source)}", params={"pages": pages})["pages_deleted"])

    def pages(self, *, collection: str, url_prefix: str | None, limit: int, max_kept: float | None = None) -> list[Body]:
        """The first ``limit`` pages by URL; ``max_kept``: those of whose words at most this share was kept."""
        wanted = {"collection": collection, "url_prefix": url_prefix, "max_kept": max_kept}
        return self._paged("/v1/pages", "pages", wanted, limit=limit)

    def page_at(self, url: str, *, collection: str) -> tuple[Body | None, Body | None]:
        """The page of an address, and where that is another URL of it, that URL with its ``kind``."""
        found = self._json("GET", "/v1/pages", params={"collection": collection, "url": url})
        return (found["pages"][0] if found["pages"] else None), found.get("alias")

    def url_log(self, url: str, *, collection: str, limit: int) -> Body:
        """What each job made of an address: its ``url`` as jobs know it, and the newest ``limit`` of its ``visits``."""
        return self._json("GET", "/v1/urls/log", params={"collection": collection, "url": url, "limit": limit})

    def page(self, page_id: str) -> Body:
        """A page with its text."""
        return self._json("GET", f"/v1/pages/{segment(page_id)}")

    def delete_page(self, page_id: str) -> None:
        with translated(self.base_url):
            response = self._http.delete(f"/v1/pages/{segment(page_id)}")
        if response.is_error:
            raise error_of(response)

    def verify(self, *, repair: bool) -> Body:
        """However long it takes."""
        return self._json("POST", "/v1/verify", body={"repair": repair}, patient=True)

    def create_key(self, *, name: str, scopes: Sequence[str], collections: Sequence[str] | None, expires_at: str | None) -> Body:
        """A new API key; ``key`` in it is shown this once."""
        body = {"name": name, "scopes": list(scopes), "collections": collections, "expires_at": expires_at}
        return self._json("POST", "/v1/keys", body=body)

    def keys(self) -> list[Body]:
        return list(self._json("GET", "/v1/keys")["keys"])

    def revoke_key(self, key_id: str) -> Body:
        return self._json("DELETE", f"/v1/keys/{segment(key_id)}")

    def feedback(self, *, collection: str | None, helpful: bool | None, limit: int) -> list[Body]:
        """The newest ``limit`` judgements of answers."""
        return self._paged("/v1/feedback", "feedback", {"collection": collection, "helpful": helpful}, limit=limit)

    def delete_feedback(self, feedback_id: str) -> None:
        with translated(self.base_url):
            response = self._http.delete(f"/v1/feedback/{segment(feedback_id)}")
        if response.is_error:
            raise error_of(response)

    def plan_reindex(self, wanted: Body) -> Body:
        """However long it takes: the embedder is loaded for it."""
        return self._json("POST", "/v1/reindex/plan", body=wanted, patient=True)

    def start_reindex(self, wanted: Body, *, anyway: bool) -> Body:
        return self._json("POST", "/v1/reindex", body=wanted | {"anyway": anyway}, patient=True)

    def reindex_status(self) -> Body:
        return self._json("GET", "/v1/reindex")

    def abandon_reindex(self) -> None:
        with translated(self.base_url):
            response = self._http.delete("/v1/reindex")
        if response.is_error:
            raise error_of(response)

    def collections(self) -> list[Body]:
        return list(self._json("GET", "/v1/collections")["collections"])

    def _paged(self, path: str, name: str, wanted: Body, *, limit: int) -> list[Body]:
        found: list[Body] = []
        after: object = None
        while len(found) < limit:
            params = {**wanted, "after": after, "limit": min(limit - len(found), 1000)}
            part = self._json("GET", path, params={key: value for key, value in params.items() if value is not None})
            found += part[name]
            after = part["next"]
            if after is None:
                break
        return found

    def _json(
        self, method: str, path: str, *, body: Body | None = None, params: Body | None = None, patient: bool = False
    ) -> Body:
        timeout = httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S) if patient else self._http.timeout
        with translated(self.base_url):
            response = self._http.request(method, path, json=body, params=params, timeout=timeout)
        return self._checked(response)

    def _events(self, method: str, path: str, *, body: Body | None = None) -> Iterator[Event]:
        """Decoded events, as they come. An ``error`` event is raised as what it tells of."""
        with translated(self.base_url), self._http.stream(method, path, json=body) as response:
            if response.is_error:
                response.read()
                raise error_of(response)
            for event in httpx2.EventSource(response, max_event_size=MAX_EVENT_BYTES):
                try:
                    data = json.loads(event.data)
                except ValueError as exc:
                    raise FootnoteError(f"The service at {self.base_url} sent an event that is no JSON.") from exc
                if event.event == "error":
                    raise rebuilt(data, status=int(data.get("status", 500)))
                yield Event(event.event, data)

    def _checked(self, response: httpx2.Response) -> Body:
        if response.is_error:
            raise error_of(response)
        return decoded(response, self.base_url)


@contextmanager
def translated(base_url: str) -> Iterator[None]:
    """What keeps a service from being reached, as Unavailable."""
    try:
        yield
    except httpx2.TimeoutException as exc:
        raise Unavailable(f"The service at {base_url} did not answer in time.") from exc
    except httpx2.TransportError as exc:
        raise Unavailable(f"The service at {base_url} can't be reached ({exc}). Start one with: footnote serve") from exc


def decoded(response: httpx2.Response, base_url: str) -> Body:
    """A response's JSON object. Raises: FootnoteError, if it holds none."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise FootnoteError(f"What answers at {base_url} is no Footnote service: it sent no JSON object.")
    return body


def error_of(response: httpx2.Response) -> FootnoteError:
    """The exception that an error response tells of."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:
        return FootnoteError(
            f"{response.url} answered HTTP {response.status_code}, not as a Footnote service does. Is the URL right?"
        )
    return rebuilt(problem, status=response.status_code)


def rebuilt(problem: Body, *, status: int) -> FootnoteError:
    """The exception that a problem document was made of; an unknown code gives the base class."""
    details = problem.get("details")
    message = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
    message = message.replace("body.", "").replace("Value error, ", "")  # which only the API's own users need
    cls = _BY_CODE.get(str(problem.get("code")), Unavailable if status == 503 else FootnoteError)
    return cls(message, **(details if isinstance(details, dict) else {}))


def authorization(api_key: str | None) -> dict[str, str]:
    """The header that shows a key: the given one, else FOOTNOTE_API_KEY's."""
    key = api_key or os.environ.get("FOOTNOTE_API_KEY", "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidInput("The API key holds characters that none has. Was it copied whole, and nothing else?")
    return {"Authorization": f"Bearer {key}"} if key else {}


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def segment(value: str) -> str:
    """An id as one path segment, whatever was typed: ``..`` and ``/`` must not lead to another resource."""
    return quote(value, safe="").replace(".", "%2E")
