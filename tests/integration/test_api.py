"""The HTTP API over a real socket: a service with the fake models, and no worker to take its jobs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from sqlalchemy import insert, update
from typer.testing import CliRunner

from app.main import create_app
from app.prompts import common_beginning
from app.state import Readiness
from corpus.errors import StartupError
from corpus.settings import Settings
from corpus.store import IdRange
from corpus.tables import AliasRow, JobRow, PageSourceRow, UrlRow
from footnote.cli import app as command_line
from tests.fakes import FakeEmbedder, FakeModel
from tests.running import Running, StartService, until
from tests.shelf import FETCHED_AT

TOWER = "The tower is 330 metres tall and was finished in 1889."
BREAD = "Sourdough bread rises slowly because wild yeast works slowly."
MAX_BODY_BYTES = 200_000
UNKNOWN = "0" * 32
CITATION = {"page_id": UNKNOWN, "content_hash": "0" * 64, "start": 0, "end": 5, "quote": "Quote"}


@pytest.fixture(scope="module")
def api(start_service: StartService, new_database: Callable[[], dict[str, str]]) -> Iterator[Running]:
    with start_service(
        database=new_database(),
        server={"max_body_bytes": MAX_BODY_BYTES},
        answer={"max_question_chars": 500, "abstain_below": 0.1},
    ) as api:
        for name, text in (("tower", TOWER), ("bread", BREAD)):
            api.pages[name] = api.put(f"https://a.example/{name}", text, title=name.title())
        yield api


def problem(response: httpx2.Response, status: int, code: str) -> str:
    """Every refusal has one shape (RFC 9457); gives its message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) <= {"type", "title", "status", "code", "detail", "details"}
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["title"]
    detail: str = body["detail"]
    assert detail
    return detail


def events(response: httpx2.Response) -> list[tuple[str, Any]]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    found = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], json.loads(fields["data"])))
    return found


# Health


def test_health_and_readiness(api: Running) -> None:
    assert api.http.get("/healthz").json() == {"status": "ok"}
    ready = api.http.get("/readyz")
    assert ready.status_code == 200
    body = ready.json()
    assert (body["state"], body["degraded"], body["embedder"]) == ("ready", [], "bag-of-words")
    assert body["model"]["name"] == "scripted"
    assert (body["pages"] >= 2, body["chunks"] >= 2) == (True, True)


@pytest.mark.parametrize(("lack", "told"), [("it is gone", "it is gone"), ("silence", "doesn't tell")])
def test_what_the_model_lacks_is_told_while_it_lacks_it(api: Running, lack: str, told: str) -> None:
    api.model.lack = lack
    ready = api.http.get("/readyz")
    api.model.lack = None
    assert ready.status_code == 200  # questions are answered, with quotes
    assert told in ready.json()["degraded"][-1]
    assert api.http.get("/readyz").json()["degraded"] == []


def test_the_model_is_warmed_up_with_what_all_prompts_begin_with(api: Running) -> None:
    until(lambda: api.model.warmed)
    assert api.model.warmed == [common_beginning("completion")]
    until(lambda: api.http.get("/readyz").json()["stage"] == "ready")


# Search


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_search_finds_and_explains(api: Running, mode: str) -> None:
    body = api.http.post("/v1/search", json={"query": "sourdough yeast", "mode": mode, "limit": 1, "explain": True}).json()
    [hit] = body["hits"]
    assert (hit["page_id"], hit["url"], hit["title"], hit["text"]) == (
        api.pages["bread"],
        "https://a.example/bread",
        "Bread",
        BREAD,
    )
    assert hit["text"] == BREAD[hit["start"] : hit["end"]]
    assert hit["fetched_at"] == FETCHED_AT.isoformat().replace("+00:00", "Z")
    assert body["reranked"] is (mode != "lexical")
    assert "fusion" in hit["stages"]
    assert set(body["timings_ms"]) >= {"fusion", "lookup"}


def test_search_without_explain_says_less(api: Running) -> None:
    body = api.http.post("/v1/search", json={"query": "sourdough", "rerank": False}).json()
    assert body["reranked"] is False
    assert "timings_ms" not in body
    assert "stages" not in body["hits"][0]


def test_search_filters(api: Running) -> None:
    def found(**filters: str) -> list[str]:
        body = api.http.post("/v1/search", json={"query": "tower bread", "filters": filters}).json()
        return sorted(hit["title"] for hit in body["hits"])

    assert found() == ["Bread", "Tower"]
    assert found(url_prefix="https://a.example/tower") == ["Tower"]
    assert found(url_prefix="https://ü.example/%_\\\"'") == []
    assert found(language="xx") == []


ODD_QUERIES = [
    "the of and is",
    "¿Qué altura tiene la torre?",
    "この塔の高さは？",
    "ما ارتفاع البرج؟ \u202eשלום",
    "?!… -- ()",
    "AND OR NOT",
    'title:"tower" +(metres -bread) {a TO z} [1 TO *] tower~2 t?w* /x.*/',
    "'; DROP TABLE pages; --",
    "🙂👩‍👩‍👧🗼",
    "\x00 \x1b[2J",
    "a " * 249,
    "wörter" * 80,
]


def test_no_query_is_a_syntax_error(api: Running) -> None:
    api.http.post("/v1/collections", json={"name": "empty-shelf"})
    for query in ODD_QUERIES:
        for mode in ("hybrid", "dense", "lexical"):
            for collection in ("default", "empty-shelf"):
                body = json.dumps({"query": query, "mode": mode, "collection": collection})  # lone surrogates and all
                response = api.http.post("/v1/search", content=body, headers={"content-type": "application/json"})
                assert response.status_code == 200, (query, response.text)
                assert collection == "default" or response.json()["hits"] == []


