"""Pages that a site no longer links or lists: when they go, and all that keeps them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from corpus.generations import GenerationWriter
from corpus.model import IngestMode, JobState
from corpus.tables import JobRow, PageRow, PageSourceRow
from ingest import vanished
from ingest.vanished import Delisting
from tests.integration.test_crawl import (
    INDEXED,
    UNCHANGED,
    Ended,
    Ingest,
    Killed,
    article,
    doing,
    html,
    ingest,
    parser,
    prose,
    script,
    site,
    sitemap,
    sitemap_index,
)
from tests.scripted_site import ScriptedSite, page, redirect, status

__all__ = ["ingest", "parser", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


def link(site: ScriptedSite, *targets: str) -> None:
    """Let the home page link to these and no others."""
    site.script("/", page(html("home", *targets)))


async def sources_of(ingest: Ingest) -> dict[str, int]:
    """By path: how many sources lead to the page."""
    async with ingest.shelf.database.read() as connection:
        joined = select(PageRow.url).join(PageSourceRow, PageSourceRow.page_id == PageRow.id)
        urls = [url.removeprefix(ingest.site.url("")) for url in (await connection.scalars(joined)).all()]
    return {url: urls.count(url) for url in urls}


# What goes


async def test_a_page_that_is_no_longer_linked_is_removed_at_the_end(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    assert await sources_of(ingest) == {"/": 1, "/a": 1, "/b": 1}
    link(site, "/a")
    site.requests.clear()
    ended = await ingest.run("/")
    assert ended.state is JobState.SUCCEEDED
    assert "/b" not in site.targets  # nobody asked for it
    assert await ingest.pages() == ["/", "/a"]
    assert (ended.removed, ended.notes) == (1, [])
    assert await sources_of(ingest) == {"/": 1, "/a": 1}
    assert ingest.shelf.counts() == {2}


async def test_a_page_that_is_no_longer_listed_is_removed_too(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    site.script("/sitemap.xml", sitemap(site.url("/a"), site.url("/b")), sitemap(site.url("/a")))
    await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert ended.outcomes["/a"] == UNCHANGED
    assert await ingest.pages() == ["/a"]
    assert ended.removed == 1


@pytest.mark.parametrize("answer", [status(404), page(html("b", head="<meta name=robots content=noindex>"))])
async def test_pages_that_are_gone_or_unwanted_are_counted_as_removed(ingest: Ingest, site: ScriptedSite, answer: Any) -> None:
    script(site, {"/b": []})
    link(site, "/b")
    await ingest.run("/")
    site.script("/b", answer)
    assert (await ingest.run("/")).removed == 1
    assert await sources_of(ingest) == {"/": 1}


async def test_a_page_that_moved_is_not_counted_as_removed(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/b": [], "/new": []})
    link(site, "/b")
    await ingest.run("/")
    site.script("/b", redirect("/new"))
    assert (await ingest.run("/")).removed == 0


# What keeps a page


async def test_a_page_that_another_source_leads_to_stays(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/given": [], "/listed": [], "/gone": []})
    link(site, "/given", "/listed", "/gone")
    site.script("/sitemap.xml", sitemap(site.url("/listed")))
    await ingest.run("/given", mode=IngestMode.PAGE)
    await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    await ingest.run("/")
    link(site)
    ended = await ingest.run("/")
    assert await ingest.pages() == ["/", "/given", "/listed"]
    assert ended.removed == 1
    assert await sources_of(ingest) == {"/": 1, "/given": 1, "/listed": 1}


async def test_pages_given_one_by_one_take_nothing_away(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    await ingest.run("/a", "/b", mode=IngestMode.PAGE)
    script(site, {"/old": [], "/new": []})
    site.script("/moved", redirect("/old"))
    await ingest.run("/a", "/moved", mode=IngestMode.PAGE)
    site.script("/moved", redirect("/new"))
    ended = await ingest.run("/a", "/moved", mode=IngestMode.PAGE)
    assert await ingest.pages() == ["/a", "/b", "/new", "/old"]
    assert ended.removed == 0


@pytest.mark.parametrize("answer", [status(503), status(429)])
async def test_nothing_goes_while_a_page_fails_that_may_not_another_time(ingest: Ingest, site: ScriptedSite, answer: Any) -> None:
    script(site, {"/a": [], "/b": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    link(site, "/a", "/new")
    site.script("/new", answer)
    ended = await ingest.run("/")
    assert ended.rows["/new"].transient
    assert await ingest.pages() == ["/", "/a", "/b"]
    site.script("/new", status(403))  # that one is for good
    ended = await ingest.run("/")
    assert not ended.rows["/new"].transient
    assert await ingest.pages() == ["/", "/a"]


async def test_a_page_that_fails_for_good_is_kept_and_still_leads_on(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/hub": ["/child"], "/child": [], "/private": ["/below"], "/below": []})
    link(site, "/hub", "/private")
    await ingest.run("/")
    site.script("/hub", status(403))
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    ended = await ingest.run("/")
    assert ended.outcomes["/child"] == UNCHANGED
    assert ended.outcomes["/below"] == UNCHANGED
    assert await ingest.pages() == ["/", "/below", "/child", "/hub", "/private"]


async def test_nothing_goes_when_the_budget_left_something_out(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": [], "/c": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    link(site, "/a", "/c")
    ended = await ingest.run("/", max_pages=2)
    assert await ingest.pages() == ["/", "/a", "/b"]
    assert len(ended.notes) == 1
    assert "budget of 2 pages" in ended.notes[0]
    ended = await ingest.run("/")
    assert await ingest.pages() == ["/", "/a", "/c"]
    assert ended.notes == []


async def test_a_job_that_goes_less_deep_judges_nothing_below_it(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": ["/deep"], "/deep": [], "/b": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    link(site, "/a")
    await ingest.run("/", max_depth=1)
    assert await ingest.pages() == ["/", "/a", "/b", "/deep"]
    await ingest.run("/")
    assert await ingest.pages() == ["/", "/a", "/deep"]


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        ("<urlset><url><loc>{0}/a</loc></url>\n<url><loc>{0}/q?b&c</loc></url></urlset>", "isn't well-formed (line 2)"),
        ("<urlset><url><loc>{0}/a</loc></url><url><loc>{0}/b", "isn't well-formed (line 1)"),
        ("<rss><channel><item><link>{0}/a</link></item></channel></rss>", "is a feed"),
        ("{0}/a\n{0}/a\nand /b", "has 1 lines that are no addresses"),
    ],
)
async def test_nothing_goes_when_a_sitemap_was_read_in_part(ingest: Ingest, site: ScriptedSite, broken: str, note: str) -> None:
    script(site, {"/a": [], "/b": [], "/q?b&c": []})
    site.script("/sitemap.xml", sitemap(site.url("/a"), site.url("/b")), page(broken.format(site.url("")).encode()))
    await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes["/a"] == UNCHANGED
    assert {"/a", "/b"} <= set(await ingest.pages())
    assert note in ended.notes[0]
    assert "not removed" in ended.notes[0]
    assert note in ended.rows["/sitemap.xml"].message


async def test_many_faulty_sitemaps_leave_few_notes(ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "MAX_NOTES", 2)
    script(site, {"/a": [], "/b": []})
    parts = [f"/{n}.xml" for n in range(4)]
    site.script("/sitemap.xml", sitemap_index(*map(site.url, parts)))
    for part in parts:
        site.script(part, page(f"<urlset><url><loc>{site.url('/a')}</loc></url>".encode()))
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert [site.url("/0.xml") in ended.notes[0], site.url("/1.xml") in ended.notes[1]] == [True, True]
    assert len(ended.notes) == 2


async def test_nothing_goes_when_a_sitemap_could_not_be_read(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    site.script("/sitemap.xml", sitemap_index(site.url("/1.xml"), site.url("/2.xml")))
    site.script("/1.xml", sitemap(site.url("/a")))
    site.script("/2.xml", sitemap(site.url("/b")), status(404), sitemap())
    await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert await ingest.pages() == ["/a", "/b"]
    assert "http_404" in ended.notes[0]
    await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert await ingest.pages() == ["/a"]


async def test_nothing_goes_when_a_job_is_cancelled(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    job_id = await ingest.submit("/")
    site.script("/", doing(lambda: ingest.cancel(job_id), page(html("home"))))
    ended = await ingest.work(job_id)
    assert ended.state is JobState.CANCELLED
    assert await ingest.pages() == ["/", "/a", "/b"]


async def test_a_copy_keeps_the_page_that_stands_for_it(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/kept": [], "/copy": []})
    for path in ("/kept", "/copy"):
        site.script(path, page(article("a", prose("a"))))
    link(site, "/kept", "/copy")
    ended = await ingest.work(await ingest.submit("/"), concurrency=1)
    assert ended.outcomes["/copy"] == ("skipped", "duplicate")
    link(site, "/copy")
    await ingest.run("/")
    assert await ingest.pages() == ["/", "/kept"]


async def test_what_led_to_a_page_that_is_dropped_leads_to_the_one_that_is_kept(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/copy", page(article("b", prose("b"))))
    site.script("/kept", page(article("a", prose("a"))))
    await ingest.run("/copy", mode=IngestMode.PAGE)
    link(site, "/kept", "/copy")
    await ingest.work(await ingest.submit("/"), concurrency=1)
    site.script("/copy", page(article("a", prose("a"))))
    ended = await ingest.run("/")
    assert ended.outcomes["/copy"] == ("skipped", "duplicate")
    assert await sources_of(ingest) == {"/": 1, "/kept": 2}


# The brake


async def test_where_most_of_a_source_would_go_nothing_does_until_it_is_confirmed(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "FEW_PAGES", 2)
    script(site, {f"/{n}": [] for n in range(6)})
    link(site, *(f"/{n}" for n in range(6)))
    await ingest.run("/")
    link(site, "/0", "/1")
    ended = await ingest.run("/")
    assert ended.state is JobState.SUCCEEDED
    assert len(await ingest.pages()) == 7
    assert (ended.removed, len(ended.notes)) == (0, 1)
    assert "4 of the 7 pages" in ended.notes[0]
    assert "prune" in ended.notes[0]
    ended = await ingest.run("/", prune=True)
    assert await ingest.pages() == ["/", "/0", "/1"]
    assert ended.removed == 4


async def test_a_few_pages_may_go_whatever_their_share(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    link(site, "/a", "/b")
    await ingest.run("/")
    link(site)
    assert (await ingest.run("/")).removed == 2


@pytest.mark.parametrize(("answer", "left"), [(status(403), 3), (status(404), 1)], ids=["403", "404"])
async def test_what_a_start_url_led_to_stays_while_it_cannot_be_read(
    ingest: Ingest, site: ScriptedSite, answer: Any, left: int
) -> None:
    script(site, {"/one/": [], "/two/home": ["/two/a"], "/two/a": []})
    site.script("/two/", redirect("/two/home"))
    await ingest.run("/one/", "/two/")
    site.script("/two/", answer)
    ended = await ingest.run("/one/", "/two/")
    assert ended.outcomes["/two/"][0] == "failed"
    assert len(await ingest.pages()) == left
    assert ["The start URL" in note for note in ended.notes] == ([True] if left == 3 else [])


# Interruptions and races


async def test_a_page_that_another_wrote_meanwhile_is_still_one_of_the_source(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(site, {"/": ["/a"], "/a": []})
    await ingest.run("/")
    write, raced = GenerationWriter._write, False

    async def raced_write(self: GenerationWriter, pending: Any, *options: Any) -> None:
        nonlocal raced
        await write(self, pending, *options)
        if not raced:
            raced = True
            await ingest.shelf.put(site.url("/a"), "Somebody else was quicker.")

    monkeypatch.setattr(GenerationWriter, "_write", raced_write)
    site.script("/a", page(html("another text")))
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": UNCHANGED, "/a": ("skipped", "superseded")}
    assert await ingest.pages() == ["/", "/a"]
    assert await sources_of(ingest) == {"/": 1, "/a": 1}


async def test_a_job_killed_as_it_removes_pages_removes_the_rest_and_counts_each_once(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "PAGES_AT_ONCE", 2)
    script(site, {f"/{n}": [] for n in range(5)})
    link(site, *(f"/{n}" for n in range(5)))
    await ingest.run("/")
    link(site)
    job_id = await ingest.submit("/")
    remove_some = Delisting._remove_some
    rounds = 0

    async def killed(self: Delisting, job: Any) -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            raise Killed
        return await remove_some(self, job)

    with monkeypatch.context() as patched:
        patched.setattr(Delisting, "_remove_some", killed)
        with pytest.raises(Killed):
            await ingest.work(job_id)
    assert len(await ingest.pages()) == 4
    assert (await ingest.look(job_id)).state is JobState.RUNNING
    ended = await ingest.work(job_id)
    assert ended.state is JobState.SUCCEEDED
    assert await ingest.pages() == ["/"]
    assert ended.removed == 5
    assert ingest.shelf.counts() == {1}


async def test_a_job_cancelled_as_it_removes_pages_stops(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "PAGES_AT_ONCE", 2)
    script(site, {f"/{n}": [] for n in range(5)})
    link(site, *(f"/{n}" for n in range(5)))
    await ingest.run("/")
    link(site)
    job_id = await ingest.submit("/")
    remove_some = Delisting._remove_some

    async def then_cancelled(self: Delisting, job: Any) -> bool:
        removed = await remove_some(self, job)
        await ingest.cancel(job_id)
        return removed

    monkeypatch.setattr(Delisting, "_remove_some", then_cancelled)
    ended = await ingest.work(job_id)
    assert (ended.state, ended.removed) == (JobState.CANCELLED, 2)
    assert len(await ingest.pages()) == 4


async def test_an_older_job_takes_nothing_from_a_newer_one(ingest: Ingest, site: ScriptedSite) -> None:
    """Two jobs of one source at once: the newer saw /b, which the older, ending last, did not."""
    script(site, {"/a": [], "/b": []})
    link(site, "/a")
    older = await ingest.submit("/")
    newer: list[Ended] = []

    async def newer_job() -> None:
        link(site, "/a", "/b")
        newer.append(await ingest.run("/"))

    site.script("/a", doing(newer_job, page(html("page /a"))), page(html("page /a")))
    await ingest.work(older, concurrency=1)
    assert newer[0].outcomes["/b"] == INDEXED
    assert await ingest.pages() == ["/", "/a", "/b"]
    async with ingest.shelf.database.read() as connection:
        rows = (
            await connection.execute(
                select(PageSourceRow.job_id, JobRow.created_at).join(JobRow, JobRow.id == PageSourceRow.job_id)
            )
        ).all()
    assert older not in {row.job_id for row in rows}  # the newer job is remembered, though the older one saw "/a" last


async def test_a_page_that_another_job_is_writing_is_left_alone(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/b": []})
    link(site, "/b")
    await ingest.run("/")
    link(site)
    written = await ingest.shelf.writer._begin([ingest.shelf.new_page(site.url("/b"), "By another.")])
    await ingest.run("/")
    assert await ingest.pages() == ["/", "/b"]
    await ingest.shelf.writer._give_up(written)
    await ingest.run("/")
    assert await ingest.pages() == ["/"]


async def test_a_job_without_a_source_notes_and_removes_nothing(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": []})
    link(site, "/a")
    job_id = await ingest.submit("/")
    async with ingest.shelf.database.write() as connection:
        await connection.execute(update(JobRow).where(JobRow.id == job_id).values(source_id=None))
    assert (await ingest.work(job_id)).state is JobState.SUCCEEDED
    assert await sources_of(ingest) == {}
