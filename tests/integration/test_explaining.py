"""POST /v1/ingest/explain over a real socket: one page, fetched as politely and as guarded as by a job, and none indexed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.companions import MAX_EXPLAINED
from ingest import explain
from tests.running import Running, StartService, until
from tests.scripted_site import FORBIDDEN_IP, PUBLIC_IP, Request, ScriptedSite, canary, page, redirect

TEXT = "Each pump moves ten litres a second, as long as the well holds water."
PUMP = (
    "<!doctype html><html lang=en><title>Pumps</title><nav><a href=/a>All our pumps</a> <a href=/b>All our wells</a></nav>"
    f"<main><h1>Pumps</h1><p>{TEXT}</p><p class=offer>Buy two of them, and pay for one.</p></main></html>"
).encode()


@pytest.fixture(scope="module")
def site() -> ScriptedSite:
    return ScriptedSite()


@pytest.fixture(scope="module")
def api(start_service: StartService, new_database: Callable[[], dict[str, str]], site: ScriptedSite) -> Iterator[Running]:
    with start_service(database=new_database(), ingest={"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0}) as api:
        api.inside(site.__aenter__())
        site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
        site.script("/pumps", page(PUMP))
        site.script("/private", page(PUMP))
        yield api
        api.inside(site.__aexit__(None, None, None))


def asked(api: Running, url: str, **selectors: Any) -> tuple[int, dict[str, Any]]:
    response = api.http.post("/v1/ingest/explain", json={"url": url, **selectors})
    return response.status_code, response.json()


def test_a_page_is_shown_with_all_that_is_left_out_and_where_it_stood(api: Running, site: ScriptedSite) -> None:
    code, body = asked(api, site.url("/pumps"), drop=[" .offer "])

    assert code == 200
    assert (body["title"], body["text"], body["drop"], body["keep"]) == ("Pumps", f"# Pumps\n\n{TEXT}", [".offer"], [])
    coverage = body["coverage"]
    offer = next(part for part in coverage["left_out"] if part["text"] == "Buy two of them, and pay for one.")
    assert (offer["words"], offer["link_words"], offer["at"]) == (8, 0, len(body["text"]))
    menu = next(part for part in coverage["left_out"] if "All our wells" in part["text"])
    assert (menu["words"], menu["link_words"], menu["at"]) == (6, 6, 0)
    assert coverage["share"] == pytest.approx(coverage["kept_words"] / coverage["visible_words"])
    assert coverage["prose_share"] == 1.0
    assert api.http.get("/v1/pages").json()["pages"] == []
    assert api.http.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/private", "robots_disallowed"), ("/elsewhere", "http_404"), ("/to-inside", "forbidden_address"), ("/to-private", "")],
)
def test_what_a_job_would_not_fetch_is_not_fetched_here_either(api: Running, site: ScriptedSite, path: str, reason: str) -> None:
    inside = canary()
    api.inside(inside.__aenter__())
    site.script("/to-inside", redirect(inside.url("/")))
    site.script("/to-private", redirect("/private"))

    code, body = asked(api, site.url(path))

    assert (code, body["code"]) == (422, "invalid_input")
    assert "can't be read" in body["detail"]
    assert not reason or body["details"]["reason"] == reason
    assert inside.connections == 0
    assert "/private" not in site.targets
    api.inside(inside.__aexit__(None, None, None))


@pytest.mark.parametrize("url", [f"http://{FORBIDDEN_IP}/", "http://169.254.169.254/latest/meta-data", "http://a.example:22/"])
def test_a_forbidden_address_is_refused(api: Running, url: str) -> None:
    code, body = asked(api, url)
    assert (code, body["details"]["reason"]) == (422, "forbidden_port" if ":22" in url else "forbidden_address")


def test_only_so_many_pages_are_read_at_once(api: Running, site: ScriptedSite) -> None:
    opened = asyncio.Event()

    async def waiting(request: Request, writer: asyncio.StreamWriter) -> None:
        await opened.wait()
        await page(PUMP)(request, writer)

    site.script("/slow", waiting)
    with ThreadPoolExecutor(MAX_EXPLAINED) as threads:
        slow = [threads.submit(asked, api, site.url("/slow")) for _ in range(MAX_EXPLAINED)]
        until(lambda: api.service.companions._explained == MAX_EXPLAINED)

        refused = api.http.post("/v1/ingest/explain", json={"url": site.url("/pumps")})
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0

        api.loop.call_soon_threadsafe(opened.set)
        assert [code for code, _ in (one.result() for one in slow)] == [200] * MAX_EXPLAINED
    assert asked(api, site.url("/pumps"))[0] == 200


def test_a_site_that_takes_too_long_is_given_up(api: Running, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "DEADLINE_S", 0.2)

    async def never(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    site.script("/never", never)
    code, body = asked(api, site.url("/never"))
    assert (code, body["details"]["reason"]) == (422, "timeout")
    assert "can't be read now" in body["detail"]


def test_without_anything_that_fetches_pages_it_says_so(start_service: StartService) -> None:
    with start_service() as service:
        service.service.companions._started.clear()  # as while an index is being switched
        refused = service.http.post("/v1/ingest/explain", json={"url": "https://a.example/"})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
