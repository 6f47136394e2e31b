"""Hybrid retrieval over the real indexes."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite

from corpus.model import SearchMode
from corpus.search import LIVE_AMONG
from corpus.settings import Settings
from corpus.tables import Base
from tests.shelf import Shelf, ignore_flip, urls

TOWER = "The tower is 330 metres tall and was finished in 1889."
BREAD = "Sourdough bread rises slowly because wild yeast works slowly."
TRAIN = "The night train to Vienna leaves at ten in the evening."

HOSTILE = (
    "the of and",
    "   ",
    "?!… — “”",
    "🙂🙂",
    '"unbalanced AND (',
    "x" * 20_000,
    "مرحبا بالعالم",
    "Wie hoch ist der Turm?",
    "塔有多高？",
    "\x00\n\t",
    "many words " * 5_000,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def shelf(emptied_shelf: Shelf) -> Shelf:
    return emptied_shelf


async def fill(shelf: Shelf) -> None:
    await shelf.put("https://a.example/tower", TOWER, title="Tower")
    await shelf.put("https://a.example/food/bread", BREAD, title="Bread")
    await shelf.put("https://b.example/train", TRAIN, title="Train", language="de")


async def test_each_mode_finds_the_page_that_speaks_of_it(shelf: Shelf) -> None:
    await fill(shelf)
    for mode in SearchMode:
        hits = await shelf.search("sourdough yeast", mode=mode)
        assert hits[0].chunk.url == "https://a.example/food/bread"
        assert hits[0].chunk.text == BREAD
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_stages_tell_each_rank_and_score(shelf: Shelf) -> None:
    await fill(shelf)
    assert set((await shelf.search("train", mode=SearchMode.DENSE))[0].stages) == {"dense", "fusion"}
    assert set((await shelf.search("train", mode=SearchMode.LEXICAL))[0].stages) == {"lexical", "fusion"}
    hits = await shelf.search("night train")
    for stage in ("dense", "lexical", "fusion"):
        of_stage = sorted((hit.stages[stage] for hit in hits if stage in hit.stages), key=lambda s: s.rank)
        assert [s.rank for s in of_stage] == list(range(1, len(of_stage) + 1))
        assert [s.score for s in of_stage] == sorted((s.score for s in of_stage), reverse=True)
    assert set(hits[0].stages) == {"dense", "lexical", "fusion"}
    assert hits[0].score == hits[0].stages["fusion"].score == 1.0


async def test_filters_hold_in_every_mode(shelf: Shelf) -> None:
    await fill(shelf)
    words = "tower bread train"
    for mode in SearchMode:
        assert urls(await shelf.search(words, mode=mode, language="de")) == ["https://b.example/train"]
        assert urls(await shelf.search(words, mode=mode, url_prefix="https://a.example/food/")) == [
            "https://a.example/food/bread"
        ]
        assert await shelf.search(words, mode=mode, url_prefix="https://c.example/") == []
        assert await shelf.search(words, mode=mode, url_prefix="https://a.example/", language="de") == []


async def test_a_url_prefix_means_whole_path_segments_in_every_mode(shelf: Shelf) -> None:
    for path in ("docs", "docs/", "docs/x", "docs?page=2", "docs-old/x", "docs/x?q=/docs-old/", "other/docs/x"):
        await shelf.put(f"https://a.example/{path}", f"Trains, as told by {path}.")
    below = {"https://a.example/docs/", "https://a.example/docs/x", "https://a.example/docs/x?q=/docs-old/"}
    itself = {"https://a.example/docs", "https://a.example/docs?page=2"}
    for mode in SearchMode:
        assert set(urls(await shelf.search("trains", mode=mode, url_prefix="https://a.example/docs/"))) == below
        assert set(urls(await shelf.search("trains", mode=mode, url_prefix="https://a.example/docs"))) == below | itself
        assert len(await shelf.search("trains", mode=mode, url_prefix="https://a.example")) == 7
        assert await shelf.search("trains", mode=mode, url_prefix="https://a.example/do") == []


async def test_limit_is_the_most_that_is_given_even_above_the_candidates_setting(settings: Settings, shelf: Shelf) -> None:
    count = settings.search.candidates + 5
    news = [shelf.new_page(f"https://a.example/{i}", f"Item {i} speaks of trains.") for i in range(count)]
    await shelf.writer.commit(news, on_flip=ignore_flip)
    for mode in SearchMode:
        assert len(await shelf.search("trains", mode=mode, limit=4)) == 4
        assert len(await shelf.search("trains", mode=mode, limit=count)) == count
        assert len(await shelf.search("trains", mode=mode, limit=1000)) == count


async def test_collections_do_not_see_each_other(shelf: Shelf) -> None:
    other = await shelf.pages.ensure_collection("other")
    empty = await shelf.pages.ensure_collection("empty")
    await shelf.put("https://a.example/tower", TOWER)
    await shelf.put("https://a.example/tower", BREAD, collection=other)
    for mode in SearchMode:
        assert [hit.chunk.text for hit in await shelf.search("tower bread", mode=mode)] == [TOWER]
        assert [hit.chunk.text for hit in await shelf.search("tower bread", mode=mode, collection=other)] == [BREAD]
        assert await shelf.search("tower bread", mode=mode, collection=empty) == []


async def test_hostile_queries_are_answered_in_every_mode(shelf: Shelf) -> None:
    for text in ("anything at all", *HOSTILE):
        for mode in SearchMode:
            assert await shelf.search(text, mode=mode) == []  # an empty index
    await fill(shelf)
    for text in HOSTILE:
        for mode in SearchMode:
            await shelf.search(text, mode=mode)


async def test_hits_carry_the_place_they_stand_at(shelf: Shelf) -> None:
    page = await shelf.put("https://a.example/guide", "# Guide", "## Trains", TRAIN * 8, "## Towers", TOWER * 8)
    text, content_hash = await shelf.pages.text(page)
    hits = await shelf.search("tower metres")
    assert hits[0].chunk.heading_path == ("Towers",)
    for hit in hits:
        assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text
        assert hit.chunk.content_hash == content_hash


async def test_spans_count_code_points_beyond_the_basic_plane(shelf: Shelf) -> None:
    page = await shelf.put("https://a.example/emoji", "🙂🙃 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 comes first, é combined.", "The tower stands after it. " * 60)
    text, _ = await shelf.pages.text(page)
    for chunk in await shelf.chunks(page):
        assert chunk.text == text[chunk.start : chunk.end]


async def test_hits_are_looked_up_by_their_ids_not_by_walking_through_the_collection() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    bound = LIVE_AMONG.params(ids=[f"{number:032x}" for number in range(50)], collection_id=1)
    statement = bound.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
    assert "chunks" in plan[0]
    assert "(id=?)" in plan[0]
    assert not any("SCAN" in step or "collection_id" in step for step in plan)
