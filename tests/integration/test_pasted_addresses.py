"""A page is found by whatever address of it somebody pastes: by every endpoint, command and client method that takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client
from sqlalchemy import insert
from typer.testing import CliRunner

from corpus.errors import NotFound
from corpus.tables import AliasRow, JobRow, UrlRow
from footnote.api import AsyncFootnote, Footnote
from footnote.cli import app as command_line
from tests.running import Running, StartService
from tests.shelf import FETCHED_AT

STORE = "https://lamps.example/s/store"
GUIDE = "http://lamps.example:9301/guide/"
HOME = "https://lamps.example/"
UMLAUT = "https://lamps.example/d%C3%B6cht?wick=1"

# (pasted, the page it leads to)
SPELLINGS = [
    (STORE, STORE),
    (f"{STORE}#:~:text=The%20lamp%20store%20holds,wicks%2E", STORE),
    (f"{STORE}#section", STORE),
    (f"{STORE}#", STORE),
    ("HTTPS://LAMPS.EXAMPLE/s/store", STORE),
    ("https://lamps.example:443/s/store", STORE),
    ("https://lamps.example./s/store", STORE),
    ("https://lamps.example/s/./x/../store", STORE),
    ("https://lamps.example/%73/stor%65", STORE),
    ("https:\\\\lamps.example\\s\\store", STORE),
    (f"  {STORE}\n", STORE),
    (f"<{STORE}>", STORE),
    (f"{STORE}/", STORE),
    ("lamps.example/s/store", STORE),
    ("lamps.example/s/store#:~:text=lamp", STORE),
    ("//lamps.example/s/store", STORE),
    ("lamps.example:9301/guide/", GUIDE),
    ("http://lamps.example:9301/guide", GUIDE),
    ("https://lamps.example", HOME),
    ("lamps.example", HOME),
    ("https://lamps.example/döcht?wick=1", UMLAUT),
    ("https://lamps.example/d%c3%b6cht?wick=1#x", UMLAUT),
]
# (pasted, the page it leads to, as which other URL of it)
ALIASES = [
    ("https://lamps.example/old-store", STORE, ("https://lamps.example/old-store", "redirect")),
    ("HTTPS://lamps.example/old-store#part", STORE, ("https://lamps.example/old-store", "redirect")),
    ("lamps.example/old-store/", STORE, ("https://lamps.example/old-store", "redirect")),
    ("https://www.lamps.example/s/store?print=1", STORE, ("https://www.lamps.example/s/store?print=1", "duplicate")),
    ("https://lamps.example/canonical-guide#:~:text=a", GUIDE, ("https://lamps.example/canonical-guide", "canonical")),
]
UNKNOWN = [
    "https://lamps.example/S/store",
    "https://other.example/s/store",
    "https://lamps.example/s",
    "ftp://lamps.example/",
    "no page",
    "::",
    "%",
]


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service(llm={"engine": "none"}) as api:
        for url in (STORE, GUIDE, HOME, UMLAUT):
            api.pages[url] = api.put(url, f"The lamp store at {url} holds forty wicks.", title=url)
        api.inside(record(api))
        yield api


async def record(api: Running) -> None:
    """The pages' other URLs, and a job that visited pages and one of those."""
    collection = await api.service.pages.collection_id("default")
    async with api.service.database.write() as connection:
        for _, page, (url, kind) in {alias[2][0]: alias for alias in ALIASES}.values():
            row = {"collection_id": collection, "url": url, "page_id": api.pages[page], "kind": kind, "seen_at": FETCHED_AT}
            await connection.execute(insert(AliasRow).values(row))
        job = {"id": "crawl", "collection_id": collection, "spec": {}, "state": "succeeded", "cancel_requested": False}
        await connection.execute(insert(JobRow).values(**job, created_at=FETCHED_AT))
        for url, state in [*((page, "indexed") for page in api.pages), ("https://lamps.example/old-store", "skipped")]:
            values = {"job_id": "crawl", "url": url, "depth": 0, "state": state, "attempts": 1, "chunks": 1}
            await connection.execute(insert(UrlRow).values(**values, finished_at=FETCHED_AT))


def run(api: Running, *args: str) -> Any:
    return CliRunner().invoke(command_line, [*args, "--url", api.url], env={"COLUMNS": "300"})


@pytest.mark.parametrize(("pasted", "page"), SPELLINGS)
def test_every_spelling_leads_to_the_page(api: Running, pasted: str, page: str) -> None:
    found = api.http.get("/v1/pages", params={"url": pasted}).json()
    assert ([one["url"] for one in found["pages"]], found["next"], found["alias"]) == ([page], None, None)
    log = api.http.get("/v1/urls/log", params={"url": pasted}).json()
    assert (log["url"], [visit["state"] for visit in log["visits"]]) == (page, ["indexed"])


