"""What every answer wears, and clients that don't send or don't read."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx2
import pytest

from app.request_id import request_id
from app.routes.envelope import DEFAULTS
from corpus.keys import Scope
from corpus.settings import Settings
from footnote.logs import FORMATTERS, JsonFormatter, OneLineFormatter, StderrHandler
from footnote.redaction import Redaction
from tests.fakes import FakeModel
from tests.running import Running, StartService, until

TOWER = "The tower is 330 metres tall and was finished in 1889."
ASK = {"question": "How tall is the tower?", "stream": True}


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service(server={"receive_timeout_s": 1.5, "send_timeout_s": 1.5}) as api:
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
    ids = {"abc-123_4.5": True, "x" * 65: False, "a b": False, "é": False}
    with lines_of("app.access", OneLineFormatter()) as seen:
        for given, kept in ids.items():
            answer = api.http.get("/v1/pages", headers={"x-request-id": given.encode("latin-1")})
            assert (answer.headers["x-request-id"] == given) is kept
            assert len(answer.headers["x-request-id"]) <= 64
        last = f"[{answer.headers['x-request-id']}]"
        until(lambda: any(last in line for line in seen))  # an answer is logged once it has been sent

    with lines_of("app.access", OneLineFormatter()) as seen:
        secret = {"authorization": "Bearer not-ours-but-secret", "x-request-id": "mine"}
        api.http.post("/v1/search?hidden=query", json={"query": "a secret question"}, headers=secret)
        api.http.get("/healthz")
        until(lambda: seen)
    [line] = seen
    assert "INFO app.access [mine]: POST /v1/search 200 in " in line
    assert line.endswith("(127.0.0.1, key -)")
    assert "secret" not in line
    assert "hidden" not in line
    assert request_id.get() is None


@contextmanager
def lines_of(logger: str, formatter: logging.Formatter) -> Iterator[list[str]]:
    """What that logger's records look like in the log, in the order in which they come."""
    seen: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(formatter.format(record))

    watched, handler = logging.getLogger(logger), Watching()
    before = watched.level
    watched.addHandler(handler)
    watched.setLevel(logging.INFO)
    try:
        yield seen
    finally:
        watched.removeHandler(handler)
        watched.setLevel(before)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_s_line_tells_programs_who_asked_what_way_and_what_came_of_it(api: Running, streamed: bool) -> None:
    key, token = api.inside(api.service.keys.create(name="laptop", scopes=[Scope.QUERY]))
    asked = {"authorization": f"Bearer {token}", "x-request-id": "mine"}
    with lines_of("app.access", JsonFormatter()) as seen:
        api.http.post("/v1/ask", json={**ASK, "stream": streamed}, headers=asked)
        until(lambda: seen)
    assert token not in seen[0]
    line = json.loads(seen[0])
    assert line.pop("duration_ms") >= 0
    assert line.pop("confidence") > 0.5
    assert line.pop("time").endswith("Z")
    assert line.pop("message").startswith("POST /v1/ask 200 in ")
    assert line == {
        "level": "info",
        "logger": "app.access",
        "request_id": "mine",
        "method": "POST",
        "route": "/v1/ask",
        "path": "/v1/ask",
        "status": 200,
        "client": "127.0.0.1",
        "key": key.id,
        "answer": "quoted",
    }


def test_a_question_that_failed_says_so_in_its_line(api: Running) -> None:
    full = FakeModel("One", slots=1, queue_limit=0)

    async def busy() -> None:
        async with full.admission.slot(), httpx2.AsyncClient(base_url=api.url) as client:
            await client.post("/v1/ask", json={**ASK, "stream": True})

    with patch.object(api.service.answerer, "_model", full), lines_of("app.access", JsonFormatter()) as seen:
        api.inside(busy())
        until(lambda: seen)
    line = json.loads(seen[0])
    assert (line["status"], line["answer"], line["code"]) == (200, "failed", "overloaded")


