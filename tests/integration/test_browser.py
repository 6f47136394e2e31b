"""Pages that scripts make, in a real Chromium, which must reach nothing but through our fetcher."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Error

from corpus.errors import PermanentError, StartupError
from corpus.settings import IngestSettings
from ingest.browser import _NAMES, Renderer, find_browser
from ingest.extract.pool import ParserPool
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.visit import Changed, Visitor
from tests.scripted_site import FORBIDDEN_IP, PUBLIC_IP, ScriptedSite, canary, page, redirect, stall
from tests.shelf import Shelf

pytestmark = pytest.mark.skipif(not any(map(shutil.which, _NAMES)), reason="no Chromium here (Debian: apt-get install chromium)")


def settings(**changed: object) -> IngestSettings:
    values = {"allow_private_hosts": [PUBLIC_IP], "delay_s": 0, "render": "when_empty", "browser_sandbox": False}
    values |= {"render_deadline_s": 200}  # on a machine that does much else besides
    return IngestSettings.model_validate(values | changed)


@asynccontextmanager
async def renderer(**changed: object) -> AsyncIterator[tuple[Renderer, Fetcher]]:
    given = settings(**changed)
    async with (
        Fetcher(settings=given) as fetcher,
        Renderer(fetcher=fetcher, robots=Robots(settings=given, fetcher=fetcher), settings=given) as rendering,
    ):
        yield rendering, fetcher


async def rendered(rendering: Renderer, fetcher: Fetcher, url: str) -> str:
    return (await rendering.render(await fetcher.fetch(url, accept="*/*"))).decode()


def scripted(script: str) -> bytes:
    return f"<!doctype html><title>App</title><div id=app></div><script>{script}</script>".encode()


FROM_DATA = "fetch('/data.json').then(r => r.json()).then(d => { app.innerHTML = '<p>' + d.text + '</p>'; });"


async def test_a_page_made_by_scripts_is_read_as_they_made_it() -> None:
    async with ScriptedSite() as site, renderer() as (rendering, fetcher):
        site.script("/", page(b"<!doctype html><div id=app></div><script src=/app.js></script>"))
        site.script("/app.js", page(FROM_DATA.encode(), content_type="text/javascript"))
        site.script("/data.json", page(b'{"text": "The valve opens at 4 bar."}', content_type="application/json"))
        html = await rendered(rendering, fetcher, site.url("/"))
    assert "<p>The valve opens at 4 bar.</p>" in html
    user_agents = {request.headers["user-agent"] for request in site.requests}
    assert len(user_agents) == 1, "the browser spoke for itself"
    assert site.targets.count("/") == 1, "the page was fetched again"


async def test_nothing_leads_a_browser_past_the_guard() -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        async with ScriptedSite() as site, canary() as forbidden, renderer() as (rendering, fetcher):
            udp.bind((FORBIDDEN_IP, 0))
            udp.setblocking(False)
            target = forbidden.url("/secret")
            stun = f"{FORBIDDEN_IP}:{udp.getsockname()[1]}"
            tricks = f"""
              const go = (f) => {{ try {{ f(); }} catch (e) {{}} }};
              go(() => fetch('{target}'));
              go(() => fetch('{target}', {{method: 'POST', mode: 'no-cors', body: 'x'}}));
              go(() => fetch('/hop'));
              go(() => new WebSocket('ws://{forbidden.authority}/ws'));
              go(() => navigator.sendBeacon('{target}', 'x'));
              go(() => new EventSource('{target}'));
              go(() => {{ new Image().src = '{target}'; }});
              go(() => {{ const f = document.createElement('iframe'); f.src = '{target}'; document.body.append(f); }});
              go(() => {{ const s = document.createElement('script'); s.src = '{target}'; document.body.append(s); }});
              go(() => window.open('{target}'));
              go(() => new Worker(URL.createObjectURL(new Blob(["fetch('{target}'); importScripts('{target}')"]))));
              const rels = ['prefetch', 'preconnect', 'dns-prefetch', 'preload', 'modulepreload', 'stylesheet'];
              go(() => {{ for (const rel of rels) {{
                const l = document.createElement('link');
                l.rel = rel; l.href = '{target}'; l.as = 'script'; document.head.append(l); }} }});
              go(() => {{ const p = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{stun}'}}]}});
                p.createDataChannel('x'); p.createOffer().then(o => p.setLocalDescription(o)); }});
              setTimeout(() => {{ app.innerHTML = '<p>done</p>'; }}, 300);
              setTimeout(() => {{ location.href = '{target}'; }}, 400);
            """
            site.script("/", page(scripted(tricks)))
            site.script("/hop", redirect(target))
            html = await rendered(rendering, fetcher, site.url("/"))
            await asyncio.sleep(0.3)  # for stragglers
            with pytest.raises(BlockingIOError):
                udp.recv(1)
    assert "<p>done</p>" in html, "the script did not even run"
    assert "/hop" in site.targets
    assert forbidden.connections == 0


async def test_robots_txt_holds_for_what_a_page_asks_for() -> None:
    async with ScriptedSite() as site, renderer() as (rendering, fetcher):
        site.script("/robots.txt", page(b"User-agent: *\nDisallow: /data.json", content_type="text/plain"))
        site.script("/", page(scripted(FROM_DATA)))
        site.script("/data.json", page(b'{"text": "not for robots"}', content_type="application/json"))
        html = await rendered(rendering, fetcher, site.url("/"))
    assert "not for robots" not in html
    assert "/data.json" not in site.targets


async def test_a_page_may_ask_for_so_much_and_no_more() -> None:
    async with ScriptedSite() as site, renderer(render_max_requests=5) as (rendering, fetcher):
        site.script("/", page(scripted("for (let i = 0; i < 50; i++) fetch('/x' + i);")))
        await rendered(rendering, fetcher, site.url("/"))
    assert len([target for target in site.targets if target.startswith("/x")]) == 5


async def test_a_page_that_never_ends_is_stopped_and_the_next_one_is_rendered() -> None:
    async with ScriptedSite() as site, renderer(render_deadline_s=6) as (rendering, fetcher):
        site.script("/hang", page(scripted("while (true) {}")))
        site.script("/slow", page(scripted("fetch('/never')")))
        site.script("/never", stall())
        site.script("/", page(scripted("app.innerHTML = '<p>well</p>'")))
        with pytest.raises(PermanentError) as caught:
            await rendered(rendering, fetcher, site.url("/hang"))
        assert caught.value.reason == "render_timeout"
        assert "App" in await rendered(rendering, fetcher, site.url("/slow"))  # what waits for ever is not waited for
        assert "<p>well</p>" in await rendered(rendering, fetcher, site.url("/"))


async def test_the_size_of_what_scripts_make_is_bounded() -> None:
    async with ScriptedSite() as site, renderer(max_body_bytes=100_000) as (rendering, fetcher):
        site.script("/", page(scripted("app.textContent = 'x'.repeat(200000)")))
        with pytest.raises(PermanentError) as caught:
            await rendered(rendering, fetcher, site.url("/"))
    assert caught.value.reason == "too_large"


def test_a_missing_browser_is_named_with_its_remedy() -> None:
    with pytest.raises(StartupError, match=r"apt-get install chromium"):
        find_browser("no-such-browser")


async def test_a_visit_renders_what_has_no_text_of_its_own(shelf: Shelf) -> None:
    async with ScriptedSite() as site, renderer() as (rendering, fetcher), ParserPool(timeout_s=20, memory_bytes=10**9) as parser:
        site.script("/", page(scripted("app.innerHTML = '<p>The valve opens at 4 bar.</p><a href=/next>on</a>'")))
        site.script("/plain", page(b"<p>Written by hand.</p><script>document.body.remove()</script>"))
        visitor = Visitor(
            fetcher=fetcher,
            robots=Robots(settings=settings(), fetcher=fetcher),
            parser=parser,
            tokenizer=shelf.corpus.embedder.tokenizer,
            index=shelf.corpus.settings.index,
            user_agent=settings().user_agent,
            renderer=rendering,
        )
        made = await visitor.visit(site.url("/"), collection_id=1, job_id="j", known=None, may_move_to=lambda url: True)
        written = await visitor.visit(site.url("/plain"), collection_id=1, job_id="j", known=None, may_move_to=lambda url: True)
    assert isinstance(made, Changed)
    assert "The valve opens at 4 bar." in made.page.page.text
    assert made.page.links == (site.url("/next"),)
    assert isinstance(written, Changed)
    assert "Written by hand." in written.page.page.text


async def test_the_browser_has_no_way_out_even_where_nothing_is_intercepted() -> None:
    async with canary() as forbidden, renderer() as (rendering, _):
        context = await (await rendering._running()).new_context()
        page_alone = await context.new_page()
        for url in (forbidden.url("/"), f"http://localhost:{forbidden.port}/", "http://example.com/"):
            with pytest.raises(Error, match="ERR_"):
                await page_alone.goto(url)
    assert forbidden.connections == 0
