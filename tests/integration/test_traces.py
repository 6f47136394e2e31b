"""Traces of answers and of ingest, by OpenTelemetry's SDK and its exporter in memory."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.llm.openai_compatible import OpenAiModel
from corpus.errors import StartupError
from corpus.settings import LlmSettings, Settings
from corpus.spans import begin_span, span, trace_headers, trace_id
from footnote.logs import JsonFormatter
from footnote.tracing import recording, tracing
from tests.integration.test_limits import lines_of
from tests.running import Running, StartService, until

ROOT = Path(__file__).parents[2]
TOWER = "The tower is 330 metres tall and was finished in 1889."
ASK = {"question": "How tall is the tower?"}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service(answer={"abstain_below": 0.1}) as api:
        api.model.say(TOWER)
        api.put("https://a.example/tower", TOWER, title="Tower")
        yield api


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    with recording(SimpleSpanProcessor(exporter)):
        yield exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {one.name: one for one in exporter.get_finished_spans()}


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_s_stages_are_spans_of_the_request_that_the_caller_s_trace_leads_to(
    api: Running, spans: InMemorySpanExporter, streamed: bool
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    with lines_of("app.access", JsonFormatter()) as log:
        api.http.post("/v1/ask", json={**ASK, "stream": streamed}, headers=headers)
        until(lambda: log and "POST /v1/ask" in by_name(spans))
    found = by_name(spans)
    request = found["POST /v1/ask"]
    assert (request.kind, request.context.trace_id, request.parent.span_id) == (SpanKind.SERVER, int(TRACE, 16), int(PARENT, 16))
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/ask"
    assert request.attributes["footnote.request_id"] == "mine"
    assert request.attributes["footnote.answer"] == "grounded"
    for name in ("embed", "dense", "bm25", "lookup", "rerank", "evidence", "generate", "verify"):
        assert found[name].parent.span_id == request.context.span_id, name
        assert request.start_time <= found[name].start_time <= found[name].end_time <= request.end_time, name
    assert found["generate"].attributes["gen_ai.usage.output_tokens"] == len(TOWER.split())
    assert json.loads(log[0])["trace_id"] == TRACE
    assert request.resource.attributes["service.name"] == "footnote"
    everything = "".join(one.to_json() for one in spans.get_finished_spans())
    assert ASK["question"] not in everything  # nor what the pages say
    assert TOWER not in everything


def test_a_request_without_a_trace_begins_one_and_probes_have_none(api: Running, spans: InMemorySpanExporter) -> None:
    api.http.post("/v1/search", json={"query": "tower"}, headers={"traceparent": "nonsense"})
    for path in ("/healthz", "/readyz", "/metrics", "/"):
        api.http.get(path)
    api.http.get("/no/such/path")
    until(lambda: "GET unknown" in by_name(spans))
    found = by_name(spans)
    assert found["POST /v1/search"].parent is None
    assert found["rerank"].parent.span_id == found["POST /v1/search"].context.span_id
    assert [name for name in found if name.startswith("GET")] == ["GET unknown"]


def test_what_fails_is_marked_by_its_type_alone(api: Running, spans: InMemorySpanExporter) -> None:
    with patch.object(type(api.service.corpus.index.lexical), "search", side_effect=RuntimeError("a secret")):
        assert api.http.post("/v1/search", json={"query": "tower"}).status_code == 500
    until(lambda: "POST /v1/search" in by_name(spans))
    found = by_name(spans)
    assert found["bm25"].attributes["error.type"] == "RuntimeError"
    for name in ("bm25", "POST /v1/search"):
        assert found[name].status.status_code is StatusCode.ERROR
    assert "a secret" not in "".join(one.to_json() for one in found.values())


async def test_a_model_s_server_is_told_of_the_trace(spans: InMemorySpanExporter) -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers)
        return httpx2.Response(200, text='data: {"choices": [{"text": "Yes", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')

    settings = LlmSettings(engine="openai", base_url="http://127.0.0.1:1/v1", model="m")
    model = OpenAiModel(settings=settings, transport=httpx2.MockTransport(answer))
    with span("outer"):
        assert [piece.text async for piece in model.generate("?", max_tokens=5)] == ["Yes", ""]
    await model.close()
    outer = by_name(spans)["outer"]
    assert seen[0]["traceparent"].startswith(f"00-{outer.context.trace_id:032x}-{outer.context.span_id:016x}-")


def test_without_tracing_nothing_is_recorded_and_nothing_loaded() -> None:
    code = (
        "import sys; from footnote.embedded import EmbeddedService; from footnote.tracing import tracing;"
        "from corpus.settings import Settings\n"
        "with tracing(Settings()): print([name for name in sys.modules if name.startswith('opentelemetry.')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert (ran.returncode, [name for name in eval(ran.stdout) if ".sdk" in name or ".exporter" in name]) == (0, []), ran.stderr
    with span("unseen", a=1) as told:
        told(name="other")
        assert (trace_headers(), trace_id()) == ({}, None)
    begin_span("unseen")()


def test_tracing_without_the_extra_refuses_to_start_and_says_what_to_install(tmp_path: Path) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *rest, **more)

    with (
        patch("builtins.__import__", missing),
        pytest.raises(StartupError, match=r"footnote-rag\[otel\]"),
        tracing(Settings(data_dir=tmp_path, tracing=True)),
    ):
        pass


def test_spans_are_sent_to_the_collector_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "another-name")
        with tracing(Settings(data_dir=tmp_path, tracing=True)), span("a-span"):
            pass
        server.shutdown()
    [(path, body)] = received
    assert path == "/v1/traces"
    assert b"a-span" in body
    assert b"another-name" in body
