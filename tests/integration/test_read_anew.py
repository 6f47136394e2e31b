"""Pages whose stored text was made by other rules are read anew, whatever their site says of changes."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from corpus.tables import GenerationRow, PageRow
from ingest.extract import EXTRACTION_VERSION
from tests.integration.test_crawl import INDEXED, UNCHANGED, Ingest, html, ingest, parser, prose, site
from tests.scripted_site import ScriptedSite, conditional

__all__ = ["ingest", "parser", "site"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDEBAR = prose("sidebar", 30)
BODY = prose("body", 150)
PAGE = (
    f"<html lang=en><head><title>Limits</title></head><body><main><h1>Limits</h1><p>{BODY}</p>"
    f"<div class=promo><p>{SIDEBAR}</p></div></main></body></html>"
).encode()


async def stored(ingest: Ingest) -> tuple[str, int, str | None, int]:
    """Text, version, selectors' hash and number of the one live page's version."""
    columns = (GenerationRow.text, GenerationRow.extraction_version, GenerationRow.selectors_hash, GenerationRow.id)
    statement = select(*columns).join(PageRow, PageRow.live_generation == GenerationRow.id)
    async with ingest.shelf.database.read() as connection:
        row = (await connection.execute(statement)).one()
    return row.text, row.extraction_version, row.selectors_hash, row.id


async def age(ingest: Ingest, *, text: str | None = None) -> None:
    """What an upgrade finds: a page that the rules before read, so or otherwise."""
    values: dict[str, object] = {"extraction_version": 0}
    values |= {"text": text, "content_hash": "0" * 64} if text is not None else {}
    async with ingest.shelf.database.write() as connection:
        await connection.execute(update(GenerationRow).values(values))


def conditions(site: ScriptedSite, path: str) -> list[bool]:
    """Of each request for a path, whether it asked only for what is new."""
    return ["if-none-match" in request.headers for request in site.requests if request.target == path]


async def test_a_page_that_older_rules_read_is_read_anew_and_unchanged_if_it_says_the_same(
    ingest: Ingest, site: ScriptedSite
) -> None:
    site.script("/", conditional(PAGE, '"one"'))
    assert (await ingest.run("/")).outcomes == {"/": INDEXED}
    text, version, _, generation = await stored(ingest)
    assert version == EXTRACTION_VERSION
    assert (await ingest.run("/")).outcomes == {"/": UNCHANGED}
    await age(ingest)

    assert (await ingest.run("/")).outcomes == {"/": UNCHANGED}
    assert await stored(ingest) == (text, EXTRACTION_VERSION, None, generation)

    assert (await ingest.run("/")).outcomes == {"/": UNCHANGED}
    assert conditions(site, "/") == [False, True, False, True]  # and once is enough


async def test_a_page_that_older_rules_read_otherwise_gets_its_new_text(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(PAGE, '"one"'))
    await ingest.run("/")
    text, *_ = await stored(ingest)
    await age(ingest, text="Hardly anything.")

    assert (await ingest.run("/")).outcomes == {"/": INDEXED}

    assert (await stored(ingest))[:2] == (text, EXTRACTION_VERSION)


async def test_other_selectors_of_the_source_read_its_pages_anew(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(PAGE, '"one"'))
    await ingest.run("/")
    assert SIDEBAR in (await stored(ingest))[0]

    assert (await ingest.run("/", drop=[".promo"])).outcomes == {"/": INDEXED}
    text, _, said, _ = await stored(ingest)
    assert SIDEBAR not in text
    assert BODY in text

    assert (await ingest.run("/", drop=[".promo"])).outcomes == {"/": UNCHANGED}
    assert (await ingest.run("/", drop=[".promo", ".nothing"])).outcomes == {"/": UNCHANGED}  # other selectors, the same text
    assert (await stored(ingest))[2] not in (None, said)
    assert (await ingest.run("/", drop=[])).outcomes == {"/": INDEXED}
    assert SIDEBAR in (await stored(ingest))[0]
    assert conditions(site, "/") == [False, False, True, False, False]


async def test_the_selectors_of_the_settings_count_where_the_source_says_nothing(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(PAGE, '"one"'))
    await ingest.run("/")
    setting = {"selectors": {site.url("/"): {"keep": ["h1"]}}}

    await ingest.work(await ingest.submit("/"), **setting)
    assert (await stored(ingest))[0] == "# Limits"

    await ingest.work(await ingest.submit("/", drop=[".promo"]), **setting)
    text, *_ = await stored(ingest)
    assert BODY in text
    assert SIDEBAR not in text


async def test_pages_that_name_no_validators_are_read_anew_as_ever(ingest: Ingest, site: ScriptedSite) -> None:
    from tests.scripted_site import page

    site.script("/", page(html("start")))
    await ingest.run("/")
    await age(ingest)
    assert (await ingest.run("/")).outcomes == {"/": UNCHANGED}
    assert (await stored(ingest))[1] == EXTRACTION_VERSION
