"""Sites whose pages are elsewhere, behind a sign-in form, in frames, or said not to be there: what becomes of their URLs."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from corpus.model import IngestMode, JobState
from ingest.extract.html.refusals import Refusal
from tests.integration.test_aliases import aliases_of
from tests.integration.test_crawl import INDEXED, Ingest, article, html, ingest, parser, prose, script, site, sitemap
from tests.integration.test_fetch import Resolver, certificate
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page, redirect

__all__ = ["certificate", "ingest", "parser", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN_REQUIRED = ("failed", Refusal.LOGIN_REQUIRED)
SOFT_404 = ("failed", Refusal.SOFT_404)
MOVED = ("skipped", "redirected")
FORM = "<form method=post><input name=user><input type=password name=password><button>Go</button></form>"


def sign_in(head: str = "", *links: str) -> bytes:
    anchors = "".join(f"<a href='{link}'>{link}</a>" for link in links)
    body = f"<nav>{anchors}</nav><main><h1>Sign in</h1><p>Please sign in to read the harbour book.</p>{FORM}</main>"
    return f"<html lang=en><head><title>Sign in</title>{head}</head><body>{body}</body></html>".encode()


# Sign-in forms


async def test_pages_behind_a_sign_in_form_fail_by_that_name_and_nothing_is_indexed(ingest: Ingest, site: ScriptedSite) -> None:
    for path in ("/secret", "/secret2"):
        site.script(path, redirect(f"/login?next={path}"))
        site.script(f"/login?next={path}", page(sign_in()))
    ended = await ingest.run("/secret", "/secret2", mode=IngestMode.PAGE)
    assert ended.state is JobState.FAILED
    assert ended.outcomes == {"/secret": LOGIN_REQUIRED, "/secret2": LOGIN_REQUIRED}
    assert await ingest.pages() == []
    message = ended.rows["/secret"].message
    assert f"leads to a sign-in form, {site.url('/login?next=/secret')}" in message
    assert ended.rows["/secret"].http_status == 200


async def test_every_way_to_a_sign_in_form(ingest: Ingest, site: ScriptedSite) -> None:
    ways = ["/refresh", "/header", "/in-place", "/noindex", "/open", "/login"]
    script(site, {"/": ways, "/help": []})
    site.script("/refresh", page(b"<meta http-equiv=refresh content='0; url=/login?a'>"))
    site.script("/header", page(b"", refresh="0; url=/login?b"))
    site.script("/in-place", page(sign_in()))
    site.script("/noindex", redirect("/login?c"))
    site.script("/open", page(article("open", prose("open"))))
    site.script("/login", page(sign_in("", "/help")))
    for path in ("/login?a", "/login?b"):
        site.script(path, page(sign_in()))
    site.script("/login?c", page(sign_in("<meta name=robots content=noindex>")))
    ended = await ingest.run("/")
    assert ended.outcomes == {
        **dict.fromkeys(["/refresh", "/header", "/in-place", "/noindex"], LOGIN_REQUIRED),
        "/login": ("skipped", "sign_in_form"),
        **dict.fromkeys(["/", "/open", "/help"], INDEXED),
    }
    assert await ingest.pages() == ["/", "/help", "/open"]


async def test_a_redirect_to_sign_in_where_the_job_may_not_go(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /login", content_type="text/plain"))
    async with ScriptedSite() as other:
        script(site, {"/docs/": ["/docs/forbidden", "/docs/outside", "/docs/sso", "/docs/moved"]})
        site.script("/docs/forbidden", redirect("/login?next=/docs/forbidden"))
        site.script("/docs/outside", redirect("/accounts/login/"))
        site.script("/docs/sso", redirect(other.url("/oauth2/authorize?client_id=7")))
        site.script("/docs/moved", redirect("/elsewhere"))
        ended = await ingest.run("/docs/")
        assert other.connections == 0
    refused = dict.fromkeys(["/docs/forbidden", "/docs/outside", "/docs/sso"], LOGIN_REQUIRED)
    assert ended.outcomes == {"/docs/": INDEXED, "/docs/moved": MOVED, **refused}


@pytest.mark.parametrize(
    "later", [redirect("/login"), page(sign_in()), page(b"<title>Page not found</title><p>Sorry.</p>"), redirect("/sso?to=a")]
)
async def test_a_session_that_has_expired_removes_nothing(ingest: Ingest, site: ScriptedSite, later: object) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /sso", content_type="text/plain"))
    script(site, {"/": ["/a"]})
    site.script("/a", page(article("a", prose("a"))), later)  # type: ignore[arg-type]
    site.script("/login", page(sign_in("<meta name=robots content=noindex>")))
    await ingest.run("/")
    before = await ingest.generations()
    ended = await ingest.run("/")
    assert ended.outcomes["/a"] in (LOGIN_REQUIRED, SOFT_404)
    assert await ingest.pages() == ["/", "/a"]
    assert await ingest.generations() == before


async def test_a_page_about_signing_in_is_indexed(ingest: Ingest, site: ScriptedSite) -> None:
    body = f"<header>{FORM}</header><main><h1>How to sign in</h1><p>{prose('sign in')}</p></main>"
    site.script("/login", page(f"<html lang=en><title>How to sign in</title><body>{body}</body></html>".encode()))
    assert (await ingest.run("/login")).outcomes == {"/login": INDEXED}


async def test_a_dry_run_says_so_too(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/secret", redirect("/login?next=/secret"))
    site.script("/login?next=/secret", page(sign_in()))
    assert (await ingest.run("/secret", dry_run=True)).outcomes == {"/secret": LOGIN_REQUIRED}


# Pages that aren't there, though the status says so


async def test_pages_that_are_not_there_are_not_indexed(ingest: Ingest, site: ScriptedSite) -> None:
    missing = b"<html lang=en><title>Page not found | Harbour</title><main><h1>Page not found</h1><p>Sorry.</p></main>"
    script(site, {"/": ["/one", "/two", "/hidden", "/about"]})
    site.script("/one", page(missing))
    site.script("/two", redirect("/404"))
    site.script("/404", page(missing))
    site.script("/hidden", page(missing, x_robots_tag="noindex"))
    site.script("/about", page(article("404 Not Found", prose("about"))))
    ended = await ingest.run("/")
    assert ended.outcomes == {
        "/": INDEXED,
        "/one": SOFT_404,
        "/two": SOFT_404,
        "/hidden": ("skipped", "noindex"),
        "/about": INDEXED,
    }
    assert "Page not found" in ended.rows["/one"].message
    assert "/404" in ended.rows["/two"].message


# Frames


def frameset(*frames: str) -> bytes:
    inner = "".join(f"<frame src='{frame}'>" for frame in frames)
    notice = "<noframes>Your browser has no frames.</noframes>"
    return f"<html><head><title>Old manual</title></head><frameset cols='20%,80%'>{inner}{notice}</frameset></html>".encode()


async def test_a_crawl_goes_on_to_the_frames(ingest: Ingest, site: ScriptedSite) -> None:
    async with ScriptedSite() as other:
        site.script("/manual/", page(frameset("toc.html", "intro.html", "../outside.html", other.url("/x"))))
        script(site, {"/manual/toc.html": ["part.html"], "/manual/intro.html": [], "/manual/part.html": []})
        ended = await ingest.run("/manual/")
        assert other.connections == 0
    pages = ["/manual/intro.html", "/manual/part.html", "/manual/toc.html"]
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/manual/": ("skipped", "frameset"), **dict.fromkeys(pages, INDEXED)}
    assert "frames" in ended.rows["/manual/"].message


async def test_the_frames_of_a_page_that_was_given_or_listed_are_read_as_well(ingest: Ingest, site: ScriptedSite) -> None:
    async with ScriptedSite() as other:
        site.script("/manual/", page(frameset("inner.html", "toc.html", other.url("/x"))))
        site.script("/manual/inner.html", page(frameset("/manual/", "/intro.html")))
        script(site, {"/manual/toc.html": ["part.html"], "/intro.html": [], "/manual/part.html": []})
        site.script("/sitemap.xml", sitemap(site.url("/manual/")))
        for url, mode in (("/manual/", IngestMode.PAGE), ("/sitemap.xml", IngestMode.SITEMAP)):
            ended = await ingest.run(url, mode=mode)
            assert ended.state is JobState.SUCCEEDED
            assert ended.outcomes["/manual/"] == ended.outcomes["/manual/inner.html"] == ("skipped", "frameset")
            assert await ingest.pages() == ["/intro.html", "/manual/toc.html"]
        assert other.connections == 0


async def test_frames_within_frames_end(ingest: Ingest, site: ScriptedSite) -> None:
    for n in range(10):
        site.script(f"/{n}", page(frameset(f"/{n + 1}")))
    ended = await ingest.run("/0", mode=IngestMode.PAGE)
    assert list(ended.outcomes) == ["/0", "/1", "/2", "/3"]


async def test_a_page_that_becomes_a_frameset_goes(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(html("home")), page(frameset("/a")))
    script(site, {"/a": []})
    await ingest.run("/")
    await ingest.run("/")
    assert await ingest.pages() == ["/a"]


async def test_links_that_are_no_anchors_and_links_with_backslashes(ingest: Ingest, site: ScriptedSite) -> None:
    head = "<link rel=next href='next.html'>"
    body = "<iframe src=embedded.html></iframe><a href='\\docs\\back.html'>x</a><a href='sub\\deep.html'>y</a>"
    site.script("/docs/", page(f"<html lang=en>{head}<main><h1>Links</h1><p>{prose('links')}</p>{body}</main>".encode()))
    found = ["/docs/next.html", "/docs/embedded.html", "/docs/back.html", "/docs/sub/deep.html"]
    script(site, dict.fromkeys(found, ()))
    assert (await ingest.run("/docs/")).outcomes == dict.fromkeys(["/docs/", *found], INDEXED)


# Refresh and Link headers


async def test_a_refresh_header_is_read_as_the_element(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/empty", "/notice", "/long", "/slow", "/itself", "/both"], "/new": [], "/newer": []})
    site.script("/empty", page(b"", refresh="0;URL='/new'"))
    site.script("/notice", page(b"<p>You are being redirected.", refresh="3; url=new"))
    site.script("/long", page(article("long", prose("long")), refresh="0; url=/new"))
    site.script("/slow", page(article("slow", "A board of ships."), refresh="60; url=/new"))
    site.script("/itself", page(article("itself", "A board of boats."), refresh="5; url=/itself"))
    site.script("/both", page(b"<meta http-equiv=refresh content='0; url=/new'><p>Wait.", refresh="0; url=/newer"))
    ended = await ingest.run("/")
    assert ended.outcomes == {
        **dict.fromkeys(["/", "/long", "/slow", "/itself", "/new", "/newer"], INDEXED),
        **dict.fromkeys(["/empty", "/notice", "/both"], MOVED),
    }
    aliases = await aliases_of(ingest)
    assert (aliases["/both"], aliases["/empty"]) == (("redirect", "/newer"), ("redirect", "/new"))


async def test_an_empty_page_that_refreshes_itself_has_no_text(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(b"", refresh="5; url=/"))
    assert (await ingest.run("/")).outcomes == {"/": ("failed", "no_text")}


async def test_a_refresh_header_passes_the_checks_of_a_redirect(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /docs/private", content_type="text/plain"))
    async with ScriptedSite() as other:
        targets = {"/docs/a": other.url("/a"), "/docs/b": "/outside", "/docs/c": "private", "/docs/d": "http://127.0.0.3/"}
        script(site, {"/docs/": list(targets), "/outside": []})
        for path, target in targets.items():
            site.script(path, page(b"", refresh=f"0; url={target}"))
        ended = await ingest.run("/docs/")
        assert other.connections == 0
    assert ended.outcomes == {"/docs/": INDEXED, **dict.fromkeys(targets, MOVED)}


async def test_a_chain_of_refresh_headers_ends(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/a", page(b"", refresh="0; url=/b"))
    site.script("/b", page(b"", refresh="0; url=/a"))
    assert (await ingest.run("/a")).outcomes == {"/a": ("failed", "too_many_redirects")}


async def test_a_refresh_header_from_https_to_plain_http_is_not_followed(ingest: Ingest, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    async with ScriptedSite(name="site.test", ssl_context=server) as sealed, ScriptedSite(name="site.test") as plain:
        sealed.script("/", page(b"", refresh=f"0; url={plain.url('/')}"))
        job_id = await ingest.submit(sealed.url("/"), mode=IngestMode.PAGE)
        options = {"resolve": Resolver([PUBLIC_IP]), "ssl_context": trusting, "allow_private_hosts": ["site.test"]}
        assert (await ingest.work(job_id, **options)).outcomes == {sealed.url("/"): ("failed", "https_downgrade")}
        assert plain.connections == 0


async def test_a_chinese_page_that_refreshes_has_text_of_its_own(ingest: Ingest, site: ScriptedSite) -> None:
    text = "港口办公室早上七点开门，并按照到达的顺序让船只进入，正如大门旁边的牌子上所写的那样。" * 3
    site.script("/", page(f"<html lang=zh><main><h1>港口</h1><p>{text}</p></main>".encode(), refresh="5; url=/new"))
    assert (await ingest.run("/")).outcomes == {"/": INDEXED}


@pytest.mark.parametrize(
    "link",
    [
        '</text>; rel="canonical"',
        '<next>; rel=next, </text> ; title="a, b"; rel="alternate Canonical"',
        "</text>;rel=canonical;type=text/html",
    ],
)
async def test_a_link_header_names_the_canonical_page(ingest: Ingest, site: ScriptedSite, link: str) -> None:
    text = prose("text")
    site.script("/", page(html("home", "/text", "/copy.txt")))
    site.script("/text", page(article("A text", text)))
    site.script("/copy.txt", page(text.encode(), content_type="text/plain", link=link))
    ended = await ingest.run("/")
    assert ended.outcomes["/copy.txt"] == ("skipped", "canonical")


async def test_a_link_header_that_names_no_page_is_passed_over(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(html("home"), link="<http://[>; rel=canonical, <mailto:a@b>; rel=canonical, </x>; rel=shortlink, <"))
    assert (await ingest.run("/")).outcomes == {"/": INDEXED}
