"""The Python client of the HTTP API, in two forms: :class:`Footnote`, and :class:`AsyncFootnote` with the same methods.

::

    from footnote.api import Footnote

    with Footnote("http://127.0.0.1:8000") as footnote:
        answer = footnote.ask("How do I cancel a task?")
        print(answer["answer"], [citation["url"] for citation in answer["citations"]])

Both raise what the service raised (``corpus.errors``): NotFound, InvalidInput, Unauthorized, RateLimited, …; and Unavailable
where it can't be reached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import httpx2

from corpus.errors import Unavailable
from footnote.api_types import (
    AgedCitation,
    Answer,
    Citation,
    Collection,
    Explanation,
    Hit,
    IngestMode,
    Job,
    JobAccepted,
    Page,
    PageDetail,
    PastCitation,
    SearchMode,
)
from footnote.client import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Body,
    authorization,
    decoded,
    error_of,
    is_loopback,
    segment,
    translated,
)

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_COLLECTION = "default"
ENDED = frozenset({"succeeded", "failed", "cancelled"})
PAGES_AT_ONCE = 1000
POLL_S = 0.5
_PAST = tuple(PastCitation.__annotations__)


class Call(NamedTuple):
    """One request, not sent yet."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None


class Footnote:
    """A service as one object. ``api_key``: by default the one in FOOTNOTE_API_KEY. Close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = READ_TIMEOUT_S,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx2.Client(transport=transport, **_options(self.base_url, api_key, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        question: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        history: Sequence[str] = (),
        url_prefix: str | None = None,
        language: str | None = None,
    ) -> Answer:
        """A checked answer with its citations. ``history``: the conversation's earlier questions, the oldest first."""
        return cast(Answer, self._json(_ask(question, collection, history, url_prefix, language)))

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: SearchMode = "hybrid",
        rerank: bool = True,
        explain: bool = False,
        collection: str = DEFAULT_COLLECTION,
        url_prefix: str | None = None,
        language: str | None = None,
    ) -> list[Hit]:
        """The passages that match, best first."""
        call = _search(query, limit, mode, rerank, explain, collection, url_prefix, language)
        return cast(list[Hit], self._json(call)["hits"])

    def ingest(
        self, urls: Sequence[str], *, mode: IngestMode = "page", collection: str = DEFAULT_COLLECTION, **more: Any
    ) -> JobAccepted:
        """Have pages fetched and indexed, by a job. ``more``: include, exclude, keep, drop, max_pages, max_depth, prune,
        every."""
        return cast(JobAccepted, self._json(_ingest(urls, mode, collection, more)))

    def explain(self, url: str, *, keep: Sequence[str] = (), drop: Sequence[str] = ()) -> Explanation:
        """How one page is read: what is kept of it, and what is left out. It is fetched now; nothing is indexed."""
        return cast(Explanation, self._json(_explain(url, keep, drop)))

    def job(self, job_id: str) -> Job:
        return self._json(Call("GET", f"/v1/jobs/{segment(job_id)}"))

    def wait_for_job(self, job_id: str, *, timeout_s: float = 3600.0, poll_s: float = POLL_S) -> Job:
        """The job once it has ended, however it ended. Raises: Unavailable, if it hasn't within ``timeout_s``."""
        give_up_at = time.monotonic() + timeout_s
        while (job := self.job(job_id))["state"] not in ENDED:
            if time.monotonic() >= give_up_at:
                raise _not_ended(job_id, timeout_s)
            time.sleep(poll_s)
        return job

    def cancel_job(self, job_id: str) -> Job:
        return self._json(Call("POST", f"/v1/jobs/{segment(job_id)}/cancel"))

    def pages(self, *, collection: str = DEFAULT_COLLECTION, url_prefix: str | None = None) -> Iterator[Page]:
        """All pages of a collection, by URL."""
        after: str | None = None
        while True:
            part = self._json(_pages(collection, url_prefix, after))
            yield from part["pages"]
            if (after := part["next"]) is None:
                return

    def page_at(self, url: str, *, collection: str = DEFAULT_COLLECTION) -> Page | None:
        """The page of an address: in any spelling, with any fragment (a citation's, say), or another URL of it."""
        return _only(self._json(_page_at(url, collection)))

    def page(self, page_id: str) -> PageDetail:
        """A page with its text."""
        return cast(PageDetail, self._json(Call("GET", f"/v1/pages/{segment(page_id)}")))

    def delete_page(self, page_id: str) -> None:
        """Once this returns, no search and no answer shows the page."""
        self._send(Call("DELETE", f"/v1/pages/{segment(page_id)}"))

    def collections(self) -> list[Collection]:
        return cast(list[Collection], self._json(Call("GET", "/v1/collections"))["collections"])

    def check_citations(self, citations: Sequence[Citation | PastCitation]) -> list[AgedCitation]:
        """What became of citations that were given earlier, in their order."""
        return cast(list[AgedCitation], self._json(_check(citations))["citations"])

    def give_feedback(
        self,
        question: str,
        answer: Answer,
        *,
        helpful: bool,
        wrong: Sequence[int] = (),
        comment: str | None = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> str:
        """Judge an answer to ``question``; ``wrong``: the numbers of the citations that don't support it. Gives the judgement's
        id."""
        call = _feedback(question, answer, helpful, wrong, comment, collection)
        return str((self._json(call))["id"])

    def _json(self, call: Call) -> Body:
        return decoded(self._send(call), self.base_url)

    def _send(self, call: Call) -> httpx2.Response:
        with translated(self.base_url):
            response = self._http.request(call.method, call.path, json=call.body, params=call.params)
        if response.is_error:
            raise error_of(response)
        return response


class AsyncFootnote:
    """:class:`Footnote` for asyncio."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = READ_TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx2.AsyncClient(transport=transport, **_options(self.base_url, api_key, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        question: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        history: Sequence[str] = (),
        url_prefix: str | None = None,
        language: str | None = None,
    ) -> Answer:
        return cast(Answer, await self._json(_ask(question, collection, history, url_prefix, language)))

    async def search(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: SearchMode = "hybrid",
        rerank: bool = True,
        explain: bool = False,
        collection: str = DEFAULT_COLLECTION,
        url_prefix: str | None = None,
        language: str | None = None,
    ) -> list[Hit]:
        call = _search(query, limit, mode, rerank, explain, collection, url_prefix, language)
        return cast(list[Hit], (await self._json(call))["hits"])

    async def ingest(
        self, urls: Sequence[str], *, mode: IngestMode = "page", collection: str = DEFAULT_COLLECTION, **more: Any
    ) -> JobAccepted:
        return cast(JobAccepted, await self._json(_ingest(urls, mode, collection, more)))

    async def explain(self, url: str, *, keep: Sequence[str] = (), drop: Sequence[str] = ()) -> Explanation:
        return cast(Explanation, await self._json(_explain(url, keep, drop)))

    async def job(self, job_id: str) -> Job:
        return await self._json(Call("GET", f"/v1/jobs/{segment(job_id)}"))

    async def wait_for_job(self, job_id: str, *, timeout_s: float = 3600.0, poll_s: float = POLL_S) -> Job:
        give_up_at = time.monotonic() + timeout_s
        while (job := await self.job(job_id))["state"] not in ENDED:
            if time.monotonic() >= give_up_at:
                raise _not_ended(job_id, timeout_s)
            await asyncio.sleep(poll_s)
        return job

    async def cancel_job(self, job_id: str) -> Job:
        return await self._json(Call("POST", f"/v1/jobs/{segment(job_id)}/cancel"))

    async def pages(self, *, collection: str = DEFAULT_COLLECTION, url_prefix: str | None = None) -> AsyncIterator[Page]:
        after: str | None = None
        while True:
            part = await self._json(_pages(collection, url_prefix, after))
            for page in part["pages"]:
                yield page
            if (after := part["next"]) is None:
                return

    async def page_at(self, url: str, *, collection: str = DEFAULT_COLLECTION) -> Page | None:
        """As :meth:`Footnote.page_at`."""
        return _only(await self._json(_page_at(url, collection)))

    async def page(self, page_id: str) -> PageDetail:
        return cast(PageDetail, await self._json(Call("GET", f"/v1/pages/{segment(page_id)}")))

    async def delete_page(self, page_id: str) -> None:
        await self._send(Call("DELETE", f"/v1/pages/{segment(page_id)}"))

    async def collections(self) -> list[Collection]:
        return cast(list[Collection], (await self._json(Call("GET", "/v1/collections")))["collections"])

    async def check_citations(self, citations: Sequence[Citation | PastCitation]) -> list[AgedCitation]:
        return cast(list[AgedCitation], (await self._json(_check(citations)))["citations"])

    async def give_feedback(
        self,
        question: str,
        answer: Answer,
        *,
        helpful: bool,
        wrong: Sequence[int] = (),
        comment: str | None = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> str:
        call = _feedback(question, answer, helpful, wrong, comment, collection)
        return str((await self._json(call))["id"])

    async def _json(self, call: Call) -> Body:
        return decoded(await self._send(call), self.base_url)

    async def _send(self, call: Call) -> httpx2.Response:
        with translated(self.base_url):
            response = await self._http.request(call.method, call.path, json=call.body, params=call.params)
        if response.is_error:
            raise error_of(response)
        return response


def _options(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    return {
        "base_url": base_url,
        "headers": authorization(api_key),
        "timeout": httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        "trust_env": not is_loopback(base_url),  # a proxy from the environment can't reach this machine's own loopback
    }


def _ask(question: str, collection: str, history: Sequence[str], url_prefix: str | None, language: str | None) -> Call:
    body = {"question": question, "collection": collection, "history": list(history)}
    return Call("POST", "/v1/ask", body | {"filters": {"url_prefix": url_prefix, "language": language}})


def _search(
    query: str,
    limit: int,
    mode: SearchMode,
    rerank: bool,
    explain: bool,
    collection: str,
    url_prefix: str | None,
    language: str | None,
) -> Call:
    body = {"query": query, "limit": limit, "mode": mode, "rerank": rerank, "explain": explain, "collection": collection}
    return Call("POST", "/v1/search", body | {"filters": {"url_prefix": url_prefix, "language": language}})


def _ingest(urls: Sequence[str], mode: IngestMode, collection: str, more: Mapping[str, Any]) -> Call:
    return Call("POST", "/v1/ingest", {"urls": list(urls), "mode": mode, "collection": collection, **more})


def _page_at(url: str, collection: str) -> Call:
    return Call("GET", "/v1/pages", params={"collection": collection, "url": url})


def _only(found: Body) -> Page | None:
    return cast(Page, found["pages"][0]) if found["pages"] else None


def _explain(url: str, keep: Sequence[str], drop: Sequence[str]) -> Call:
    return Call("POST", "/v1/ingest/explain", {"url": url, "keep": list(keep), "drop": list(drop)})


def _pages(collection: str, url_prefix: str | None, after: str | None) -> Call:
    wanted = {"collection": collection, "url_prefix": url_prefix, "after": after, "limit": PAGES_AT_ONCE}
    return Call("GET", "/v1/pages", params={name: value for name, value in wanted.items() if value is not None})


def _check(citations: Sequence[Citation | PastCitation]) -> Call:
    past = [{name: cast(Body, citation)[name] for name in _PAST} for citation in citations]
    return Call("POST", "/v1/citations/check", {"citations": past})


def _feedback(question: str, answer: Answer, helpful: bool, wrong: Sequence[int], comment: str | None, collection: str) -> Call:
    places = ("number", "page_id", "content_hash", "start", "end")
    citations = [
        {name: cast(Body, citation)[name] for name in places} | {"wrong": citation["number"] in wrong}
        for citation in answer["citations"]
    ]
    body = {"question": question, "state": answer["state"], "helpful": helpful, "citations": citations, "comment": comment}
    return Call("POST", "/v1/feedback", body | {"collection": collection})


def _not_ended(job_id: str, timeout_s: float) -> Unavailable:
    return Unavailable(f"The job {job_id} hasn't ended after {timeout_s:g} s. It goes on; wait for it again, or cancel it.")