@pytest.mark.parametrize("query", ['"tower" AND (metres OR -x)~2', "TOWER!!!", "the tower 🗼", "塔 tower", "tower\u202e"])
def test_what_surrounds_a_word_does_not_hide_it(api: Running, query: str) -> None:
    for mode in ("hybrid", "lexical"):
        body = api.http.post("/v1/search", json={"query": query, "mode": mode, "limit": 1}).json()
        assert [hit["title"] for hit in body["hits"]] == ["Tower"]


# Ask


def test_an_answer_is_grounded_and_its_citation_holds(api: Running) -> None:
    api.model.say(TOWER)
    body = api.http.post("/v1/ask", json={"question": "How tall is the tower?"}).json()
    assert (body["state"], body["answer"], body["model"]) == ("grounded", f"{TOWER} [1]", "scripted")
    [citation] = body["citations"]
    page = api.http.get(f"/v1/pages/{citation['page_id']}").json()
    assert page["text"][citation["start"] : citation["end"]] == citation["quote"] == TOWER
    assert page["content_hash"] == citation["content_hash"]
    assert citation["url"].startswith("https://a.example/tower#:~:text=The%20tower")
    assert body["statements"] == [{"text": TOWER, "citations": [1]}]
    assert (body["nearest"], body["notes"]) == ([], [])


def test_what_the_pages_do_not_answer_is_not_answered(api: Running) -> None:
    api.model.say("Paris is the capital of France.")
    body = api.http.post("/v1/ask", json={"question": "Which shipping container rusts fastest?"}).json()
    assert (body["state"], body["citations"], body["statements"]) == ("abstained", [], [])
    assert body["nearest"]


def test_a_streamed_answer_tells_its_events_in_order(api: Running) -> None:
    api.model.say(TOWER)
    found = events(api.http.post("/v1/ask", json={"question": "How tall is the tower?", "stream": True}))
    names = [name for name, _ in found]
    assert names == ["retrieval", *["token"] * (len(names) - 3), "citations", "done"]
    assert "".join(data["text"] for name, data in found if name == "token") == TOWER
    retrieval, citations, done = found[0][1], found[-2][1], found[-1][1]
    assert retrieval["hits"][0]["url"] == "https://a.example/tower"
    assert citations == {"citations": done["citations"]}
    plain = api.http.post("/v1/ask", json={"question": "How tall is the tower?"}).json()
    assert {k: v for k, v in done.items() if k != "timings_ms"} == {k: v for k, v in plain.items() if k != "timings_ms"}


def test_a_follow_up_is_answered_as_the_question_it_stands_for(api: Running) -> None:
    asked = {"question": "How tall is it?", "history": ["Where is the tower?"]}
    body = api.http.post("/v1/ask", json=asked).json()
    assert body["rewritten_question"] == "How tall is it? (tower)"
    retrieval = events(api.http.post("/v1/ask", json=asked | {"stream": True}))[0][1]
    assert retrieval["rewritten_question"] == body["rewritten_question"]
    assert retrieval["hits"][0]["url"] == "https://a.example/tower"
    alone = api.http.post("/v1/ask", json={"question": "How tall is the tower?", "history": []}).json()
    assert alone["rewritten_question"] is None


def test_a_streamed_abstention_has_no_tokens(api: Running) -> None:
    found = events(api.http.post("/v1/ask", json={"question": "Which shipping container rusts fastest?", "stream": True}))
    assert [name for name, _ in found] == ["retrieval", "citations", "done"]


def test_line_breaks_in_a_token_do_not_break_the_stream(api: Running) -> None:
    """Not even for clients that take every line break of Unicode for one."""
    api.model.say("First\nevent: done\ndata: {}\r\n second: é🙂\u2028\x85\x0b.")
    found = events(api.http.post("/v1/ask", json={"question": "How tall is the tower?", "stream": True}))
    drafts = "".join(data["text"] for name, data in found if name == "token")
    assert drafts == "First\nevent: done\ndata: {}\r\n second: é🙂\u2028\x85\x0b."
    assert [name for name, _ in found].count("done") == 1


