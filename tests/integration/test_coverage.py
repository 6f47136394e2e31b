"""How much of each page was kept, from the fetch to whoever asks: in the database, the job's notes and log, and when it goes."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import delete, func, select

from corpus.coverage import selectors_hash
from corpus.generations import ReadBy
from corpus.jobs import Jobs, JobStatus
from corpus.model import ContentSelectors
from corpus.page_check import made_anew, stored_pages
from corpus.settings import IngestSettings
from corpus.tables import GenerationRow, LeftOutRow, UrlRow
from corpus.url_log import UrlVisit, url_visits
from ingest.explain import PageExplainer
from ingest.extract import EXTRACTION_VERSION
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.visit import Visitor
from tests.integration.test_crawl import INDEXED, UNCHANGED, Ingest, ingest, parser, prose, site
from tests.scripted_site import PUBLIC_IP, ScriptedSite, conditional, page, redirect, status

__all__ = ["ingest", "parser", "site"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

MENU = "".join(f"<li><a href='/{word}'>{word}</a></li> " for word in ("Home", "Manual", "Shop", "Contact"))


def sold(name: str, *, words: int = 200, promo: int = 100) -> bytes:
    """A page with a menu, a text, and something that its source's selectors drop."""
    text, advertisement = prose(f"text of {name}", words), prose(f"promo of {name}", promo)
    return (
        f"<!doctype html><html lang=en><head><title>{name}</title></head><body><nav><ul>{MENU}</ul></nav><main><h1>{name}</h1>"
        f"<p>{text}</p><div class=promo><p>{advertisement}</p></div></main></body></html>"
    ).encode()


async def status_of(ingest: Ingest, job_id: str) -> JobStatus:
    return await Jobs(database=ingest.shelf.database, queue=None).get(job_id)  # type: ignore[arg-type]


async def visits(ingest: Ingest, url: str) -> list[UrlVisit]:
    async with ingest.shelf.database.read() as connection:
        return await connection.run_sync(url_visits, collection_id=ingest.shelf.collection, url=url)


async def test_a_visit_and_the_page_say_how_much_was_kept_and_what_was_not(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(sold("Pumps")))
    assert (await ingest.run("/", max_depth=0, drop=[".promo"])).outcomes == {"/": INDEXED}

    (visit,) = await visits(ingest, site.url("/"))
    assert visit.coverage is not None
    assert visit.coverage.left_out is not None
    dropped = max(visit.coverage.left_out, key=lambda part: part.words)
    assert dropped.words == 100
    assert dropped.link_words == 0
    assert prose("promo of Pumps", 100).startswith(dropped.text[:-1])
    menu = next(part for part in visit.coverage.left_out if "Manual" in part.text)
    assert (menu.words, menu.link_words) == (4, 4)
    assert visit.coverage.visible_words == pytest.approx(201 + 100 + 4, abs=2)
    assert visit.coverage.kept_words == pytest.approx(201, abs=2)
    (stored, _) = await ingest.shelf.pages.list(collection="default")
    assert stored[0].coverage == visit.coverage
    assert not visit.coverage.is_poor


