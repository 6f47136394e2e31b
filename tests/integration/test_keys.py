"""API keys over a real socket: who may do what, in which collections, how often, and until when."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import openai
import pytest
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import insert, update
from typer.testing import CliRunner

from app.callers import is_open
from app.main import create_app
from app.rate_limits import RateLimiter
from app.state import Readiness
from corpus.database import Database, sqlite_url, utc_now
from corpus.errors import InvalidInput, NotFound, StartupError, Unavailable
from corpus.keys import Keys, Scope
from corpus.settings import Settings
from corpus.tables import JobRow, UrlRow
from footnote.cli import app as command_line
from tests.fakes import FakeEmbedder, FakeModel
from tests.postgres import PostgresServer
from tests.running import Running, running, until
from tests.shelf import FETCHED_AT

RED, BLUE = "The red tower is 330 metres tall.", "The blue tower is 110 metres tall."
UNKNOWN = "0" * 32
ALL = frozenset(Scope)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, empty_queue: Path) -> Iterator[Running]:
    server = {"api_keys": "required", "requests_per_minute_per_address": 0, "requests_per_minute_per_key": 0}
    settings = Settings(data_dir=tmp_path_factory.mktemp("keys"), server=server)
    first = CliRunner().invoke(command_line, ["keys", "create", "first"], env={"FOOTNOTE_DATA_DIR": str(settings.data_dir)})
    assert first.exit_code == 0, first.stderr
    with running(settings, embedder=fake_embedder, queue=empty_queue) as api:
        for name, text in (("red", RED), ("blue", BLUE)):
            api.pages[name] = api.put(f"https://{name}.example/tower", text, title=name.title(), collection=name)
        yield api


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make(api: Running, *scopes: Scope, collections: set[str] | None = None, **facts: Any) -> str:
    made = api.inside(api.service.keys.create(name="test", scopes=scopes, collections=collections, **facts))
    return made[1]


@pytest.fixture(scope="module")
def admin(api: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=api.url, headers=bearer(make(api, Scope.ADMIN)), timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def tenant(api: Running) -> Iterator[httpx2.Client]:
    """Somebody who may do all but administer, in red alone."""
    token = make(api, Scope.QUERY, Scope.INGEST, collections={"red"})
    with httpx2.Client(base_url=api.url, headers=bearer(token), timeout=30) as client:
        yield client


# The keys themselves


@pytest.fixture
async def keys(tmp_path: Path) -> Any:
    async with Database(url=sqlite_url(tmp_path / "keys.sqlite")) as database:
        await database.migrate()
        yield Keys(database=database)


async def test_a_key_is_found_by_its_words_until_it_is_revoked(keys: Keys, tmp_path: Path) -> None:
    assert not await keys.any_holds()
    key, token = await keys.create(name=" laptop ", scopes=[Scope.QUERY], collections=["red"])
    assert (key.name, key.scopes, key.collections) == ("laptop", {Scope.QUERY}, {"red"})
    assert token.startswith(f"fn_{key.id}_")
    assert await keys.find(token) == key
    assert await keys.any_holds()
    assert await keys.list() == [key]
    other = (await keys.create(name="other", scopes=[Scope.ADMIN]))[1]
    mixed = f"fn_{key.id}_{other.rpartition('_')[2]}"
    for wrong in ("", "fn_", token[:-1], token + "a", token.upper(), mixed, f"fn_{'a' * 8}_{'a' * 52}", "\ud800", f" {token}"):
        assert await keys.find(wrong) is None, wrong
    revoked = await keys.revoke(key.id)
    assert revoked.revoked_at is not None
    assert (await keys.revoke(key.id)).revoked_at == revoked.revoked_at
    assert await keys.find(token) is None
    with pytest.raises(NotFound, match="keys list"):
        await keys.revoke("unknown")
    stored = b"".join([(tmp_path / f"keys.sqlite{suffix}").read_bytes() for suffix in ("", "-wal")])
    assert key.id.encode() in stored
    assert token.rpartition("_")[2].encode() not in stored


async def test_a_key_expires(keys: Keys) -> None:
    soon = utc_now() + timedelta(hours=1)
    key, token = await keys.create(name="short", scopes=[Scope.QUERY], expires_at=soon)
    assert await keys.find(token) == key
    with patch("corpus.keys.utc_now", return_value=soon):
        assert await keys.find(token) is None
        assert not await keys.any_holds()


async def test_secrets_are_compared_in_constant_time_also_for_ids_that_are_none(keys: Keys) -> None:
    _, token = await keys.create(name="one", scopes=[Scope.QUERY])
    for asked in (token, f"fn_{'a' * 8}_{'a' * 52}"):
        with patch("corpus.keys.hmac.compare_digest", return_value=False) as compared:
            assert await keys.find(asked) is None
        compared.assert_called_once()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "  "},
        {"name": "x" * 101},
        {"scopes": []},
        {"collections": []},
        {"collections": ["../etc"]},
        {"collections": ["red"], "scopes": [Scope.ADMIN]},
        {"expires_at": utc_now()},
    ],
)
async def test_keys_that_make_no_sense_are_refused(keys: Keys, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await keys.create(**({"name": "x", "scopes": [Scope.QUERY]} | wrong))
    assert await keys.list() == []


# Without a key


def operations(api: Running) -> Iterator[tuple[str, str]]:
    for path, methods in api.http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{", "").replace("}", "")


@pytest.mark.parametrize("shown", [None, "Bearer", "Bearer wrong", f"Bearer fn_{'a' * 8}_{'a' * 52}", "Basic YTpi", "fn_x"])
def test_without_a_key_that_holds_nothing_is_told(api: Running, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    refused = 0
    for method, path in [*operations(api), ("POST", "/mcp"), ("GET", "/no/such/path"), ("GET", "/webs"), ("GET", "//v1/pages")]:
        response = api.http.request(method, path, headers=headers)
        if is_open(path):
            assert response.status_code == 200, path
            continue
        assert response.status_code == 401, f"{method} {path}"
        assert response.headers["www-authenticate"].startswith('Bearer realm="footnote"')
        assert ("invalid_token" in response.headers["www-authenticate"]) is (shown is not None)
        refused += 1
    assert refused > 25


def test_what_is_open_tells_nothing_of_the_pages(api: Running) -> None:
    assert [api.http.get(path).status_code for path in ("/", "/healthz", "/readyz", "/openapi.json")] == [200] * 4
    with openai.OpenAI(base_url=f"{api.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"


# Scopes


NEEDED = {
    "/v1/ask": "query",
    "/v1/chat/completions": "query",
    "/v1/models": "query",
    "/v1/models/model": "query",
    "/v1/search": "query",
    "/v1/citations/check": "query",
    "GET /v1/pages": "query",
    "GET /v1/pages/page_id": "query",
    "DELETE /v1/pages/page_id": "ingest",
    "/v1/pages/page_id/log": "query",
    "/v1/urls/log": "query",
    "GET /v1/collections": "query",
    "POST /v1/collections": "ingest",
    "DELETE /v1/collections/name": "admin",
    "/metrics": "admin",
    "/v1/evaluations": "admin",
    "/v1/evaluations/evaluation_id": "admin",
    "POST /v1/feedback": "query",
    "/v1/verify": "admin",
    "/v1/reindex": "admin",
    "/v1/reindex/plan": "admin",
    "GET /v1/keys": "admin",
    "POST /v1/keys": "admin",
    "DELETE /v1/keys/key_id": "admin",
}
INGESTING = ("/v1/ingest", "/v1/jobs", "/v1/sources", "/v1/failures", "/v1/feedback")
BODIES: dict[str, Any] = {
    "/v1/ask": {"question": "Why?"},
    "/v1/chat/completions": {"model": "footnote", "messages": [{"role": "user", "content": "Why?"}]},
    "/v1/search": {"query": "Why?"},
    "/v1/citations/check": {
        "citations": [{"page_id": UNKNOWN, "content_hash": "0" * 64, "start": 0, "end": 5, "quote": "Quote"}]
    },
    "/v1/feedback": {"question": "Why?", "state": "abstained", "helpful": True},
    "/v1/verify": {"repair": False},
    "/v1/keys": {"name": "another"},
    "/v1/collections": {"name": "scoped"},
    "/v1/ingest": {"urls": ["https://scoped.example/"]},
    "/v1/ingest/preview": {"urls": ["https://scoped.example/"]},
    "/v1/sources/source_id/schedule": {"every": None},
}


def test_each_operation_needs_the_scope_that_is_named_for_it(api: Running) -> None:
    """And no other: the table above is whole, and a route that is new must be added to it."""
    tokens = {scope: make(api, scope) for scope in Scope}
    for method, path in operations(api):
        if is_open(path):
            continue
        needed = NEEDED.get(f"{method} {path}") or NEEDED.get(path) or ("ingest" if path.startswith(INGESTING) else None)
        assert needed, f"{method} {path} is not in the table of scopes"
        for scope, token in tokens.items():
            params = {"url": "https://a.example/"} if path == "/v1/urls/log" else {}
            response = api.http.request(method, path, json=BODIES.get(path), params=params, headers=bearer(token))
            expected = scope in (needed, "admin")
            assert (response.status_code not in (401, 403)) is expected, f"{scope} at {method} {path}: {response.text}"
            if not expected and not path.startswith(("/v1/chat", "/v1/models")):
                assert (response.json()["code"], needed in response.json()["detail"]) == ("forbidden", True)


# Collections


def test_a_tenant_finds_what_is_granted(api: Running, tenant: httpx2.Client) -> None:
    api.model.say(RED)
    answer = tenant.post("/v1/ask", json={"question": "How tall is the red tower?", "collection": "red"}).json()
    assert [citation["quote"] for citation in answer["citations"]] == [RED]
    assert [c["name"] for c in tenant.get("/v1/collections").json()["collections"]] == ["red"]
    assert [model["id"] for model in tenant.get("/v1/models").json()["data"]] == ["footnote/red"]
    assert tenant.get(f"/v1/pages/{api.pages['red']}").status_code == 200


@pytest.fixture(scope="module")
def blue(api: Running, admin: httpx2.Client) -> dict[str, str]:
    """What a stranger to blue must not come to: its page, a job that ended with a failure, its source."""
    job = admin.post("/v1/ingest", json={"urls": ["https://blue.example/"], "collection": "blue", "every": "1d"}).json()["job_id"]

    async def fail() -> None:
        async with api.service.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job).values(state="failed", started_at=FETCHED_AT))
            row = {"job_id": job, "url": "https://blue.example/", "depth": 0, "state": "failed", "reason": "timeout"}
            await connection.execute(insert(UrlRow).values(row))

    api.inside(fail())
    return {"page": api.pages["blue"], "job": job, "source": admin.get(f"/v1/jobs/{job}").json()["source_id"]}


def test_what_is_not_granted_can_not_be_told_from_what_is_not_there(
    api: Running, admin: httpx2.Client, tenant: httpx2.Client, blue: dict[str, str]
) -> None:
    def state() -> list[Any]:
        reads = [f"/v1/pages/{blue['page']}", f"/v1/jobs/{blue['job']}", f"/v1/sources/{blue['source']}", "/v1/collections"]
        return [admin.get(path).json() for path in [*reads, "/v1/pages?collection=blue", "/v1/jobs", "/v1/sources"]]

    def tried(name: str, page: str, job: str, source: str) -> list[tuple[int, str]]:
        spec = {"urls": ["https://blue.example/"], "collection": name}
        chat = {"model": f"footnote/{name}", "messages": [{"role": "user", "content": "How tall is the blue tower?"}]}
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/v1/ask", {"question": "How tall is the blue tower?", "collection": name}),
            ("POST", "/v1/ask", {"question": "How tall is the blue tower?", "collection": name, "stream": True}),
            ("POST", "/v1/search", {"query": "blue tower", "collection": name}),
            ("POST", "/v1/chat/completions", chat),
            ("GET", f"/v1/models/footnote/{name}", None),
            ("POST", "/v1/ingest", spec),
            ("POST", "/v1/ingest/preview", spec),
            ("POST", "/v1/collections", {"name": name}),
            ("GET", f"/v1/pages?collection={name}", None),
            ("GET", f"/v1/urls/log?collection={name}&url=https://blue.example/", None),
            ("GET", f"/v1/sources?collection={name}", None),
            ("GET", f"/v1/failures?collection={name}", None),
            ("GET", f"/v1/pages/{page}", None),
            ("GET", f"/v1/pages/{page}/log", None),
            ("DELETE", f"/v1/pages/{page}", None),
            ("GET", f"/v1/jobs/{job}", None),
            ("GET", f"/v1/jobs/{job}/urls", None),
            ("GET", f"/v1/jobs/{job}/events", None),
            ("POST", f"/v1/jobs/{job}/cancel", None),
            ("POST", f"/v1/jobs/{job}/pause", None),
            ("POST", f"/v1/jobs/{job}/resume", None),
            ("POST", f"/v1/jobs/{job}/retry", None),
            ("GET", f"/v1/sources/{source}", None),
            ("GET", f"/v1/sources?after={source}", None),
            ("POST", f"/v1/sources/{source}/run", None),
            ("PUT", f"/v1/sources/{source}/schedule", {"every": None}),
            ("DELETE", f"/v1/sources/{source}?pages=true", None),
        ]
        seen = []
        for method, path, body in requests:
            response = tenant.request(method, path, json=body)
            text = response.text
            for secret in (name, page, job, source):
                text = text.replace(secret, "…")
            seen.append((response.status_code, text))
        return seen

    before = state()
    real = tried("blue", blue["page"], blue["job"], blue["source"])
    assert {status for status, _ in real} == {404}
    assert real == tried("none", UNKNOWN, UNKNOWN[:-1], UNKNOWN[:-2])
    assert state() == before

    cited = {"page_id": blue["page"], "content_hash": before[0]["content_hash"], "start": 0, "end": len(BLUE), "quote": BLUE}
    check = {"citations": [cited]}
    assert admin.post("/v1/citations/check", json=check).json()["citations"][0]["state"] == "current"
    assert tenant.post("/v1/citations/check", json=check).json()["citations"][0] == {
        "state": "gone",
        "start": None,
        "end": None,
        "content_hash": None,
        "fetched_at": None,
    }


def test_lists_hold_what_is_granted_alone(admin: httpx2.Client, tenant: httpx2.Client, blue: dict[str, str]) -> None:
    own = tenant.post("/v1/ingest", json={"urls": ["https://red.example/"], "collection": "red"}).json()["job_id"]
    assert [job["id"] for job in tenant.get("/v1/jobs").json()["jobs"]] == [own]
    assert [source["collection"] for source in tenant.get("/v1/sources").json()["sources"]] == ["red"]
    assert tenant.get("/v1/failures").json()["failures"] == []
    assert blue["job"] in {failure["job_id"] for failure in admin.get("/v1/failures").json()["failures"]}
    assert tenant.post(f"/v1/jobs/{own}/cancel").status_code == 202


def test_a_tenant_deletes_what_is_granted_and_makes_what_is_named(api: Running, admin: httpx2.Client) -> None:
    with httpx2.Client(base_url=api.url, headers=bearer(make(api, *ALL - {Scope.ADMIN}, collections={"new"}))) as tenant:
        assert tenant.post("/v1/search", json={"query": "tower", "collection": "new"}).status_code == 404
        job = tenant.post("/v1/ingest", json={"urls": ["https://new.example/"], "collection": "new"})
        assert job.status_code == 202
        assert tenant.post(f"{job.json()['url']}/cancel").status_code == 202
        page = api.put("https://new.example/x", RED, collection="new")
        assert tenant.delete(f"/v1/pages/{page}").status_code == 204
        assert tenant.delete("/v1/collections/new").status_code == 403
    assert admin.delete("/v1/collections/new").status_code == 204


async def test_the_mcp_tools_know_scopes_and_collections(api: Running, blue: dict[str, str]) -> None:
    token = make(api, Scope.QUERY, collections={"red"})
    async with (
        httpx2.AsyncClient(headers=bearer(token), timeout=30) as http,
        McpClient(streamable_http_client(f"{api.url}/mcp", http_client=http)) as client,
    ):
        calls = [
            ("ask", {"question": "How tall is the red tower?", "collection": "red"}, None),
            ("read_page", {"page_id": api.pages["red"]}, None),
            ("ask", {"question": "How tall is the blue tower?", "collection": "blue"}, "no collection 'blue'"),
            ("search", {"query": "tower", "collection": "blue"}, "no collection 'blue'"),
            ("read_page", {"page_id": blue["page"]}, "no page"),
            ("read_page", {"url": "https://blue.example/tower", "collection": "blue"}, "no collection 'blue'"),
            ("ingest", {"urls": ["https://red.example/"], "collection": "red"}, "scope ingest"),
        ]
        for tool, arguments, refused in calls:
            result = await client.call_tool(tool, arguments)
            assert result.is_error is (refused is not None), (tool, arguments, result)
            assert refused is None or refused in result.content[0].text


# Revocation and the API of keys


def test_a_key_is_shown_once_and_revoked_at_once(api: Running, admin: httpx2.Client) -> None:
    body = {"name": "laptop", "scopes": ["query"], "collections": ["red"], "expires_at": "2099-01-01T00:00:00Z"}
    made = admin.post("/v1/keys", json=body)
    assert made.status_code == 201
    token = made.json()["key"]
    assert api.http.get("/v1/collections", headers=bearer(token)).status_code == 200
    [listed] = [key for key in admin.get("/v1/keys").json()["keys"] if key["id"] == made.json()["id"]]
    assert listed == {k: v for k, v in made.json().items() if k != "key"}
    assert (listed["expires_at"], listed["revoked_at"]) == ("2099-01-01T00:00:00Z", None)
    assert token not in admin.get("/v1/keys").text
    assert admin.delete(f"/v1/keys/{listed['id']}").json()["revoked_at"] is not None
    assert api.http.get("/v1/collections", headers=bearer(token)).status_code == 401
    assert admin.delete("/v1/keys/unknown").status_code == 404
    for wrong in ({"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"expires_at": "2099-01-01T00:00:00"}, {"collections": []}):
        assert admin.post("/v1/keys", json={"name": "x"} | wrong).status_code == 422, wrong
    assert "admin key is for all" in admin.post("/v1/keys", json=body | {"scopes": ["admin"]}).json()["detail"]


def test_the_command_line_makes_lists_and_revokes_keys(
    api: Running, admin: httpx2.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path / "new"))
    run = CliRunner().invoke
    assert "no API keys" in run(command_line, ["keys", "list"]).stderr
    made = run(command_line, ["keys", "create", "first", "--scope", "admin", "--expires", "90d"])
    assert made.exit_code == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("fn_")
    assert "isn't shown again" in made.stderr
    [listed] = json.loads(run(command_line, ["keys", "list", "--json"]).stdout)
    assert (listed["name"], listed["scopes"], listed["collections"]) == ("first", ["admin"], None)
    assert listed["expires_at"] > listed["created_at"]
    assert "first" in run(command_line, ["keys", "list"]).stdout
    assert "revoked" in run(command_line, ["keys", "revoke", listed["id"]]).stdout
    assert run(command_line, ["keys", "create", "x", "--expires", "soon"]).exit_code == 2
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700

    there = ["--url", api.url]
    refused = run(command_line, [*there, "collections"])
    assert "FOOTNOTE_API_KEY" in str(refused.exception)
    monkeypatch.setenv("FOOTNOTE_API_KEY", admin.headers["authorization"].removeprefix("Bearer "))
    made = run(command_line, [*there, "keys", "create", "second", "-c", "red", "--json"])
    second = json.loads(made.stdout)
    assert (second["scopes"], second["collections"]) == (["query"], ["red"])
    monkeypatch.setenv("FOOTNOTE_API_KEY", second["key"])
    assert "red" in run(command_line, [*there, "collections"]).stdout
    assert "scope admin" in str(run(command_line, [*there, "keys", "list"]).exception)


# Where keys are needed


def server_of(settings: Settings, **server: Any) -> Settings:
    return settings.model_copy(update={"server": settings.server.model_copy(update=server)})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "docs.example"])
async def test_others_can_reach_it_only_with_a_key(settings: Settings, fake_embedder: FakeEmbedder, host: str) -> None:
    async def started(settings: Settings) -> Readiness:
        readiness = Readiness()
        app = create_app(settings, readiness=readiness)
        with patch("corpus.opening.load_embedder", return_value=fake_embedder):
            async with app.router.lifespan_context(app):
                await readiness.settled.wait()
        return readiness

    readiness = await started(server_of(settings, host=host))
    assert isinstance(readiness.error, StartupError)
    assert f"FOOTNOTE_DATA_DIR={settings.data_dir} footnote keys create" in readiness.error.message
    assert not (settings.data_dir / "footnote.sqlite").exists()
    if host != "0.0.0.0":
        return
    ran = await asyncio.to_thread(
        CliRunner().invoke, command_line, ["keys", "create", "a"], env={"FOOTNOTE_DATA_DIR": str(settings.data_dir)}
    )
    assert ran.exit_code == 0
    assert (await started(server_of(settings, host=host))).error is None
    connection = sqlite3.connect(settings.data_dir / "footnote.sqlite")
    with connection:
        connection.execute("UPDATE api_keys SET revoked_at = '2026-01-01 00:00:00'")
    connection.close()
    assert isinstance((await started(server_of(settings, host=host))).error, StartupError)
    off = await started(server_of(settings, host=host, api_keys="off"))
    assert off.error is None
    assert any("no API keys" in lack for lack in off.degraded)
    # One lack doesn't hide another.
    assert any("as measured for all-MiniLM-L6-v2, not for bag-of-words" in lack for lack in off.degraded)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, empty_queue: Path) -> Iterator[Running]:
    """On loopback, as by default, but with small limits."""
    server = {"requests_per_minute_per_address": 5, "requests_per_minute_per_key": 3, "max_requests": 1}
    settings = Settings(data_dir=tmp_path_factory.mktemp("local"), server=server)
    with running(settings, embedder=fake_embedder, queue=empty_queue) as local:
        local.put("https://red.example/tower", RED, title="Red")
        yield local


def test_on_loopback_no_key_is_needed_and_a_wrong_one_is_wrong(local: Running) -> None:
    for headers in ({}, bearer("sk-whatever"), {"Authorization": "Basic YTpi"}):
        response = local.http.get("/v1/collections", headers=headers)
        assert response.status_code == 200
        assert "ratelimit" not in response.headers
    assert local.http.get("/v1/collections", headers=bearer("fn_wrong")).status_code == 401
    token = make(local, Scope.QUERY, collections={"none"})
    assert local.http.get("/v1/collections", headers=bearer(token)).json() == {"collections": []}


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_what_a_proxy_forwards_needs_a_key_and_is_limited_by_address(local: Running, header: str) -> None:
    through = {header: "203.0.113.7"}
    with patch("app.routes.gate._address", return_value=header):
        statuses = [local.http.get("/v1/collections", headers=through).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
    token = make(local, Scope.QUERY)
    with patch("app.routes.gate._address", return_value=f"{header} with a key"):
        assert local.http.get("/v1/collections", headers=through | bearer(token)).status_code == 200


def test_a_key_has_its_own_limit_and_is_told_of_it(local: Running) -> None:
    token, other = make(local, Scope.QUERY), make(local, Scope.QUERY)
    answers = [local.http.get("/v1/collections", headers=bearer(token)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    refused = answers[-1]
    assert refused.json()["code"] == "rate_limited"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert local.http.get("/v1/collections", headers=bearer(other)).status_code == 200
    client = openai.OpenAI(base_url=f"{local.url}/v1", api_key=token, max_retries=0)
    with client, pytest.raises(openai.RateLimitError):
        client.models.list()


async def test_a_limit_of_none_counts_nothing() -> None:
    assert await RateLimiter(policy="key", per_minute=0).count("a") is None


def test_more_requests_at_once_than_allowed_are_told_when_to_come_back(local: Running) -> None:
    hanging = FakeModel("One", hangs=True)
    with patch.object(local.service.answerer, "_model", hanging), httpx2.Client(base_url=local.url, timeout=30) as other:
        question = {"question": "How tall is the red tower?", "stream": True}
        with other.stream("POST", "/v1/ask", json=question) as response:
            lines = response.iter_lines()
            while "token" not in next(lines):
                pass
            refused = local.http.get("/v1/collections")
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
            assert local.http.get("/healthz").status_code == 200
        other.close()
        until(lambda: hanging.running == 0)
    until(lambda: local.http.get("/v1/collections").status_code == 200)


def test_an_old_database_has_no_keys(tmp_path: Path) -> None:
    from app.state import check_exposure
    from corpus.database import upgrade_schema

    upgrade_schema(sqlite_url(tmp_path / "footnote.sqlite", driver="sqlite"), "0002")
    with pytest.raises(StartupError):
        asyncio.run(check_exposure(Settings(data_dir=tmp_path, server={"host": "0.0.0.0"})))


def test_with_postgresql_the_keys_are_there(postgres: PostgresServer, tmp_path: Path) -> None:
    """Where every replica finds them."""
    from app.state import check_exposure

    url = postgres.fresh_database()
    settings = Settings(data_dir=tmp_path, server={"host": "0.0.0.0"}, database={"url": url})
    with pytest.raises(StartupError, match="there is none yet"):
        asyncio.run(check_exposure(settings))
    environment = {"FOOTNOTE_DATA_DIR": str(tmp_path), "FOOTNOTE_DATABASE__URL": url}
    made = CliRunner().invoke(command_line, ["keys", "create", "first", "--scope", "admin"], env=environment)
    assert made.exit_code == 0, made.stderr
    asyncio.run(check_exposure(settings))
    assert not (tmp_path / "footnote.sqlite").exists()


# What strangers are told, and what becomes of a stream whose key is gone


def test_a_stranger_learns_whether_it_is_ready_and_no_more(api: Running, admin: httpx2.Client) -> None:
    for headers in ({}, bearer("fn_wrong"), bearer("fn_" + "a" * 8 + "_" + "b" * 52)):
        told = api.http.get("/readyz", headers=headers)
        body = told.json()
        assert (told.status_code, body.pop("state"), body.pop("stage")) == (200, "ready", "ready")
        assert {name: value for name, value in body.items() if value} == {"version": body["version"]}
    for token in (make(api, Scope.QUERY), make(api, Scope.ADMIN)):
        body = api.http.get("/readyz", headers=bearer(token)).json()
        assert (body["embedder"], body["model"]["name"], body["pages"] > 1) == ("bag-of-words", "scripted", True)


def test_what_a_failed_start_stumbled_over_is_not_for_strangers(settings: Settings) -> None:
    async def ask(api_keys: str) -> dict[str, Any]:
        readiness = Readiness(state="failed", stage="no such folder: /home/somebody", degraded=["a lack"])
        app = create_app(server_of(settings, api_keys=api_keys), readiness=readiness)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
            response = await http.get("/readyz")
        assert response.status_code == 503
        return dict(response.json())

    assert "somebody" in asyncio.run(ask("auto"))["stage"]
    told = asyncio.run(ask("required"))
    assert (told["state"], told["stage"], told["degraded"]) == ("failed", "failed", [])


@pytest.mark.parametrize("path", ["/v1/ask", "job"])
def test_a_stream_ends_with_its_key(api: Running, admin: httpx2.Client, path: str) -> None:
    hanging = FakeModel("One", hangs=True)
    key, token = api.inside(api.service.keys.create(name="short", scopes=[Scope.QUERY, Scope.INGEST]))
    job = admin.post("/v1/ingest", json={"urls": ["https://red.example/"], "collection": "red"}).json()["job_id"]
    question = {"question": "How tall is the red tower?", "collection": "red", "stream": True}
    request = ("POST", path, question) if path == "/v1/ask" else ("GET", f"/v1/jobs/{job}/events", None)
    with (
        patch("app.routes.revocation.LOOK_EVERY_S", 0.05),
        patch.object(api.service.answerer, "_model", hanging),
        api.http.stream(request[0], request[1], json=request[2], headers=bearer(token)) as response,
    ):
        lines = response.iter_lines()
        assert next(lines).startswith("event: ")
        assert admin.delete(f"/v1/keys/{key.id}").status_code == 200
        rest = list(lines)
    assert rest[-3] == "event: error"
    problem = json.loads(rest[-2].removeprefix("data: "))
    assert (problem["code"], problem["status"]) == ("unauthorized", 401)
    until(lambda: hanging.running == 0)  # and nobody waits for what nobody may read
    admin.post(f"/v1/jobs/{job}/cancel")


def test_an_answer_that_is_not_there_yet_is_refused_with_its_key_gone(api: Running, admin: httpx2.Client) -> None:
    hanging = FakeModel("One", hangs=True)
    key, token = api.inside(api.service.keys.create(name="short", scopes=[Scope.QUERY]))

    async def ask() -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
            asking = asyncio.create_task(
                http.post("/v1/ask", json={"question": "How tall is the red tower?", "collection": "red"}, headers=bearer(token))
            )
            await asyncio.to_thread(until, lambda: hanging.running)
            await api.service.keys.revoke(key.id)
            return await asking

    with patch("app.routes.revocation.LOOK_EVERY_S", 0.05), patch.object(api.service.answerer, "_model", hanging):
        refused = api.inside(ask())
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    until(lambda: hanging.running == 0)


def test_a_database_that_is_away_for_a_while_ends_no_stream(api: Running) -> None:
    slow = FakeModel(RED, pause_s=0.05)
    looks = 0

    async def away(keys: Keys, token: str) -> Any:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise Unavailable("The database is away.")
        return await find(keys, token)

    find = Keys.find
    question = {"question": "How tall is the red tower?", "collection": "red", "stream": True}
    token = make(api, Scope.QUERY)
    with (
        patch.object(Keys, "find", away),
        patch("app.routes.revocation.LOOK_EVERY_S", 0.02),
        patch.object(api.service.answerer, "_model", slow),
    ):
        answer = api.http.post("/v1/ask", json=question, headers=bearer(token)).text
    assert "event: done" in answer
    assert looks > 2