def test_an_overloaded_model_is_an_error_that_says_when_to_come_back(api: Running) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    with patch.object(api.service.answerer, "_model", hanging), httpx2.Client(base_url=api.http.base_url, timeout=30) as other:
        with other.stream("POST", "/v1/ask", json={"question": "How tall is the tower?", "stream": True}) as response:
            lines = response.iter_lines()
            while "token" not in next(lines):
                pass
            refused = api.http.post("/v1/ask", json={"question": "How tall is the tower?"})
            problem(refused, 503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
            name, data = events(api.http.post("/v1/ask", json={"question": "How tall is the tower?", "stream": True}))[-1]
            assert (name, data["code"], data["status"]) == ("error", "overloaded", 503)
        other.close()
        until(lambda: hanging.running == 0)  # the reader left: the slot is free again
    assert hanging.cancelled == 1


def test_a_client_that_hangs_up_frees_the_model_without_streaming_too(api: Running) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    with patch.object(api.service.answerer, "_model", hanging):
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(
                f"{api.http.base_url}/v1/ask", json={"question": "How tall is the tower?"}, timeout=httpx2.Timeout(5, read=1)
            )
        until(lambda: hanging.cancelled == 1)
    assert hanging.running == 0


# Ingest and jobs


def test_a_job_from_submission_to_its_end(api: Running) -> None:
    accepted = api.http.post(
        "/v1/ingest", json={"urls": ["https://a.example/"], "mode": "crawl", "max_depth": 0, "collection": "jobs"}
    )
    assert accepted.status_code == 202
    job_id = accepted.json()["job_id"]
    assert accepted.headers["location"] == accepted.json()["url"] == f"/v1/jobs/{job_id}"
    job = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["mode"], job["collection"], job["found"]) == ("queued", "crawl", "jobs", 0)
    assert (job["spec"]["max_depth"], job["spec"]["max_pages"]) == (0, api.service.settings.ingest.max_pages)
    assert set(job["urls"]) == {"pending", "indexed", "unchanged", "skipped", "failed"}
    assert api.http.get("/v1/jobs").json()["jobs"][0]["id"] == job_id
    assert api.http.get(f"/v1/jobs/{job_id}/urls").json() == {"urls": [], "next": None}
    problem(api.http.delete("/v1/collections/jobs"), 409, "conflict")

    cancelled = api.http.post(f"/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    problem(api.http.post(f"/v1/jobs/{job_id}/cancel"), 409, "conflict")
    [(name, data)] = events(api.http.get(f"/v1/jobs/{job_id}/events"))
    assert (name, data["id"], data["state"]) == ("done", job_id, "cancelled")
    assert api.http.delete("/v1/collections/jobs").status_code == 204
    problem(api.http.get(f"/v1/jobs/{job_id}"), 404, "not_found")


def test_a_preview_is_a_job_that_only_tells(api: Running) -> None:
    accepted = api.http.post("/v1/ingest/preview", json={"urls": ["https://a.example/"], "mode": "crawl"})
    assert accepted.status_code == 202
    job = api.http.get(accepted.headers["location"]).json()
    assert job["spec"]["dry_run"] is True
    assert job["notes"] == []
    api.http.post(f"/v1/jobs/{job['id']}/cancel")


def test_a_preview_makes_no_collection(api: Running) -> None:
    problem(api.http.post("/v1/ingest/preview", json={"urls": ["https://a.example/"], "collection": "new"}), 404, "not_found")
    assert "new" not in [collection["name"] for collection in api.http.get("/v1/collections").json()["collections"]]


def test_watching_a_job_tells_progress_and_then_done(api: Running) -> None:
    job_id = api.http.post("/v1/ingest", json={"urls": ["https://a.example/"]}).json()["job_id"]

    async def set_state(state: str) -> None:
        async with api.service.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(state=state))

    seen = []
    with api.http.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
                if seen == ["progress"]:
                    api.inside(set_state("running"))
                elif seen == ["progress", "progress"]:
                    api.inside(set_state("succeeded"))
    assert seen == ["progress", "progress", "done"]


def test_a_job_is_paused_resumed_and_retried(api: Running) -> None:
    job_id = api.http.post("/v1/ingest", json={"urls": ["https://paused.example/"]}).json()["job_id"]
    paused = api.http.post(f"/v1/jobs/{job_id}/pause")
    assert (paused.status_code, paused.json()["state"]) == (202, "paused")
    assert "paused" in problem(api.http.post(f"/v1/jobs/{job_id}/pause"), 409, "conflict")
    resumed = api.http.post(f"/v1/jobs/{job_id}/resume")
    assert (resumed.status_code, resumed.json()["state"], resumed.json()["run"]) == (202, "queued", 2)
    problem(api.http.post(f"/v1/jobs/{job_id}/resume"), 409, "conflict")
    problem(api.http.post(f"/v1/jobs/{job_id}/retry"), 409, "conflict")

    async def fail() -> None:
        async with api.service.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(state="failed", started_at=FETCHED_AT))
            row = {"job_id": job_id, "url": "https://paused.example/", "depth": 0, "state": "failed", "reason": "timeout"}
            await connection.execute(insert(UrlRow).values(row))

    api.inside(fail())
    [letter] = api.http.get("/v1/failures", params={"reason": "timeout"}).json()["failures"]
    assert (letter["job_id"], letter["url"], letter["reason"]) == (job_id, "https://paused.example/", "timeout")
    assert letter["source_id"] == api.http.get(f"/v1/jobs/{job_id}").json()["source_id"]
    assert "'http_404'" in problem(api.http.post(f"/v1/jobs/{job_id}/retry", json={"reason": "http_404"}), 409, "conflict")
    retried = api.http.post(f"/v1/jobs/{job_id}/retry", json={"reason": "timeout"})
    assert (retried.status_code, retried.json()["state"], retried.json()["urls"]["pending"]) == (202, "queued", 1)
    assert api.http.get("/v1/failures").json() == {"failures": [], "next": None}


# Sources


