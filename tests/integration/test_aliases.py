"""Several URLs for one text: canonical links, near-duplicates, redirects written in HTML. One is kept, and no text is lost."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from corpus.model import IngestMode, JobState, UrlKind, page_id
from corpus.pages import forget
from corpus.tables import AliasRow, JobRow, PageRow
from ingest import aliases
from ingest.aliases import Kept, Vanished
from ingest.duplicates import simhash
from ingest.frontier import FrontierUrl
from ingest.job import Job
from ingest.sheet import Sheet
from ingest.verdicts import judge
from ingest.visit import Changed
from tests.integration.test_crawl import (
    INDEXED,
    UNCHANGED,
    Ended,
    Ingest,
    Killed,
    article,
    html,
    ingest,
    parser,
    prose,
    script,
    site,
)
from tests.integration.test_fetch import Resolver, certificate
from tests.scripted_site import PUBLIC_IP, ScriptedSite, conditional, page, redirect, status

__all__ = ["certificate", "ingest", "parser", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANONICAL = ("skipped", "canonical")
DUPLICATE = ("skipped", "duplicate")


def canonical(url: str) -> str:
    return f"<link rel=canonical href='{url}'>"


async def run(ingest: Ingest, *urls: str, **options: Any) -> Ended:
    """One page at a time, so that it is known which one is seen first."""
    return await ingest.work(await ingest.submit(*urls, **options), concurrency=1)


async def aliases_of(ingest: Ingest) -> dict[str, tuple[str, str]]:
    """By path: the kind of alias, and the path of the page it stands for."""
    root = ingest.site.url("")
    async with ingest.shelf.database.read() as connection:
        statement = select(AliasRow.url, AliasRow.kind, PageRow.url.label("kept")).join(PageRow, PageRow.id == AliasRow.page_id)
        rows = (await connection.execute(statement)).all()
    return {row.url.removeprefix(root): (row.kind, row.kept.removeprefix(root)) for row in rows}


# Canonical links


@pytest.mark.parametrize("links", [["/guide", "/print"], ["/print", "/guide"], ["/print"]], ids=["before", "after", "unlinked"])
async def test_a_page_whose_canonical_page_holds_its_text_is_an_alias(
    ingest: Ingest, site: ScriptedSite, links: list[str]
) -> None:
    text = prose("guide")
    script(site, {"/": links})
    site.script("/guide", page(article("guide", text + " " + prose("more", 30))))
    site.script("/print", page(article("guide, to print", text, "/further", head=canonical("/guide"))))
    script(site, {"/further": []})
    ended = await run(ingest, "/")
    assert ended.outcomes == {"/": INDEXED, "/guide": INDEXED, "/print": CANONICAL, "/further": INDEXED}
    assert ended.rows["/print"].page_id == ended.rows["/guide"].page_id
    assert ended.rows["/print"].attempts == 0
    assert site.url("/guide") in ended.rows["/print"].message
    assert await ingest.pages() == ["/", "/further", "/guide"]
    assert await aliases_of(ingest) == {"/print": ("canonical", "/guide")}


async def test_no_page_gives_way_to_a_canonical_page_of_another_site(ingest: Ingest, site: ScriptedSite) -> None:
    text = prose("guide")
    async with ScriptedSite() as other:
        other.script("/guide", page(article("guide", text + " " + prose("more", 30))))
        site.script("/copy", page(article("copy", text, head=canonical(other.url("/guide")))))
        await run(ingest, other.url("/guide"), mode=IngestMode.PAGE)
        assert (await run(ingest, "/copy", mode=IngestMode.PAGE)).outcomes == {"/copy": INDEXED}


async def test_a_home_page_named_as_canonical_everywhere_costs_no_page(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(article("home", prose("home"), "/a", "/b", head=canonical("/"))))
    for name in ("/a", "/b"):
        site.script(name, page(article(name, prose(name), head=canonical("/"))))
    ended = await run(ingest, "/")
    assert ended.outcomes == dict.fromkeys(["/", "/a", "/b"], INDEXED)


@pytest.mark.parametrize(("same", "kept"), [(True, 1), (False, 2)])
async def test_of_pages_that_name_each_other_one_stays_or_both_if_they_differ(
    ingest: Ingest, site: ScriptedSite, same: bool, kept: int
) -> None:
    script(site, {"/": ["/a", "/b"]})
    site.script("/a", page(article("a", prose("one"), head=canonical("/b"))))
    site.script("/b", page(article("b", prose("one" if same else "two"), head=canonical("/a"))))
    ended = await run(ingest, "/")
    assert ended.state is JobState.SUCCEEDED
    assert sorted(ended.outcomes.values()) == sorted([INDEXED] + [INDEXED] * kept + [CANONICAL] * (2 - kept))
    assert len(await ingest.pages()) == 1 + kept


async def test_a_chain_of_canonical_links_ends_at_its_last_page(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a", "/b", "/c"]})
    text = prose("text")
    site.script("/a", page(article("a", text, head=canonical("/b"))))
    site.script("/b", page(article("b", text, head=canonical("/c"))))
    site.script("/c", page(article("c", text)))
    ended = await run(ingest, "/")
    assert ended.outcomes == {"/": INDEXED, "/a": CANONICAL, "/b": CANONICAL, "/c": INDEXED}
    assert await aliases_of(ingest) == {"/a": ("canonical", "/c"), "/b": ("canonical", "/c")}


async def test_canonical_links_to_where_the_job_may_not_go_are_not_heard(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    async with ScriptedSite() as other:
        targets = {"/docs/a": other.url("/a"), "/docs/b": "/outside", "/docs/c": "/docs/no", "/docs/d": "/private/d"}
        script(site, {"/docs/": list(targets), "/outside": [], "/docs/no": [], "/private/d": []})
        for path, target in targets.items():
            site.script(path, page(article(path, prose(path), head=canonical(target))))
        ended = await run(ingest, "/docs/", exclude=["*/no"])
        assert other.connections == 0
    assert ended.outcomes == dict.fromkeys(["/docs/", *targets], INDEXED)
    assert not {"/outside", "/docs/no", "/private/d"} & set(site.targets)


@pytest.mark.parametrize("answer", [status(404), status(503), page(html("secret", head="<meta name=robots content=noindex>"))])
async def test_a_page_whose_canonical_page_cannot_be_had_is_indexed_itself(
    ingest: Ingest, site: ScriptedSite, answer: Any
) -> None:
    script(site, {"/": ["/a"]})
    site.script("/a", page(article("a", prose("a"), head=canonical("/c"))))
    site.script("/c", answer)
    ended = await run(ingest, "/")
    assert ended.outcomes["/a"] == INDEXED
    assert ended.rows["/a"].attempts == 0
    assert await ingest.pages() == ["/", "/a"]


async def test_a_canonical_page_beyond_the_budget_is_not_waited_for(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a"]})
    site.script("/a", page(article("a", prose("a"), head=canonical("/c"))))
    site.script("/c", page(article("c", prose("a"))))
    ended = await run(ingest, "/", max_pages=2)
    assert ended.outcomes == {"/": INDEXED, "/a": INDEXED}
    assert "/c" not in site.targets


async def test_a_page_that_was_given_stands_for_itself_unless_its_canonical_page_is_there(
    ingest: Ingest, site: ScriptedSite
) -> None:
    site.script("/a", page(article("a", prose("a"), head=canonical("/c"))))
    site.script("/c", page(article("c", prose("a"))))
    assert (await run(ingest, "/a", mode=IngestMode.PAGE)).outcomes == {"/a": INDEXED}
    assert "/c" not in site.targets
    await ingest.shelf.pages.delete(page_id(ingest.shelf.collection, site.url("/a")))
    await run(ingest, "/c", mode=IngestMode.PAGE)
    ended = await run(ingest, "/a", mode=IngestMode.PAGE)
    assert ended.state is JobState.SUCCEEDED  # what it says is there
    assert ended.outcomes == {"/a": CANONICAL}


# Duplicates


async def test_pages_that_say_the_same_are_kept_once(ingest: Ingest, site: ScriptedSite) -> None:
    text = prose("long", 400)
    script(site, {"/": ["/first", "/second"]})
    site.script("/first", page(article("guide", text)))
    site.script("/second", page(article("guide", text.replace(" ", " also ", 1), "/further")))
    script(site, {"/further": []})
    ended = await run(ingest, "/")
    assert ended.outcomes == {"/": INDEXED, "/first": INDEXED, "/second": DUPLICATE, "/further": INDEXED}
    assert ended.rows["/second"].page_id == page_id(ingest.shelf.collection, site.url("/first"))
    assert await aliases_of(ingest) == {"/second": ("duplicate", "/first")}
    again = await run(ingest, "/")
    assert again.outcomes == {"/": UNCHANGED, "/first": UNCHANGED, "/second": DUPLICATE, "/further": UNCHANGED}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (prose("x", 400) + " since 3.11", prose("x", 400) + " since 3.12"),
        (prose("x", 400) + " people in Lisbon", prose("x", 400) + " people in Madrid"),
        (prose("x", 30), prose("x", 30).replace("a", "e", 1)),
        (prose("x", 400), prose("x", 360)),
    ],
    ids=["number", "name", "short", "less"],
)
async def test_pages_that_differ_in_what_they_say_are_both_kept(ingest: Ingest, site: ScriptedSite, one: str, two: str) -> None:
    script(site, {"/": ["/one", "/two"]})
    site.script("/one", page(article("guide", one)))
    site.script("/two", page(article("guide", two)))
    ended = await run(ingest, "/")
    assert ended.outcomes == dict.fromkeys(["/", "/one", "/two"], INDEXED)


async def test_a_page_is_no_duplicate_of_one_in_another_collection(ingest: Ingest, site: ScriptedSite) -> None:
    await ingest.shelf.pages.ensure_collection("other")
    site.script("/a", page(article("a", prose("a"))))
    site.script("/b", page(article("a", prose("a"))))
    await run(ingest, "/a", mode=IngestMode.PAGE)
    ended = await run(ingest, "/b", mode=IngestMode.PAGE, collection=await ingest.shelf.pages.collection_id("other"))
    assert ended.outcomes == {"/b": INDEXED}


async def test_a_page_that_comes_to_say_the_same_as_another_is_removed(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a", "/b"]})
    site.script("/a", page(article("a", prose("a"))))
    site.script("/b", page(article("b", prose("b"))), page(article("a", prose("a"))))
    await run(ingest, "/")
    assert await ingest.pages() == ["/", "/a", "/b"]
    ended = await run(ingest, "/")
    assert ended.outcomes == {"/": UNCHANGED, "/a": UNCHANGED, "/b": DUPLICATE}
    assert await ingest.pages() == ["/", "/a"]
    assert ingest.shelf.counts() == {(await ingest.shelf.pages.counts())["chunks"]}
    assert ended.removed == 0


@pytest.mark.parametrize("how", ["gone", "changed"])
async def test_a_duplicate_is_indexed_in_the_same_job_if_the_page_that_was_kept_goes(
    ingest: Ingest, site: ScriptedSite, how: str
) -> None:
    """The duplicate comes first and finds the old page live; then that one turns out to be gone, or to say something else."""
    copy = article("a", prose("a"))
    site.script("/", page(html("start", "/kept")), page(html("start", "/copy", "/kept")))
    site.script("/kept", page(copy), status(404) if how == "gone" else page(article("b", prose("b"))))
    site.script("/copy", page(copy))
    await run(ingest, "/")
    site.requests.clear()
    ended = await ingest.work(await ingest.submit("/"), concurrency=1)
    assert ended.outcomes["/copy"] == INDEXED
    assert site.targets.count("/copy") == 2  # it was a duplicate at first
    assert await ingest.pages() == ["/", "/copy"] if how == "gone" else ["/", "/copy", "/kept"]
    assert await aliases_of(ingest) == {}


async def test_a_duplicate_is_fetched_anew_and_indexed_once_the_page_that_was_kept_has_gone(
    ingest: Ingest, site: ScriptedSite
) -> None:
    script(site, {"/": ["/kept", "/copy"]})
    site.script("/kept", page(article("a", prose("a")), etag='"1"'))
    site.script("/copy", conditional(article("a", prose("a")), '"1"'))
    assert (await run(ingest, "/")).outcomes["/copy"] == DUPLICATE
    await ingest.shelf.pages.delete(page_id(ingest.shelf.collection, site.url("/kept")))
    site.script("/kept", status(404))
    ended = await run(ingest, "/")
    assert ended.outcomes["/copy"] == INDEXED
    assert all("if-none-match" not in request.headers for request in site.requests if request.target == "/copy")


async def test_two_jobs_cannot_each_drop_one_page_for_the_other(ingest: Ingest, site: ScriptedSite) -> None:
    shelf = ingest.shelf
    one = await shelf.put(site.url("/one"), prose("same"))
    two = await shelf.put(site.url("/two"), prose("same"))
    generations = await ingest.generations()
    collection = shelf.collection
    async with shelf.database.write() as connection:
        for_two = Kept(two, site.url("/two"), generations["/two"])
        own = await aliases.join(connection, collection_id=collection, url=site.url("/one"), kept=for_two)
        assert own == one
        await forget(connection, [own])
    for_one = Kept(one, site.url("/one"), generations["/one"])
    with pytest.raises(Vanished):
        async with shelf.database.write() as connection:
            await aliases.join(connection, collection_id=collection, url=site.url("/two"), kept=for_one)
    assert await ingest.pages() == ["/two"]


async def test_a_page_judged_a_duplicate_of_one_that_is_then_deleted_is_indexed(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = aliases.join
    joins = []

    async def raced(connection: Any, *, kept: Kept, **more: Any) -> Any:
        joins.append(kept.url)
        if len(joins) == 1:
            await forget(connection, [kept.page_id])
        return await join(connection, kept=kept, **more)

    monkeypatch.setattr(aliases, "join", raced)
    site.script("/kept", page(article("a", prose("a"))))
    site.script("/copy", page(article("a", prose("a"))))
    await run(ingest, "/kept", mode=IngestMode.PAGE)
    ended = await run(ingest, "/copy", mode=IngestMode.PAGE)
    assert joins == [site.url("/kept")]
    assert ended.outcomes == {"/copy": INDEXED}
    assert await ingest.pages() == ["/copy"]


async def test_a_job_killed_as_it_drops_a_page_drops_it_whole_or_not_at_all(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(site, {"/": ["/a", "/b"]})
    site.script("/a", page(article("a", prose("a"))))
    site.script("/b", page(article("b", prose("b"))), page(article("a", prose("a"))))
    await run(ingest, "/")
    job_id = await ingest.submit("/")
    joined = Sheet.join

    async def killed(self: Sheet, entry: Any, same: Any) -> None:
        await joined(self, entry, same)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Sheet, "join", killed)
        with pytest.raises(BaseExceptionGroup):
            await ingest.work(job_id)
    assert await ingest.pages() == ["/", "/a", "/b"]
    assert await aliases_of(ingest) == {}
    ended = await ingest.work(job_id)
    assert ended.outcomes == {"/": UNCHANGED, "/a": UNCHANGED, "/b": DUPLICATE}
    assert await ingest.pages() == ["/", "/a"]
    assert await aliases_of(ingest) == {"/b": ("duplicate", "/a")}


# Redirects


async def test_a_redirect_is_an_alias_of_where_it_leads(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/old"], "/new": []})
    site.script("/old", redirect("/new"))
    await run(ingest, "/")
    assert await aliases_of(ingest) == {"/old": ("redirect", "/new")}
    site.script("/old", page(html("a page again")))
    await run(ingest, "/")
    assert await aliases_of(ingest) == {}


def refresh(target: str, text: str = "You are being redirected.") -> bytes:
    head = f"<head><title>Moved</title><meta http-equiv=refresh content='0; url={target}'></head>"
    return f"<html lang=en>{head}<body><main><p>{text}</p></main></body></html>".encode()


async def test_a_page_that_only_refreshes_is_a_redirect(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/old", "/empty"], "/new": []})
    site.script("/old", page(refresh("/between")))
    site.script("/between", page(refresh("/new")))
    site.script("/empty", page(refresh("/new", "")))
    ended = await run(ingest, "/")
    moved = ("skipped", "redirected")
    assert ended.outcomes == {"/": INDEXED, "/old": moved, "/empty": moved, "/new": INDEXED}
    assert await ingest.pages() == ["/", "/new"]
    assert await aliases_of(ingest) == {"/old": ("redirect", "/new"), "/empty": ("redirect", "/new")}


async def test_a_page_with_text_of_its_own_is_indexed_though_it_refreshes(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(refresh("/new", prose("text"))))
    assert (await run(ingest, "/")).outcomes == {"/": INDEXED}
    assert "/new" not in site.targets


async def test_a_refresh_passes_the_checks_of_a_redirect(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    async with ScriptedSite() as other:
        targets = {"/docs/a": other.url("/a"), "/docs/b": "/outside", "/docs/c": "/private/c", "/docs/d": "ftp://a.example/"}
        targets |= {"/docs/e": "http://127.0.0.3/", "/docs/loop": "/docs/loop2"}
        script(site, {"/docs/": list(targets), "/outside": [], "/private/c": []})
        site.script("/docs/loop2", page(refresh("/docs/loop")))
        for path, target in targets.items():
            site.script(path, page(refresh(target)))
        ended = await run(ingest, "/docs/")
        assert other.connections == 0
    refused = {path: outcome for path, outcome in ended.outcomes.items() if path != "/docs/"}
    assert {
        path: outcome for path, outcome in refused.items() if path in ("/docs/a", "/docs/b", "/docs/c", "/docs/e")
    } == dict.fromkeys(["/docs/a", "/docs/b", "/docs/c", "/docs/e"], ("skipped", "redirected"))
    assert refused["/docs/loop"] == ("failed", "too_many_redirects")
    assert not {"/outside", "/private/c"} & set(site.targets)


async def test_a_refresh_from_https_to_plain_http_is_not_followed(ingest: Ingest, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    async with ScriptedSite(name="site.test", ssl_context=server) as sealed, ScriptedSite(name="site.test") as plain:
        sealed.script("/", page(refresh(plain.url("/"))))
        job_id = await ingest.submit(sealed.url("/"), mode=IngestMode.PAGE)
        options = {"resolve": Resolver([PUBLIC_IP]), "ssl_context": trusting, "allow_private_hosts": ["site.test"]}
        ended = await ingest.work(job_id, **options)
        assert ended.outcomes == {sealed.url("/"): ("failed", "https_downgrade")}
        assert plain.connections == 0


async def test_a_page_that_changes_keeps_the_urls_that_redirect_to_it(ingest: Ingest, site: ScriptedSite) -> None:
    text = prose("text")
    script(site, {"/": ["/new", "/old", "/copy"]})
    site.script("/old", redirect("/new"))
    site.script("/new", page(article("guide", text)))
    site.script("/copy", page(article("guide", text)))
    await run(ingest, "/")
    assert await aliases_of(ingest) == {"/old": ("redirect", "/new"), "/copy": ("duplicate", "/new")}
    site.script("/new", page(article("guide", prose("another"))))
    await run(ingest, "/new", mode=IngestMode.PAGE)
    assert await aliases_of(ingest) == {"/old": ("redirect", "/new")}


@pytest.mark.sqlite
async def test_twins_are_looked_up_by_index(ingest: Ingest) -> None:
    """Not by going through the pages of the collection, for each page that is new."""
    asked: list[tuple[str, Any]] = []

    def plans(connection: Connection) -> list[str]:
        new = replace(ingest.shelf.new_page("https://a.example/", prose("text")), simhash=(1, 2, 3, 4))
        event.listen(
            connection, "before_cursor_execute", lambda c, cursor, statement, values, *_: asked.append((statement, values))
        )
        aliases.twin_of(connection, new)
        found = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values) for statement, values in list(asked)]
        return [row[3] for rows in found for row in rows]

    steps = await ingest.shelf.database.snapshot(plans)
    assert [step.split(" (")[0] for step in steps] == [
        line
        for band in range(4)
        for line in (
            f"SEARCH generations USING INDEX ix_generations_simhash_{band}",
            "SEARCH pages USING INDEX sqlite_autoindex_pages_1",
        )
    ]


async def test_of_twins_that_are_read_together_the_first_is_kept(ingest: Ingest) -> None:
    job_id = await ingest.submit("/")
    async with ingest.shelf.database.read() as connection:
        job = Job.of((await connection.execute(select(JobRow).where(JobRow.id == job_id))).one())
    pages = []
    for seq, text in enumerate(("same", "other", "same")):
        new = ingest.shelf.new_page(f"https://a.example/{seq}", prose(text))
        entry = FrontierUrl(seq, job_id, new.url, 0, 0, False, None, UrlKind.PAGE)
        pages.append((entry, Changed(replace(new, simhash=simhash(new.page)))))
    verdicts = await ingest.shelf.database.snapshot(lambda connection: judge(connection, job=job, pages=pages))
    assert (verdicts.fresh, verdicts.settled, verdicts.repeated) == (pages[:2], [], pages[2:])