async def test_a_job_names_the_first_pages_of_which_too_little_was_kept_in_one_line(
    ingest: Ingest, site: ScriptedSite, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        site.script(f"/{number}", page(sold(f"Pump {number}", words=60, promo=150)))
    site.script("/good", page(sold("Good", words=150, promo=60)))
    caplog.set_level(logging.WARNING)
    job = await ingest.submit(*(f"/{number}" for number in range(5)), "/good", max_depth=0, keep=["h1", "main > p"])
    await ingest.work(job)

    told = await status_of(ingest, job)

    named = ", ".join(site.url(f"/{number}") for number in range(3))
    note = f"Of 5 pages less than 60% of the text was kept: {named}, …. What was left out, and why, shows: footnote pages log URL"
    assert told.notes == (note,)
    assert told.poorly_kept == 5
    assert f"job {job}: {note}" in caplog.messages
    (stored, _) = await ingest.shelf.pages.list(collection="default")
    assert {one.title: bool(one.notes) for one in stored} == {**{f"Pump {number}": True for number in range(5)}, "Good": False}
    assert next(one.notes for one in stored if one.title == "Pump 0")[-1].startswith("only 6")


async def test_what_selectors_drop_is_no_loss(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(sold("Pumps", words=60, promo=150)))
    job = await ingest.submit("/", max_depth=0, drop=[".promo"])
    await ingest.work(job)

    told = await status_of(ingest, job)
    assert (told.notes, told.poorly_kept) == ((), 0)
    (visit,) = await visits(ingest, site.url("/"))
    assert visit.coverage is not None
    assert visit.coverage.share < 0.5
    assert visit.coverage.prose_share > 0.9


async def test_the_urls_of_a_job_can_be_asked_for_by_what_was_kept(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/poor", page(sold("Poor", words=60, promo=150)))
    site.script("/good", page(sold("Good", words=300, promo=20)))
    site.script("/gone", status(404))
    job = await ingest.submit("/poor", "/good", "/gone", max_depth=0, keep=["main > p"])
    await ingest.work(job)
    jobs = Jobs(database=ingest.shelf.database, queue=None)  # type: ignore[arg-type]

    async def found(max_kept: float) -> list[str]:
        return [ingest._path(outcome.url) for _, outcome in await jobs.urls(job, max_kept=max_kept)]

    assert await found(0.6) == ["/poor"]
    assert await found(1.0) == ["/poor", "/good"]
    assert await found(0.1) == []


async def test_an_unchanged_page_keeps_its_figures_and_the_log_repeats_no_quotes(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(sold("Pumps")))
    await ingest.run("/", max_depth=0, drop=[".promo"])
    assert (await ingest.run("/", max_depth=0, drop=[".promo"])).outcomes == {"/": UNCHANGED}

    again, first = await visits(ingest, site.url("/"))

    assert first.coverage is not None
    assert again.coverage == first.coverage.without_parts()
    (stored, _) = await ingest.shelf.pages.list(collection="default")
    assert stored[0].coverage == first.coverage


async def test_what_was_not_read_has_no_figures(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(sold("Pumps"), '"one"'))
    site.script("/gone", status(404))
    await ingest.run("/", "/gone", max_depth=0)
    await ingest.run("/", "/gone", max_depth=0)

    newest, *_ = await visits(ingest, site.url("/"))
    assert newest.http_status == 304
    assert newest.coverage is None
    assert [visit.coverage for visit in await visits(ingest, site.url("/gone"))] == [None, None]


async def test_a_deleted_page_takes_what_was_quoted_of_it_along(ingest: Ingest, site: ScriptedSite) -> None:
    """In the log and with its versions; its figures may stay, as its URL does."""
    site.script("/", page(sold("Pumps")))
    site.script("/other", page(sold("Valves")))
    await ingest.run("/", "/other", max_depth=0, drop=[".promo"])
    (stored, _) = await ingest.shelf.pages.list(collection="default")
    await ingest.shelf.pages.delete(next(one.id for one in stored if one.title == "Pumps"))

    async with ingest.shelf.database.read() as connection:
        logged = select(UrlRow.url, UrlRow.kept_words, LeftOutRow.parts.label("left_out")).outerjoin(LeftOutRow)
        rows = (await connection.execute(logged)).all()
        versions = (await connection.execute(select(GenerationRow.left_out).where(GenerationRow.left_out.is_not(None)))).all()
    quoted = {ingest._path(row.url): row.left_out for row in rows}
    assert quoted["/"] is None
    assert quoted["/other"]
    assert next(row.kept_words for row in rows if ingest._path(row.url) == "/")
    assert len(versions) == 1


async def test_a_page_that_is_made_anew_of_its_text_keeps_what_is_known_of_its_reading(
    ingest: Ingest, site: ScriptedSite
) -> None:
    site.script("/", page(sold("Pumps")))
    await ingest.run("/", max_depth=0, drop=[".promo"])
    corpus = ingest.shelf.corpus
    async with ingest.shelf.database.read() as connection:
        (stored,) = await connection.run_sync(stored_pages, after="", limit=9)

    made = made_anew(stored, tokenizer=corpus.embedder.tokenizer, settings=corpus.settings.index)

    (visit,) = await visits(ingest, site.url("/"))
    assert made.coverage == visit.coverage is not None
    assert made.read_by == ReadBy(EXTRACTION_VERSION, selectors_hash(ContentSelectors(drop=(".promo",))))


async def test_what_a_job_quoted_goes_with_its_log(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(sold("Pumps")))
    await ingest.run("/", max_depth=0)
    async with ingest.shelf.database.write() as connection:
        assert await connection.scalar(select(func.count()).select_from(LeftOutRow)) == 1
        await connection.execute(delete(UrlRow))
        assert await connection.scalar(select(func.count()).select_from(LeftOutRow)) == 0


async def test_pages_can_be_asked_for_by_what_was_kept(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/poor", page(sold("Poor", words=60, promo=150)))
    site.script("/good", page(sold("Good", words=300, promo=20)))
    await ingest.run("/poor", "/good", max_depth=0, keep=["main > p"])

    async def found(max_kept: float | None) -> list[str]:
        listed, _ = await ingest.shelf.pages.list(collection="default", max_kept=max_kept)
        return [one.title for one in listed]

    assert await found(0.6) == ["Poor"]
    assert await found(None) == ["Good", "Poor"]


async def test_a_page_that_shows_the_same_text_leaves_no_quotes_in_the_log(ingest: Ingest, site: ScriptedSite) -> None:
    """It would outlive the page that is kept: nothing leads from that one to it."""
    site.script("/one", page(sold("Pumps")))
    site.script("/two", page(sold("Pumps")))
    await ingest.work(await ingest.submit("/one", "/two", max_depth=0, drop=[".promo"]), concurrency=1)

    (copy,) = await visits(ingest, site.url("/two"))
    assert copy.reason == "duplicate"
    assert copy.coverage is not None
    assert copy.coverage.left_out is None


def explainer(ingest: Ingest, fetcher: Fetcher, settings: IngestSettings) -> PageExplainer:
    corpus = ingest.shelf.corpus
    visitor = Visitor(
        fetcher=fetcher,
        robots=Robots(settings=settings, fetcher=fetcher),
        parser=ingest._parser,
        tokenizer=corpus.embedder.tokenizer,
        index=corpus.settings.index,
        user_agent=settings.user_agent,
    )
    return PageExplainer(visitor=visitor, settings=settings)


async def test_an_explained_page_shows_all_that_is_left_out_and_indexes_nothing(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/old", redirect("/new"))
    site.script("/new", page(sold("Pumps"), x_robots_tag="noindex"))
    by_site = {site.url("/"): {"drop": ["nav"]}}
    settings = IngestSettings(allow_private_hosts=[PUBLIC_IP], delay_s=0.0, selectors=by_site)
    async with Fetcher(settings=settings) as fetcher:
        explained = await explainer(ingest, fetcher, settings).explain(
            site.url("/old"), selectors=ContentSelectors(drop=(".promo",))
        )
        by_settings = await explainer(ingest, fetcher, settings).explain(site.url("/new"), selectors=ContentSelectors())

    assert explained.url == site.url("/new")
    assert explained.title == "Pumps"
    assert prose("text of Pumps", 200) in explained.text
    assert prose("promo of Pumps", 100) not in explained.text
    assert explained.coverage is not None
    whole = " ".join(" ".join(part.text for part in explained.coverage.left_out).split())
    assert prose("promo of Pumps", 100) in whole
    assert explained.selectors.drop == (".promo",)
    assert explained.notes == ("the page asks not to be indexed (noindex), so a job leaves it out",)
    assert by_settings.selectors.drop == ("nav",)
    assert await ingest.pages() == []