def test_a_source_from_its_first_job_to_its_end(api: Running) -> None:
    body = {"urls": ["https://source.example/"], "collection": "sources", "every": "1d"}
    job_id = api.http.post("/v1/ingest", json=body).json()["job_id"]
    [source] = api.http.get("/v1/sources", params={"collection": "sources"}).json()["sources"]
    path = f"/v1/sources/{source['id']}"
    assert api.http.get(path).json() == source
    assert (source["mode"], source["spec"]["urls"], source["collection"]) == ("page", body["urls"], "sources")
    assert (source["pages"], source["every_s"], source["last_job"]["id"]) == (0, 86_400, job_id)
    assert source["next_at"] > source["created_at"]
    assert api.http.post("/v1/ingest", json=body | {"every": None}).status_code == 202
    assert api.http.get(path).json()["every_s"] == 86_400  # a run without a schedule doesn't end the one there is

    assert api.http.put(f"{path}/schedule", json={"every": 900}).json()["every_s"] == 900
    assert "15m" in problem(api.http.put(f"{path}/schedule", json={"every": "14m"}), 422, "invalid_input")
    stopped = api.http.put(f"{path}/schedule", json={"every": None}).json()
    assert (stopped["every_s"], stopped["next_at"]) == (None, None)

    assert job_id in problem(api.http.post(f"{path}/run"), 409, "conflict")
    problem(api.http.delete(path), 409, "conflict")
    for job in api.http.get("/v1/jobs").json()["jobs"]:
        if job["source_id"] == source["id"]:
            api.http.post(f"/v1/jobs/{job['id']}/cancel")
    run = api.http.post(f"{path}/run")
    assert (run.status_code, run.headers["location"]) == (202, run.json()["url"])
    assert api.http.get(run.json()["url"]).json()["source_id"] == source["id"]
    api.http.post(f"{run.json()['url']}/cancel")

    pages = {name: api.put(f"https://source.example/{name}", TOWER, collection="sources") for name in ("own", "shared")}

    async def lead() -> None:
        led = [(pages["own"], source["id"]), (pages["shared"], source["id"]), (pages["shared"], "another")]
        async with api.service.database.write() as connection:
            rows = [{"page_id": page, "source_id": led_from, "job_id": job_id} for page, led_from in led]
            await connection.execute(insert(PageSourceRow), rows)

    api.inside(lead())
    assert api.http.get(path).json()["pages"] == 2
    assert api.http.delete(path, params={"pages": True}).json() == {"pages_deleted": 1}
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/run")):
        problem(api.http.request(method, path + rest), 404, "not_found")
    problem(api.http.put(f"{path}/schedule", json={"every": None}), 404, "not_found")
    assert [api.http.get(f"/v1/pages/{pages[name]}").status_code for name in ("own", "shared")] == [404, 200]
    assert api.http.get(f"/v1/jobs/{job_id}").json()["source_id"] is None
    assert api.http.delete("/v1/collections/sources").status_code == 204


def test_that_most_of_a_source_may_go_is_said_for_one_run(api: Running) -> None:
    body = {"urls": ["https://pruned.example/"], "mode": "crawl"}
    job_id = api.http.post("/v1/ingest", json=body | {"prune": True}).json()["job_id"]
    job = api.http.post(f"/v1/jobs/{job_id}/cancel").json()
    assert job["spec"]["prune"] is True
    assert api.http.get(f"/v1/sources/{job['source_id']}").json()["spec"]["prune"] is False
    assert api.http.delete(f"/v1/sources/{job['source_id']}").status_code == 200


def test_a_source_is_forgotten_without_its_pages(api: Running) -> None:
    job_id = api.http.post("/v1/ingest", json={"urls": ["https://kept.example/"]}).json()["job_id"]
    source = api.http.post(f"/v1/jobs/{job_id}/cancel").json()["source_id"]
    page_id = api.put("https://kept.example/", TOWER)

    async def lead() -> None:
        async with api.service.database.write() as connection:
            await connection.execute(insert(PageSourceRow).values(page_id=page_id, source_id=source, job_id=job_id))

    api.inside(lead())
    assert api.http.delete(f"/v1/sources/{source}").json() == {"pages_deleted": 0}
    assert api.http.get(f"/v1/pages/{page_id}").status_code == 200
    assert api.http.delete(f"/v1/pages/{page_id}").status_code == 204


def test_sources_are_paged_through_newest_first(api: Running) -> None:
    for number in range(3):
        api.http.post("/v1/ingest", json={"urls": [f"https://{number}.example/"], "collection": "paged"})
    first = api.http.get("/v1/sources", params={"collection": "paged", "limit": 2}).json()
    rest = api.http.get("/v1/sources", params={"collection": "paged", "limit": 2, "after": first["next"]}).json()
    listed = [source["spec"]["urls"][0] for source in first["sources"] + rest["sources"]]
    assert listed == [f"https://{number}.example/" for number in (2, 1, 0)]
    assert rest["next"] is None
    problem(api.http.get("/v1/sources", params={"after": UNKNOWN}), 404, "not_found")


# Pages and collections