@pytest.mark.parametrize(("pasted", "page", "alias"), ALIASES)
def test_another_url_of_a_page_leads_to_it_and_is_named(api: Running, pasted: str, page: str, alias: tuple[str, str]) -> None:
    found = api.http.get("/v1/pages", params={"url": pasted}).json()
    assert [one["url"] for one in found["pages"]] == [page]
    assert (found["alias"]["url"], found["alias"]["kind"]) == alias
    log = api.http.get("/v1/urls/log", params={"url": pasted}).json()
    visited, state = (alias[0], "skipped") if "old-store" in pasted else (page, "indexed")  # else nobody visited the alias itself
    assert (log["url"], [visit["state"] for visit in log["visits"]]) == (visited, [state])
    shown = run(api, "pages", "show", pasted)
    assert (shown.exit_code, f"{alias[0]} is another URL of {page} ({alias[1]})" in shown.stderr) == (0, True)


@pytest.mark.parametrize("pasted", UNKNOWN)
def test_what_leads_nowhere_is_told_in_words(api: Running, pasted: str) -> None:
    assert api.http.get("/v1/pages", params={"url": pasted}).json() == {"pages": [], "next": None, "alias": None}
    assert api.http.get("/v1/urls/log", params={"url": pasted}).json() == {"url": pasted, "visits": [], "next": None}
    for command in (["pages", "show", pasted], ["delete", "--yes", pasted]):
        refused = run(api, *command)
        assert isinstance(refused.exception, NotFound)
        assert f"{pasted} is not indexed in the collection 'default'" in str(refused.exception)
    assert f"No job in the collection 'default' knows {pasted}." in run(api, "pages", "log", pasted).stderr


def test_other_collections_pages_are_not_found(api: Running) -> None:
    api.put("https://lamps.example/elsewhere", "Elsewhere.", collection="other")
    assert api.http.get("/v1/pages", params={"url": "lamps.example/elsewhere"}).json()["pages"] == []
    found = api.http.get("/v1/pages", params={"url": "lamps.example/elsewhere", "collection": "other"}).json()
    assert [page["url"] for page in found["pages"]] == ["https://lamps.example/elsewhere"]


def test_the_address_of_a_citation_is_found_by_every_command(api: Running) -> None:
    answer = api.http.post("/v1/ask", json={"question": f"How many wicks does the lamp store at {STORE} hold?"}).json()
    address = answer["citations"][0]["url"]
    assert "#:~:text=" in address
    page = answer["citations"][0]["page_id"]
    assert json.loads(run(api, "pages", "show", address, "--json").stdout)["id"] == page
    assert json.loads(run(api, "pages", "log", address, "--json").stdout)["visits"]
    with Footnote(base_url=api.url) as client:
        found = client.page_at(address)
        assert found is not None
        assert found["id"] == page
        assert client.page_at("https://lamps.example/none") is None


async def test_the_asynchronous_client_and_the_tools_find_it_too(api: Running) -> None:
    async with AsyncFootnote(base_url=api.url) as client:
        found = await client.page_at("LAMPS.example/old-store")
        assert found is not None
        assert found["id"] == api.pages[STORE]
    async with Client(f"{api.url}/mcp", read_timeout_seconds=60) as tools:
        for pasted in (f"HTTPS://lamps.example/s/store#:~:text={'x' * 3000}", "lamps.example/old-store"):
            read = await tools.call_tool("read_page", {"url": pasted})
            assert read.structured_content["page"]["url"] == STORE


def test_a_prefix_counts_however_it_is_spelled(api: Running) -> None:
    for prefix in ("https://lamps.example/s/", "HTTPS://Lamps.example:443/s/", "https://lamps.example/x/../s/"):
        assert [page["url"] for page in api.http.get("/v1/pages", params={"url_prefix": prefix}).json()["pages"]] == [STORE]
        hits = api.http.post("/v1/search", json={"query": "lamp store", "filters": {"url_prefix": prefix}}).json()["hits"]
        assert {hit["url"] for hit in hits} == {STORE}
    begun = api.http.get("/v1/pages", params={"url_prefix": "https://lamps.exam"}).json()["pages"]
    assert len(begun) == 3


def test_a_page_is_deleted_by_another_url_of_it(api: Running) -> None:
    gone = api.put("https://lamps.example/gone", "This lamp goes.", title="Gone")
    deleted = run(api, "delete", "--yes", "--json", "lamps.example/x/../gone#part")
    assert json.loads(deleted.stdout) == {"deleted": [{"id": gone, "url": "https://lamps.example/gone"}]}
    assert api.http.get(f"/v1/pages/{gone}").status_code == 404
