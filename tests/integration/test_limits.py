"""What every answer wears, and clients that don't send or don't read."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from app.request_id import request_id
from app.routes.envelope import DEFAULTS
from corpus.settings import Settings
from footnote.logs import OneLineFormatter
from tests.fakes import FakeEmbedder, FakeModel
from tests.running import Running, running, until

TOWER = "The tower is 330 metres tall and was finished in 1889."
ASK = {"question": "How tall is the tower?", "stream": True}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, empty_queue: Path) -> Iterator[Running]:
    server = {"receive_timeout_s": 1.5, "send_timeout_s": 1.5}
    settings = Settings(data_dir=tmp_path_factory.mktemp("limits"), server=server)
    with running(settings, embedder=fake_embedder, queue=empty_queue) as api:
        api.put("https://a.example/tower", TOWER, title="Tower")
        yield api


# What every answer wears


def test_every_answer_has_a_request_id_and_keeps_browsers_from_harm(api: Running) -> None:
    with patch.object(type(api.service.searcher), "search", side_effect=RuntimeError("secret detail")):
        failed = api.http.post("/v1/search", json={"query": "tower"})
    answers = [
        api.http.get("/healthz"),
        api.http.get("/"),
        api.http.get("/v1/pages"),
        api.http.post("/v1/ask", json=ASK),
        api.http.get("/no/such/path"),
        api.http.get("/v1/pages", headers={"host": "evil.example"}),
        api.http.get("/v1/pages", headers={"origin": "https://evil.example"}),
        api.http.get("/v1/pages", headers={"authorization": "Bearer fn_wrong"}),
        api.http.post("/v1/ask", content=b"{"),
        api.http.post("/v1/ask", content=b"x" * 2_000_000),
        api.http.post("/mcp", json={}),
        failed,
    ]
    assert [answer.status_code for answer in answers[-8:]] == [404, 400, 403, 401, 422, 413, 400, 500]
    ids = set()
    for answer in answers:
        ids.add(answer.headers["x-request-id"])
        for name in DEFAULTS:
            assert name in answer.headers, (answer.url, answer.status_code)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert len(ids) == len(answers)
    assert "script-src 'self'" in api.http.get("/").headers["content-security-policy"]  # the page's own
    assert api.http.get("/v1/pages").headers["cache-control"] == "no-store"


def test_a_request_id_that_was_given_is_kept_and_logged(api: Running) -> None:
    for given, kept in (
        ("abc-123_4.5", True),
        ("x" * 65, False),
        ("a b", False),
        ("é", False),
    ):
        answer = api.http.get("/v1/pages", headers={"x-request-id": given.encode("latin-1")})
        assert (answer.headers["x-request-id"] == given) is kept
        assert len(answer.headers["x-request-id"]) <= 64

    seen: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(OneLineFormatter().format(record))

    access, handler = logging.getLogger("app.access"), Watching()
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    try:
        secret = {"authorization": "Bearer not-ours-but-secret", "x-request-id": "mine"}
        api.http.post("/v1/search?hidden=query", json={"query": "a secret question"}, headers=secret)
        api.http.get("/healthz")
        until(lambda: seen)
    finally:
        access.removeHandler(handler)
    [line] = seen
    assert "INFO app.access [mine]: POST /v1/search 200 in " in line
    assert line.endswith("(127.0.0.1, key -)")
    assert "secret" not in line
    assert "hidden" not in line
    assert request_id.get() is None


# Slow clients


def connected(api: Running, *, receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(30)
    client.connect(("127.0.0.1", urlsplit(api.url).port))
    return client


HEAD = b"POST /v1/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/pa", HEAD, HEAD + b'Content-Length: 100\r\n\r\n{"question":'], ids=["nothing", "line", "head", "body"]
)
def test_a_request_that_never_comes_whole_is_given_up(api: Running, sent: bytes) -> None:
    with connected(api) as client:
        client.sendall(sent)
        assert client.recv(1000) == b""


def test_a_second_request_on_a_connection_must_come_whole_too(api: Running) -> None:
    with connected(api) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while b'{"status":"ok"}' not in answer:
            answer += client.recv(1000)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert client.recv(1000) == b""


def test_a_reader_that_stalls_is_left_and_the_model_is_free_again(api: Running) -> None:
    endless = FakeModel(" ".join(["x" * 20_000] * 1_000), slots=1, queue_limit=0)  # more than the kernel keeps for a reader
    body = json.dumps(ASK).encode()
    with (
        patch.object(api.service.answerer, "_model", endless),
        patch.object(api.service.answerer, "_llm", api.service.settings.llm.model_copy(update={"max_answer_tokens": 10**9})),
        connected(api, receive_buffer=4096) as client,
    ):
        client.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: endless.cancelled == 1)
        assert endless.running == 0
        rest = b""
        with suppress(ConnectionResetError):
            while received := client.recv(1_000_000):
                rest += received
        assert b"event: done" not in rest


def test_a_reader_that_reads_on_is_not_left(api: Running) -> None:
    slow = FakeModel(" ".join([TOWER] * 3), pause_s=0.1)
    with patch.object(api.service.answerer, "_model", slow), api.http.stream("POST", "/v1/ask", json=ASK) as response:
        assert "event: done" in list(response.iter_lines())


@pytest.mark.parametrize("path", ["/v1/ask", "jobs"])
def test_a_silent_stream_is_kept_alive(api: Running, path: str) -> None:
    hanging = FakeModel("One", hangs=True)
    job = api.http.post("/v1/ingest", json={"urls": ["https://a.example/"]}).json()["job_id"]
    request = ("POST", "/v1/ask", ASK) if path == "/v1/ask" else ("GET", f"/v1/jobs/{job}/events", None)
    with (
        patch.object(api.service.answerer, "_model", hanging),
        patch("app.routes.ask.KEEP_ALIVE_S", 0.05),
        patch("app.routes.jobs.KEEP_ALIVE_S", 0.05),
    ):
        with api.http.stream(request[0], request[1], json=request[2]) as response:
            lines = response.iter_lines()
            for _ in range(3):
                while next(lines) != ": working":
                    pass
        until(lambda: hanging.running == 0)
    api.http.post(f"/v1/jobs/{job}/cancel")