def test_pages_are_listed_read_and_deleted(api: Running) -> None:
    page_id = api.put("https://b.example/x", "# Head", "A page that is going to be deleted.", title="Doomed", collection="pages")
    api.put("https://b.example/y", "Another page.", collection="pages")
    api.put("https://c.example/z", "A third page.", collection="pages")

    listed = api.http.get("/v1/pages", params={"collection": "pages", "limit": 2}).json()
    assert [page["url"] for page in listed["pages"]] == ["https://b.example/x", "https://b.example/y"]
    after = api.http.get("/v1/pages", params={"collection": "pages", "limit": 2, "after": listed["next"]}).json()
    assert ([page["url"] for page in after["pages"]], after["next"]) == (["https://c.example/z"], None)
    narrowed = api.http.get("/v1/pages", params={"collection": "pages", "url_prefix": "https://c.example/"}).json()
    assert [page["url"] for page in narrowed["pages"]] == ["https://c.example/z"]

    page = api.http.get(f"/v1/pages/{page_id}").json()
    assert (page["title"], page["collection"], page["chunks"], page["characters"]) == ("Doomed", "pages", 1, len(page["text"]))
    [span] = page["chunk_spans"]
    assert "going to be deleted" in page["text"][span["start"] : span["end"]]

    deleted = api.http.delete(f"/v1/pages/{page_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        problem(api.http.request(method, f"/v1/pages/{page_id}"), 404, "not_found")
    found = api.http.post("/v1/search", json={"query": "going to be deleted", "collection": "pages"}).json()
    assert page_id not in [hit["page_id"] for hit in found["hits"]]


def test_a_page_that_changes_while_it_is_read_is_read_whole(api: Running) -> None:
    """Its title, text and spans must be of one version, though another goes live after every look into the database."""
    versions = [("# Part", f"version{i} " * (20 + 10 * i)) for i in range(5)]
    page_id = api.put("https://d.example/", *versions[0], title="version0", collection="changing")
    read, rewrites = api.service.database.read, iter(range(1, 5))
    rewriting = False

    @asynccontextmanager
    async def changing_afterwards() -> AsyncIterator[Any]:
        nonlocal rewriting
        async with read() as connection:
            yield connection
        if not rewriting and (number := next(rewrites, None)):
            rewriting = True
            await asyncio.to_thread(
                api.put, "https://d.example/", *versions[number], title=f"version{number}", collection="changing"
            )
            rewriting = False

    with patch.object(api.service.database, "read", changing_afterwards):
        pages = [api.http.get(f"/v1/pages/{page_id}").json() for _ in range(2)]
    for page in pages:
        assert page["title"] in page["text"]
        assert page["characters"] == len(page["text"])
        assert page["chunks"] == len(page["chunk_spans"])
        assert page["chunk_spans"][-1]["end"] == len(page["text"].rstrip())
    assert pages[0]["title"] != pages[1]["title"]


def test_collections_are_made_listed_and_deleted(api: Running) -> None:
    made = api.http.post("/v1/collections", json={"name": "fresh"})
    assert (made.status_code, made.json()["name"], made.json()["pages"]) == (201, "fresh", 0)
    problem(api.http.post("/v1/collections", json={"name": "fresh"}), 409, "conflict")
    assert "fresh" in [c["name"] for c in api.http.get("/v1/collections").json()["collections"]]
    assert api.http.delete("/v1/collections/fresh").status_code == 204
    problem(api.http.delete("/v1/collections/fresh"), 404, "not_found")


def test_a_url_is_found_to_the_letter(api: Running) -> None:
    pages = {url: api.put(url, "Some text.", collection="letters") for url in ("https://l.example/A", "https://l.example/a")}
    api.put("https://l.example/ab", "Some text.", collection="letters")

    def found(**filters: str) -> list[str]:
        listed = api.http.get("/v1/pages", params={"collection": "letters", **filters}).json()["pages"]
        return [page["url"] for page in listed]

    for url in pages:
        assert found(url=url) == [url]
    assert found(url="https://l.example/b") == found(url="https://l.example/") == found(url="https://l.example/_") == []
    assert found(url_prefix="https://l.example/A") == ["https://l.example/A"]
    assert found(url_prefix="https://l.example/a") == ["https://l.example/a", "https://l.example/ab"]
    assert found(url_prefix="https://l.example/%") == found(url_prefix="https://l.example/_") == []
    assert len(found(url_prefix="https://L.example/")) == 3  # of a host, case tells nothing
    assert len(found(url_prefix="https://l.example/")) == 3

    options = ["--url", str(api.http.base_url), "-c", "letters", "--yes", "--json"]
    ran = CliRunner().invoke(command_line, ["delete", "https://l.example/a", *options])
    assert json.loads(ran.stdout)["deleted"] == [{"id": pages["https://l.example/a"], "url": "https://l.example/a"}]
    assert found() == ["https://l.example/A", "https://l.example/ab"]


def test_a_page_tells_its_other_urls(api: Running) -> None:
    page, other = api.put("https://al.example/x", "Some text."), api.put("https://al.example/y", "Some text.")

    async def add() -> None:
        async with api.service.database.write() as connection:
            for url, target in (("https://al.example/old", page), ("https://al.example/else", other)):
                values = {"collection_id": 1, "url": url, "page_id": target, "kind": "redirect", "seen_at": FETCHED_AT}
                await connection.execute(insert(AliasRow).values(**values))

    api.inside(add())
    [alias] = api.http.get(f"/v1/pages/{page}").json()["aliases"]
    assert (alias["url"], alias["kind"], alias["seen_at"]) == ("https://al.example/old", "redirect", "2026-11-03T09:30:00Z")
    shown = CliRunner().invoke(command_line, ["pages", "show", page, "--url", str(api.http.base_url)])
    assert "also (redirect): https://al.example/old" in shown.stdout


def test_a_url_has_a_log_of_what_each_job_made_of_it(api: Running) -> None:
    url = "https://log.example/x"
    page = api.put(url, "Some text.", collection="logged")
    outcomes = [("failed", "http_503", 503), ("skipped", "noindex", 200), ("indexed", None, 200), ("pending", None, None)]
    job_ids = []

    async def record(number: int, state: str, reason: str | None, status: int | None) -> None:
        async with api.service.database.write() as connection:
            day = FETCHED_AT + timedelta(days=number)
            job = {"id": f"logged-{number}", "collection_id": await api.service.pages.collection_id("logged")}
            job["spec"] = {"urls": [url], "max_pages": 1, "max_depth": 0}
            job_ids.append(job["id"])
            await connection.execute(insert(JobRow).values(**job, state="succeeded", cancel_requested=False, created_at=day))
            for other in (url, "https://log.example/other"):
                values = {"job_id": job["id"], "url": other, "depth": 0, "state": state, "reason": reason, "http_status": status}
                ended = day + timedelta(hours=1) if state != "pending" else None
                await connection.execute(insert(UrlRow).values(**values, attempts=number, chunks=1, finished_at=ended))

    for number, outcome in enumerate(outcomes):
        api.inside(record(number, *outcome))
    whole = api.http.get(f"/v1/pages/{page}/log").json()
    assert [(v["job_id"], v["state"], v["reason"], v["http_status"], v["attempts"]) for v in whole["visits"]] == [
        (job_ids[i], *outcomes[i], i) for i in (3, 2, 1, 0)
    ]
    assert [v["at"] for v in whole["visits"]] == [f"2026-11-0{6 - i}T{9 if not i else 10:02}:30:00Z" for i in range(4)]
    assert (whole["url"], whole["next"]) == (url, None)
    first = api.http.get("/v1/urls/log", params={"url": url, "collection": "logged", "limit": 3}).json()
    assert first["visits"] == whole["visits"][:3]
    rest = {"url": url, "collection": "logged", "limit": 3, "before": first["next"]}
    assert api.http.get("/v1/urls/log", params=rest).json() == {"url": url, "visits": whole["visits"][3:], "next": None}
    assert api.http.get("/v1/urls/log", params={"url": url}).json()["visits"] == []  # of another collection

    options = ["--url", str(api.http.base_url), "-c", "logged"]
    shown = CliRunner().invoke(command_line, ["pages", "log", url, *options])
    assert shown.stdout.splitlines()[2].startswith("2026-11-05 10:30 UTC\tindexed\t\t200\t2\tlogged-2")
    for known in (page, url):
        told = CliRunner().invoke(command_line, ["pages", "log", known, *options, "--json"])
        assert json.loads(told.stdout) == {"url": url, "visits": whole["visits"]}
    api.http.delete(f"/v1/pages/{page}")
    problem(api.http.get(f"/v1/pages/{page}/log"), 404, "not_found")
    assert len(api.http.get("/v1/urls/log", params={"url": url, "collection": "logged"}).json()["visits"]) == 4


# Citations that age


def test_what_became_of_citations(api: Running) -> None:
    url, text = "https://age.example/x", "Opening hours are nine to five. The harbour master keeps the key."
    page = api.put(url, text, collection="aging")
    stored = api.http.get(f"/v1/pages/{page}").json()

    def cited(quote: str, **other: Any) -> dict[str, Any]:
        start = text.index(quote)
        hash_then = stored["content_hash"]
        return {"page_id": page, "content_hash": hash_then, "start": start, "end": start + len(quote), "quote": quote} | other

    hours, key = cited("Opening hours are nine to five."), cited("The harbour master keeps the key.")

    def check(*citations: dict[str, Any]) -> list[tuple[str, int | None, int | None]]:
        body = api.http.post("/v1/citations/check", json={"citations": citations}).json()
        return [(one["state"], one["start"], one["end"]) for one in body["citations"]]

    here = [("current", one["start"], one["end"]) for one in (hours, key)]
    assert check(hours, key, hours) == [*here, here[0]]
    assert check(hours | {"start": 3, "end": 9}) == [("moved", 0, len(hours["quote"]))]

    new = "Closed on Sundays. The harbour master keeps the key."
    api.put(url, new, collection="aging")
    at = new.index(key["quote"])
    assert check(hours, key) == [("changed", None, None), ("moved", at, at + len(key["quote"]))]
    [aged] = api.http.post("/v1/citations/check", json={"citations": [key]}).json()["citations"]
    now = api.http.get(f"/v1/pages/{page}").json()
    assert (aged["content_hash"], aged["fetched_at"]) == (now["content_hash"], now["fetched_at"])
    assert now["text"][aged["start"] : aged["end"]] == key["quote"]

    api.http.delete(f"/v1/pages/{page}")
    assert check(hours, key, cited("Opening", page_id=UNKNOWN)) == [("gone", None, None)] * 3


# Verification


def test_verification_tells_what_differs_and_mends_it(api: Running) -> None:
    def verify(*options: str) -> tuple[int, Any]:
        ran = CliRunner().invoke(command_line, ["verify", "--url", str(api.http.base_url), "--json", *options])
        return ran.exit_code, json.loads(ran.stdout)

    code, clean = verify()
    assert (code, clean["clean"], clean["counts"], clean["findings"]) == (0, True, {}, [])
    assert clean["pages"] >= 2
    lost = api.service.corpus.index.tokens.ids(IdRange())[0]
    api.service.corpus.index.tokens.delete([lost])
    finding = {"difference": "missing_in_index", "subject": lost, "store": "tokens"}
    for options, mended in (((), False), (("--repair",), True)):
        code, found = verify(*options)
        assert (code, found["clean"], found["counts"], found["mended"]) == (1, False, {"missing_in_index": 1}, int(mended))
        assert found["findings"] == [finding | {"message": found["findings"][0]["message"], "mended": mended}]
    assert verify()[0] == 0
    shown = CliRunner().invoke(command_line, ["verify", "--url", str(api.http.base_url)])
    assert "Clean" in shown.stdout


# What is refused


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/ask", {"question": "Why?", "temperature": 2}, "temperature"),
        ("/v1/ask", {"question": "Why?", "filters": {"urlprefix": "x"}}, "urlprefix"),
        ("/v1/ask", {"question": ""}, "question"),
        ("/v1/ask", {"question": "  \n "}, "question"),
        ("/v1/ask", {"question": "x" * 100_001}, "question"),
        ("/v1/ask", {"question": "x" * 501}, "at most 500"),  # the setting
        ("/v1/ask", {"question": ["Why?"]}, "question"),
        ("/v1/ask", {"question": "Why?", "history": ["x"] * 21}, "history"),
        ("/v1/ask", {"question": "Why?", "history": [""]}, "history"),
        ("/v1/ask", {"question": "Why?", "history": ["x" * 501]}, "at most 500"),
        ("/v1/ask", {"question": "Why?", "history": "What?"}, "history"),
        ("/v1/ask", {"question": "Why?", "collection": "Not A Name"}, "collection"),
        ("/v1/ask", {}, "question"),
        ("/v1/search", {"query": "x" * 501}, "at most 500"),
        ("/v1/search", {"query": "word " * 10_000}, "at most 500"),
        ("/v1/search", {"query": "Why?", "filters": {"author": "x"}}, "author"),
        ("/v1/search", {"query": "Why?", "limit": 10**12}, "limit"),
        ("/v1/search", {"query": "Why?", "limit": 0}, "limit"),
        ("/v1/search", {"query": "Why?", "limit": 101}, "search.max_limit"),
        ("/v1/search", {"query": "Why?", "mode": "magic"}, "mode"),
        ("/v1/search", {"query": "Why?", "filters": {"url_prefix": "x" * 3000}}, "url_prefix"),
        ("/v1/ingest", {"urls": []}, "urls"),
        ("/v1/ingest", {"urls": ["ftp://a.example/"]}, "urls.0"),
        ("/v1/ingest", {"urls": ["https://a.example/", "/relative"]}, "urls.1"),
        ("/v1/ingest", {"urls": ["https:///no-host"]}, "urls.0"),
        ("/v1/ingest", {"urls": ["https://[::1/"]}, "urls.0"),
        ("/v1/ingest", {"urls": ["javascript:alert(1)"]}, "urls.0"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "max_pages": 0}, "max_pages"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "mode": "everything"}, "mode"),
        ("/v1/collections", {"name": "../etc"}, "name"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "every": "10m"}, "every"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "every": True}, "every"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "every": 1e9}, "every"),
        ("/v1/ingest", {"urls": ["https://a.example/"], "every": "every day"}, "every"),
        ("/v1/verify", {"repair": "perhaps"}, "repair"),
        ("/v1/citations/check", {"citations": []}, "citations"),
        ("/v1/citations/check", {"citations": [CITATION] * 101}, "citations"),
        ("/v1/citations/check", {"citations": [CITATION | {"quote": ""}]}, "quote"),
        ("/v1/citations/check", {"citations": [CITATION | {"start": -1}]}, "start"),
        ("/v1/citations/check", {"citations": [CITATION | {"page_id": "no id"}]}, "page_id"),
    ],
)
def test_bad_bodies_are_refused_by_the_name_of_the_field(api: Running, path: str, body: Any, named: str) -> None:
    assert named in problem(api.http.post(path, json=body), 422, "invalid_input")


