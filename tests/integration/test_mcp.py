"""The MCP server, through the SDK's own client: over streamable HTTP in both of its ways, and over stdio."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from corpus.settings import Settings
from tests.fakes import FakeModel
from tests.running import Running, StartService, until

TOWER = "The tower is 330 metres tall and was finished in 1889."
QUESTION = "How tall is the tower?"
READ_TOWER = {"name": "read_page", "arguments": {"url": "https://a.example/tower"}}
ROOT = Path(__file__).parents[2]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
JSON, STREAM = "application/json", "text/event-stream"


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service(answer={"max_question_chars": 500}) as api:
        api.pages["tower"] = api.put("https://a.example/tower", TOWER, title="Tower")
        api.pages["long"] = api.put("https://a.example/long", *["word " * 3000] * 3, title="Long", collection="long")
        yield api


@asynccontextmanager
async def connected(api: Running, way: str) -> AsyncIterator[Client]:
    if way == "stdio":
        environment = {"PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/")}
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "footnote", "--url", api.url, "mcp"], env=environment, cwd=ROOT
        )
        async with Client(command, read_timeout_seconds=60) as client:
            yield client
    elif way == "json":

        async def accept_json(request: httpx2.Request) -> None:
            request.headers["accept"] = JSON

        async with (
            httpx2.AsyncClient(event_hooks={"request": [accept_json]}, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(f"{api.url}/mcp", http_client=http), read_timeout_seconds=60) as client,
        ):
            yield client
    else:
        async with Client(f"{api.url}/mcp", mode=way, read_timeout_seconds=60) as client:
            yield client


@pytest.mark.parametrize("way", ["auto", "legacy", "json", "stdio"])
async def test_the_tools_answer_with_citations(api: Running, way: str) -> None:
    api.model.say(TOWER)
    async with connected(api, way) as client:
        assert "checked against the stored page" in (client.instructions or "")
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"ask", "search", "read_page", "ingest"}
        assert all(tool.description and tool.output_schema for tool in tools.values())
        assert (tools["ask"].annotations.read_only_hint, tools["ingest"].annotations.read_only_hint) == (True, False)

        asked = await client.call_tool("ask", {"question": QUESTION})
        assert not asked.is_error
        answer = asked.structured_content
        same = api.http.post("/v1/ask", json={"question": QUESTION}).json()
        assert (answer["answer"], answer["citations"]) == (same["answer"], same["citations"])
        [citation] = answer["citations"]
        assert asked.content[0].text.splitlines() == [f"{TOWER} [1]", "", f"[1] Tower: “{TOWER}” {citation['url']}"]

        found = (await client.call_tool("search", {"query": "tower", "limit": 1})).structured_content
        assert [hit["page_id"] for hit in found["hits"]] == [api.pages["tower"]]

        page = (await client.call_tool("read_page", {"page_id": citation["page_id"]})).structured_content
        assert page["text"][citation["start"] : citation["end"]] == citation["quote"]
        assert page["page"]["content_hash"] == citation["content_hash"]

        taken = (await client.call_tool("ingest", {"urls": ["https://a.example/new"]})).structured_content
        job = api.http.get(taken["url"]).json()
        assert (job["state"], job["spec"]["urls"]) == ("queued", ["https://a.example/new"])
        api.http.post(f"{taken['url']}/cancel")


async def test_a_long_page_is_read_in_parts(api: Running) -> None:
    async with connected(api, "auto") as client:
        text, start = "", 0
        while start is not None:
            arguments = {"url": "https://a.example/long#:~:text=word", "collection": "long", "start": start}
            part = (await client.call_tool("read_page", arguments)).structured_content
            assert part["start"] == len(text)
            text, start = text + part["text"], part["next"]
    assert text == api.http.get(f"/v1/pages/{api.pages['long']}").json()["text"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("ask", {"question": "Why?", "collection": "unknown"}, "no collection 'unknown'"),
        ("ask", {"question": "x" * 501}, "at most 500"),
        ("ask", {"question": "   "}, "question"),
        ("search", {"query": "Why?", "limit": 0}, "limit"),
        ("search", {"query": "Why?", "url_prefix": "x" * 3000}, "url_prefix"),
        ("read_page", {}, "page_id or url"),
        ("read_page", {"page_id": "0" * 32}, "no page"),
        ("read_page", {"url": "https://a.example/none"}, "No page of"),
        ("ingest", {"urls": ["ftp://a.example/"]}, "http"),
        ("ingest", {"urls": []}, "urls"),
    ],
)
async def test_what_is_refused_is_told_in_words(api: Running, tool: str, arguments: dict[str, Any], said: str) -> None:
    async with connected(api, "auto") as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert said in result.content[0].text


async def test_a_failure_inside_tells_nothing_of_the_inside(api: Running) -> None:
    with patch.object(type(api.service.searcher), "search", side_effect=RuntimeError("secret detail")):
        async with connected(api, "auto") as client:
            result = await client.call_tool("search", {"query": "tower"})
    assert result.is_error
    assert "secret" not in str(result)


def post(api: Running, accept: Sequence[str], body: dict[str, Any], **headers: str) -> httpx2.Response:
    """A POST with these Accept headers and no other: httpx2 would send one of its own."""
    request = api.http.build_request("POST", "/mcp", json=body, headers=headers)
    del request.headers["accept"]
    request = httpx2.Request(
        "POST",
        request.url,
        headers=[*request.headers.multi_items(), *(("Accept", one) for one in accept)],
        content=request.content,
    )
    return api.http.send(request)


def result_of(response: httpx2.Response) -> dict[str, Any]:
    """What a response says, in either representation."""
    if response.headers["content-type"].startswith(STREAM):
        [line] = [line for line in response.text.splitlines() if line.startswith("data: {")]
        return dict(json.loads(line.removeprefix("data: "))["result"])
    assert response.headers["content-type"] == JSON
    return dict(response.json()["result"])


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["*"], JSON),
        (["application/*"], JSON),
        ([JSON], JSON),
        (["Application/JSON"], JSON),
        (["application/json; charset=utf-8"], JSON),
        ([f"{JSON}, {STREAM};q=0"], JSON),
        ([f"{JSON},{STREAM};Q=0.0"], JSON),
        ([f"{JSON};q=0.9, {STREAM};q=0.1"], JSON),
        (["text/html, application/xhtml+xml, */*;q=0.8"], JSON),
        ([f"{STREAM};q=0, */*"], JSON),
        ([STREAM], STREAM),
        (["TEXT/Event-Stream"], STREAM),
        (["text/*"], STREAM),
        ([f"{JSON};q=0, {STREAM}"], STREAM),
        ([f"{JSON};q=0, */*"], STREAM),
        ([f"{JSON}, {STREAM}"], STREAM),
        ([f"{STREAM},{JSON}"], STREAM),
        ([JSON, STREAM], STREAM),
    ],
)
def test_a_call_is_answered_in_what_the_client_accepts(api: Running, accept: list[str], answered: str) -> None:
    opened = post(api, accept, INITIALIZE)
    assert (opened.status_code, opened.headers["content-type"].partition(";")[0]) == (200, answered)
    assert result_of(opened)["serverInfo"]["name"] == "footnote"
    called = post(api, accept, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": READ_TOWER})
    assert called.headers["content-type"].partition(";")[0] == answered
    assert result_of(called)["structuredContent"]["text"] == TOWER
    assert post(api, accept, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0, {STREAM};q=0", "*/*;q=0", "image/*, application/xml"])
def test_a_client_that_accepts_neither_is_told_what_to_accept(api: Running, accept: str) -> None:
    refused = post(api, [accept], INITIALIZE)
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert JSON in refused.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "status"), [([], 200), (["*/*"], 200), ([STREAM], 200), ([JSON], 406), ([f"{STREAM};q=0"], 406)]
)
def test_listening_takes_an_event_stream(api: Running, accept: list[str], status: int) -> None:
    headers = [("Host", "127.0.0.1"), *(("Accept", one) for one in accept)]
    response = api.http.send(httpx2.Request("GET", f"{api.url}/mcp", headers=headers), stream=True)
    try:
        assert response.status_code == status
        assert response.is_error or response.headers["content-type"].startswith(STREAM)
    finally:
        response.close()


@pytest.mark.parametrize("accept", [JSON, "text/html", "*/*"])
def test_there_is_no_session_to_delete(api: Running, accept: str) -> None:
    assert api.http.delete("/mcp", headers={"accept": accept}).status_code == 405


def test_curl_needs_no_header_of_its_own(api: Running) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl isn't installed")
    for accept in ([], ["-H", "Accept:"]):  # its default is */*; an empty one removes the header
        command = [curl, "-sS", "--max-time", "60", "-H", f"Content-Type: {JSON}", *accept, "-d", json.dumps(INITIALIZE)]
        said = subprocess.run([*command, f"{api.url}/mcp"], check=True, capture_output=True, text=True).stdout
        assert json.loads(said)["result"]["serverInfo"]["name"] == "footnote"


def test_a_client_that_hangs_up_on_json_frees_the_model(api: Running) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    call = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "ask", "arguments": {"question": QUESTION}}}
    with patch.object(api.service.answerer, "_model", hanging):
        with pytest.raises(httpx2.ReadTimeout):
            api.http.post("/mcp", json=call, headers={"accept": JSON}, timeout=2)
        until(lambda: hanging.running == 0)


@pytest.mark.parametrize("way", ["auto", "legacy"])
async def test_a_client_that_gives_up_frees_the_model(api: Running, way: str) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    with patch.object(api.service.answerer, "_model", hanging):
        async with connected(api, way) as client:
            asking = asyncio.create_task(client.call_tool("ask", {"question": QUESTION}))
            await asyncio.to_thread(until, lambda: hanging.running == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await asyncio.to_thread(until, lambda: hanging.running == 0)


def test_a_web_page_of_another_origin_gets_nothing(api: Running) -> None:
    """DNS rebinding by the Host, a stranger's page by the Origin: for /mcp as for all else."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    for path, body in (("/mcp", call), ("/v1/search", {"query": "tower"})):
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", api.url.replace("http://", "http://evil.example@")):
            refused = api.http.post(path, json=body, headers=accept | {"origin": origin})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden_origin")
        assert api.http.post(path, json=body, headers=accept | {"host": "evil.example"}).status_code == 400
        assert api.http.post(path, json=body, headers=accept | {"origin": api.url}).status_code == 200


def test_origins_that_are_named_may(settings: Settings) -> None:
    from app.main import create_app

    server = settings.server.model_copy(update={"allowed_origins": ["https://wiki.example"]})
    app = create_app(settings.model_copy(update={"server": server}))

    async def ask(origin: str) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
            return await http.get("/healthz", headers={"origin": origin})

    allowed = asyncio.run(ask("https://wiki.example"))
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://wiki.example")
    assert asyncio.run(ask("https://evil.example")).status_code == 403