@pytest.mark.parametrize("log_questions", [False, True])
def test_what_was_slow_is_told_with_its_stages_and_the_question_only_if_asked_for(api: Running, log_questions: bool) -> None:
    server = api.service.settings.server
    slow = api.service.settings.model_copy(
        update={"server": server.model_copy(update={"slow_query_ms": 1, "log_questions": log_questions})}
    )
    with patch.object(type(api.service), "within", lambda self, grants: replace(self, settings=slow)):
        for formatter in (JsonFormatter(), OneLineFormatter()):
            with lines_of("app.routes.asking", formatter) as seen:
                api.http.post("/v1/ask", json={"question": ASK["question"]})
                api.http.post("/v1/search", json={"query": ASK["question"]})
                until(lambda seen=seen: len(seen) == 2)
            for line in seen:
                assert (ASK["question"] in line) is log_questions
            if isinstance(formatter, JsonFormatter):
                answer, search = map(json.loads, seen)
                assert (answer["slow"], search["slow"], answer["level"]) == ("answer", "search", "warning")
                assert {"embed", "dense", "lexical", "evidence", "generation", "verification"} <= answer["stages_ms"].keys()
                assert {"embed", "dense", "lexical", "rerank"} <= search["stages_ms"].keys()
                assert answer["duration_ms"] > 1
    with lines_of("app.routes.asking", OneLineFormatter()) as seen:
        api.http.post("/v1/ask", json={"question": ASK["question"]})
    assert seen == []


SECRETS = {
    "llm": {"engine": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "api_key": "sk-model-server-key"},
    "database": {"url": "postgresql://footnote:db%40pass%2Fword@db.example/footnote"},
    "server": {"metrics_token": "prometheus-only"},
}
TOKEN = f"fn_{'a' * 8}_{'b' * 52}"


@pytest.mark.parametrize("format_", ["text", "json"])
def test_no_secret_is_in_the_log_not_even_in_an_exception(api: Running, format_: str, tmp_path: Path) -> None:
    """Whatever breaks may quote what it was given, as database drivers and HTTP clients do."""
    formatter = FORMATTERS[format_](redact=Redaction.of(Settings(data_dir=tmp_path, **SECRETS)))
    words = [
        "sk-model-server-key",
        "db%40pass%2Fword",
        "db@pass/word",
        "prometheus-only",
        "b" * 52,
        "site-password",
        "Basic dXNlcjpwYXNz",
        "eyJhbGciOiJIUzI1NiJ9",
    ]
    cause = ValueError(f"key sk-model-server-key, {SECRETS['database']['url']}, password 'db@pass/word', prometheus-only")
    broken = RuntimeError(
        "GET https://reader:site-password@h.example/a {'Authorization': 'Basic dXNlcjpwYXNz'} "
        f"{TOKEN} Bearer eyJhbGciOiJIUzI1NiJ9"
    )
    broken.__cause__ = cause
    with (
        patch.object(type(api.service.searcher), "search", side_effect=broken),
        lines_of("app.errors", formatter) as errors,
        lines_of("app.access", formatter) as access,
    ):
        failed = api.http.post("/v1/search", json={"query": "tower"}, headers={"authorization": f"Bearer {TOKEN}-not"})
        if failed.status_code == 401:
            failed = api.http.post("/v1/search", json={"query": "tower"})
        logging.getLogger("app.errors").warning(
            "also %s", "postgres://me:site-password@db/x", extra={"facts": {"at": str(cause)}}
        )
        until(lambda: errors and access)
    assert failed.status_code == 500
    written = "\n".join([*errors, *access])
    assert "RuntimeError" in written
    assert "ValueError" in written
    assert "h.example/a" in written  # what is no secret stays
    assert "fn_aaaaaaaa_…" in (json.loads(errors[0])["exception"] if format_ == "json" else written)
    assert [word for word in words if word in written] == []


def test_the_log_outlives_a_stderr_that_was_replaced_for_a_while(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As CliRunner does, whose stream is closed when the command has ended."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = StderrHandler()
    ours.setFormatter(OneLineFormatter())
    try:
        with redirect_stderr(io.StringIO()) as replaced:
            root.handlers = [ours]
            logging.getLogger("app").error("while it is replaced")
        replaced.close()
        logging.getLogger("app").error("and afterwards")
    finally:
        root.handlers, root.level = handlers, level
    written = capsys.readouterr().err
    assert "and afterwards" in written
    assert "Traceback" not in written


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