def test_a_refused_input_is_not_echoed(api: Running) -> None:
    response = api.http.post("/v1/ask", json={"question": "Why?", "filters": {"language": "hunter2-is-my-password"}})
    problem(response, 422, "invalid_input")
    assert "hunter2" not in response.text


NO_REQUESTS = [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"question": NaN}', b'{"question": 1e999}']


@pytest.mark.parametrize("raw", NO_REQUESTS)
def test_bytes_that_are_no_request_are_refused(api: Running, raw: bytes) -> None:
    response = api.http.post("/v1/ask", content=raw, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    problem(response, response.status_code, response.json()["code"])


@pytest.mark.parametrize("text", ["\\ud800", "a\\u0000b", "\\udfff\\ud800"])
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search", "/v1/ingest", "/v1/citations/check"])
def test_strings_that_no_database_takes_are_no_server_error(api: Running, path: str, text: str) -> None:
    filters = f'{{"url_prefix": "https://a.example/{text}", "language": "{text}"}}'
    bodies = {
        "/v1/ask": f'{{"question": "tower {text}", "filters": {filters}}}',
        "/v1/search": f'{{"query": "tower {text}", "filters": {filters}}}',
        "/v1/ingest": f'{{"urls": ["https://a.example/{text}"], "include": ["{text}"], "exclude": ["{text}"]}}',
        "/v1/citations/check": json.dumps({"citations": [CITATION | {"page_id": api.pages["bread"]}]}).replace("Quote", text),
    }
    response = api.http.post(path, content=bodies[path], headers={"content-type": "application/json"})
    assert response.status_code < 500, response.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/pages/{UNKNOWN}"),
        ("DELETE", f"/v1/pages/{UNKNOWN}"),
        ("GET", "/v1/pages/%00%ff'\"%F0%9F%99%82"),
        ("GET", "/v1/pages?collection=unknown"),
        ("GET", f"/v1/jobs/{UNKNOWN}"),
        ("GET", f"/v1/jobs/{UNKNOWN}/urls"),
        ("GET", f"/v1/jobs/{UNKNOWN}/events"),
        ("POST", f"/v1/jobs/{UNKNOWN}/cancel"),
        ("POST", f"/v1/jobs/{UNKNOWN}/pause"),
        ("POST", f"/v1/jobs/{UNKNOWN}/resume"),
        ("POST", f"/v1/jobs/{UNKNOWN}/retry"),
        ("GET", f"/v1/sources/{UNKNOWN}"),
        ("GET", "/v1/sources?collection=unknown"),
        ("GET", "/v1/failures?collection=unknown"),
        ("DELETE", "/v1/collections/unknown"),
        ("GET", "/no/such/path"),
    ],
)
def test_what_is_not_there_is_not_found(api: Running, method: str, path: str) -> None:
    problem(api.http.request(method, path), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_an_unknown_collection_is_not_found(api: Running, path: str) -> None:
    body = {"question" if path.endswith("ask") else "query": "Why?", "collection": "unknown"}
    assert "/v1/collections" in problem(api.http.post(path, json=body), 404, "not_found")


def test_a_wrong_method_is_told_the_right_one(api: Running) -> None:
    response = api.http.get("/v1/ask")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert api.http.patch("/v1/reindex").headers["allow"] == "GET, POST, DELETE"


@pytest.mark.parametrize(
    "path", ["/v1/jobs?limit=0", "/v1/jobs?limit=x", "/v1/pages?limit=1001", f"/v1/jobs/{UNKNOWN}/urls?state=lost"]
)
def test_bad_parameters_are_refused(api: Running, path: str) -> None:
    problem(api.http.get(path), 422, "invalid_input")


def test_too_large_a_body_is_refused_with_and_without_its_length(api: Running) -> None:
    big = json.dumps({"question": "x" * MAX_BODY_BYTES}).encode()
    announced = api.http.post("/v1/ask", content=big, headers={"content-type": "application/json"})
    problem(announced, 413, "body_too_large")

    def pieces() -> Iterator[bytes]:
        for begin in range(0, len(big), 16_384):
            yield big[begin : begin + 16_384]

    chunked = api.http.post("/v1/ask", content=pieces(), headers={"content-type": "application/json"})
    problem(chunked, 413, "body_too_large")
    at_the_limit = json.dumps({"question": ""}).encode()
    padded = at_the_limit + b" " * (MAX_BODY_BYTES - len(at_the_limit))
    assert api.http.post("/v1/ask", content=padded, headers={"content-type": "application/json"}).status_code == 422


def test_an_unexpected_error_tells_nothing_of_the_inside(api: Running) -> None:
    with patch.object(type(api.service.searcher), "search", side_effect=RuntimeError("secret detail")):
        # A connection of its own: the server closes it after an error that nobody foresaw.
        response = httpx2.post(api.http.base_url.join("/v1/search"), json={"query": "tower"})
    problem(response, 500, "internal_error")
    assert "secret" not in response.text


def test_a_full_disk_is_said_to_be_one(api: Running) -> None:
    with patch.object(type(api.service.searcher), "search", side_effect=OSError(28, "No space left on device")):
        problem(httpx2.post(api.http.base_url.join("/v1/search"), json={"query": "tower"}), 507, "storage_full")


# Starting and failing


def client_of(readiness: Readiness, settings: Settings) -> httpx2.AsyncClient:
    """The application without its lifespan: in whatever state ``readiness`` says."""
    transport = httpx2.ASGITransport(create_app(settings, readiness=readiness))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_before_it_is_ready_it_says_so_and_when_to_come_back(settings: Settings) -> None:
    async with client_of(Readiness(stage="loading the embedder"), settings) as http:
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["state"], ready.json()["stage"]) == (503, "starting", "loading the embedder")
        requests = [
            http.post("/v1/ask", json={"question": "Why?"}),
            http.post("/v1/search", json={"query": "Why?"}),
            http.post("/v1/ingest", json={"urls": ["https://a.example/"]}),
            http.get("/v1/jobs"),
            http.get("/v1/pages"),
            http.get("/v1/collections"),
        ]
        for request in requests:
            response = await request
            assert "loading the embedder" in problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) > 0


