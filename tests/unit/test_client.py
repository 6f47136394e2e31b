import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from corpus.errors import Conflict, FootnoteError, InvalidInput, NotFound, Overloaded, Unavailable
from footnote.client import RECONNECTS, Client, is_loopback

JOB = '{"id":"j","state":"running"}'
DONE = '{"id":"j","state":"succeeded"}'


class Chunks(httpx2.SyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def client_of(handler: Callable[[httpx2.Request], httpx2.Response], *, slept: list[float] | None = None) -> Client:
    pauses = slept if slept is not None else []
    return Client(base_url="http://service.test/", transport=httpx2.MockTransport(handler), sleep=pauses.append)


def stream_of(*pieces: bytes) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(*pieces))


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (404, "not_found", NotFound),
        (409, "conflict", Conflict),
        (422, "invalid_input", InvalidInput),
        (503, "overloaded", Overloaded),
        (503, "a_code_of_the_future", Unavailable),
        (500, "internal_error", FootnoteError),
    ],
)
def test_a_problem_document_is_raised_as_what_the_service_raised(status: int, code: str, raised: type[FootnoteError]) -> None:
    body = {"type": "about:blank", "title": "T", "status": status, "code": code, "detail": "What to do.", "details": {"job": "7"}}
    client = client_of(lambda request: httpx2.Response(status, json=body))
    with pytest.raises(raised) as caught:
        client.collections()
    assert type(caught.value) is raised
    assert (caught.value.message, caught.value.details) == ("What to do.", {"job": "7"})


@pytest.mark.parametrize(
    "response",
    [httpx2.Response(404, html="<h1>Not here</h1>"), httpx2.Response(200, json=[1]), httpx2.Response(200, text="hello")],
)
def test_what_is_no_footnote_service_is_named_so(response: httpx2.Response) -> None:
    with pytest.raises(FootnoteError, match=r"no Footnote service|not as a Footnote service"):
        client_of(lambda request: response).readiness()
    assert not client_of(lambda request: response).is_alive()


def test_a_service_that_cannot_be_reached_is_unavailable() -> None:
    with Client(base_url="http://127.0.0.1:1", read_timeout_s=1) as client:
        assert not client.is_alive()
        with pytest.raises(Unavailable, match="footnote serve"):
            client.collections()


def test_readiness_is_read_from_a_503_too() -> None:
    client = client_of(lambda request: httpx2.Response(503, json={"state": "starting", "stage": "loading"}))
    assert client.readiness()["stage"] == "loading"


def test_events_survive_any_cut_of_the_stream() -> None:
    """A cut inside a line, a CRLF or a multi-byte character changes nothing; comments and unknown fields are passed over."""
    whole = (
        ': ping\r\nevent: token\r\ndata: {"text": "é—\\n"}\r\n\r\nid: 7\ndata: {"a":\ndata: 1}\nevent: done\nx: y\n\n'.encode()
    )
    for cut in range(1, len(whole)):
        client = client_of(lambda request, cut=cut: stream_of(whole[:cut], whole[cut:]))  # type: ignore[misc]
        events = [(event.name, event.data) for event in client.ask("?", collection="c", filters={})]
        assert events == [("token", {"text": "é—\n"}), ("done", {"a": 1})]


def test_an_answer_cut_short_is_an_error() -> None:
    client = client_of(lambda request: stream_of(b'event: token\ndata: {"text": "a"}\n\nevent: done\ndata: {"state"'))
    with pytest.raises(Unavailable, match="Ask again"):
        list(client.ask("?", collection="c", filters={}))


def test_earlier_questions_go_along() -> None:
    sent: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        return stream_of(b"event: done\ndata: {}\n\n")

    list(client_of(answer).ask("And why?", collection="c", filters={}, history=["What?"]))
    list(client_of(answer).ask("And why?", collection="c", filters={}))
    assert sent[0]["history"] == ["What?"]
    assert "history" not in sent[1]


def test_an_error_event_is_raised() -> None:
    client = client_of(lambda request: stream_of(b'event: error\ndata: {"code":"overloaded","status":503,"detail":"Full."}\n\n'))
    with pytest.raises(Overloaded, match="Full"):
        list(client.ask("?", collection="c", filters={}))


def test_watching_a_job_outlives_broken_connections() -> None:
    answers = [
        stream_of(f"event: progress\ndata: {JOB}\n\n".encode()),
        httpx2.ReadTimeout("slow"),
        stream_of(f"event: done\ndata: {DONE}\n\n".encode()),
    ]

    def handler(request: httpx2.Request) -> httpx2.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    slept: list[float] = []
    states = [job["state"] for job in client_of(handler, slept=slept).watch_job("j")]
    assert states == ["running", "succeeded"]
    assert len(slept) == 2


def test_watching_gives_up_on_a_service_that_stays_away() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    slept: list[float] = []
    with pytest.raises(Unavailable):
        list(client_of(handler, slept=slept).watch_job("j"))
    assert len(slept) == RECONNECTS


def test_an_unknown_job_is_not_watched_again_and_again() -> None:
    calls: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.url.path)
        return httpx2.Response(404, json={"code": "not_found", "detail": "There is no job."})

    with pytest.raises(NotFound):
        list(client_of(handler).watch_job("j"))
    assert len(calls) == 1


@pytest.mark.parametrize("typed", ["..", "../../healthz", "a/b?c#d", "é"])
def test_an_id_stays_one_path_segment(typed: str) -> None:
    paths: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(200, json={})

    client_of(handler).page(typed)
    assert paths[0].startswith(b"/v1/pages/")
    assert paths[0].count(b"/") == 3
    assert b"?" not in paths[0]


def test_pages_are_fetched_until_the_limit() -> None:
    asked: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params.get("after", ""))
        return httpx2.Response(200, json={"pages": [{"url": "a"}], "next": "a" if len(asked) < 3 else None})

    assert len(client_of(handler).pages(collection="c", url_prefix=None, limit=2)) == 2
    assert asked == ["", "a"]
    assert len(client_of(handler).pages(collection="c", url_prefix=None, limit=9)) == 1


def test_fields_left_open_are_left_to_the_service() -> None:
    bodies: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.read())
        return httpx2.Response(202, json={"job_id": "7", "url": "/v1/jobs/7"})

    assert client_of(handler).ingest(["http://a/"], mode="page", max_pages=None) == "7"
    assert b"max_pages" not in bodies[0]


def test_a_dry_run_is_another_request() -> None:
    asked: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(202, json={"job_id": "7", "url": "/v1/jobs/7"})

    client = client_of(handler)
    client.ingest(["http://a/"], mode="page", dry_run=True)
    client.ingest(["http://a/"], mode="page")
    assert asked == ["/v1/ingest/preview", "/v1/ingest"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://127.0.0.9:1", True), ("http://[::1]", True), ("http://localhost:8000", True), ("https://rag.example", False)],
)
def test_is_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