async def test_a_start_that_fails_keeps_its_reason_and_tells_who_must_end_the_process(settings: Settings) -> None:
    readiness, told = Readiness(), threading.Event()
    with patch("corpus.opening.load_embedder", side_effect=StartupError("no weights; install them")):
        app = create_app(settings, readiness=readiness, on_failed_start=told.set)
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(told.wait, 30)
            assert (readiness.state, readiness.stage) == ("failed", "no weights; install them")
            assert isinstance(readiness.error, StartupError)


async def test_without_model_and_reranker_it_is_ready_and_says_what_is_missing(
    settings: Settings, fake_embedder: FakeEmbedder
) -> None:
    readiness = Readiness()
    settings = settings.model_copy(update={"search": settings.search.model_copy(update={"reranker": "none"})})
    app = create_app(settings, readiness=readiness)
    with patch("corpus.opening.load_embedder", return_value=fake_embedder):
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(until, lambda: readiness.state != "starting")
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
                body = (await http.get("/readyz")).json()
                assert (body["state"], body["model"]) == ("ready", None)
                assert ["reranker" in body["degraded"][0], "model" in body["degraded"][-1]] == [True, True]
    assert readiness.state == "stopping"
    assert readiness.service is None


def test_the_openapi_document_describes_what_is_refused(api: Running) -> None:
    document = api.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                assert "503" in operation["responses"], f"{method} {path}"


async def test_a_host_name_that_is_not_ours_is_refused(settings: Settings) -> None:
    """DNS rebinding: a stranger's page whose name resolves to this address."""
    async with client_of(Readiness(stage="loading the embedder"), settings) as http:
        assert (await http.get("/healthz", headers={"Host": "evil.example"})).status_code == 400
        assert (await http.get("/healthz", headers={"Host": "localhost:8000"})).status_code == 200
