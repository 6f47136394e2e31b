"""The index knows what made it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from corpus.database import Database, sqlite_url
from corpus.errors import IndexMismatch
from corpus.settings import IndexSettings, Settings
from corpus.stamp import check_stamp, make_stamp
from corpus.tables import FactRow
from tests.fakes import FakeEmbedder
from tests.shelf import Shelf, open_shelf

STAMP = make_stamp(FakeEmbedder().stamp, IndexSettings())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(url=sqlite_url(tmp_path / "footnote.sqlite")) as opened:
        await opened.migrate()
        yield opened


def test_the_stamp_holds_all_that_vectors_and_chunks_depend_on() -> None:
    assert set(STAMP["embedder"]) == {
        "name",
        "revision",
        "dimension",
        "max_tokens",
        "normalised",
        "query_prompt",
        "passage_prompt",
    }
    assert set(STAMP["chunker"]) == {"max_tokens", "min_tokens", "overlap_tokens"}


async def test_a_new_index_is_stamped_once(database: Database) -> None:
    await check_stamp(database, STAMP)
    await check_stamp(database, STAMP)
    async with database.read() as connection:
        assert await connection.scalar(select(FactRow.value).where(FactRow.key == "stamp")) == STAMP
        assert await connection.scalar(select(func.count()).select_from(FactRow)) == 1


@pytest.mark.parametrize("section", ["embedder", "chunker"])
async def test_every_part_of_the_stamp_counts(shelf: Shelf, section: str) -> None:
    await shelf.put("https://a.example/", "Some text about trains.")
    stamp = make_stamp(shelf.corpus.embedder.stamp, shelf.corpus.settings.index)
    for name, value in stamp[section].items():
        changed: dict[str, Any] = {
            **stamp,
            section: {**stamp[section], name: not value if isinstance(value, bool) else f"other {value}"},
        }
        with pytest.raises(IndexMismatch) as caught:
            await check_stamp(shelf.database, changed)
        assert f"{section}.{name} was {value!r}" in caught.value.message
        assert "footnote reindex" in caught.value.message  # the remedy
        assert len(caught.value.details["differences"]) == 1
    await check_stamp(shelf.database, stamp)  # a refusal changes nothing


async def test_an_index_without_pages_takes_the_new_stamp(settings: Settings) -> None:
    async with open_shelf(settings, FakeEmbedder(name="one")) as shelf:
        page = await shelf.put("https://a.example/", "Some text about trains.")
        await shelf.pages.delete(page)
    async with open_shelf(settings, FakeEmbedder(name="another")) as shelf:
        await shelf.put("https://a.example/", "Some text about trains.")
    with pytest.raises(IndexMismatch, match=r"embedder\.name was 'another', is now 'one'"):
        async with open_shelf(settings, FakeEmbedder(name="one")):
            pass


async def test_a_vector_index_of_another_dimension_is_refused_even_when_empty(settings: Settings) -> None:
    async with open_shelf(settings, FakeEmbedder(dimension=384)):
        pass
    with pytest.raises(IndexMismatch, match="dimension"):
        async with open_shelf(settings, FakeEmbedder(dimension=64)):
            pass


async def test_a_refused_start_gives_the_data_directory_back(settings: Settings) -> None:
    async with open_shelf(settings, FakeEmbedder()) as shelf:
        await shelf.put("https://a.example/", "Some text about trains.")
    with pytest.raises(IndexMismatch):
        async with open_shelf(settings, FakeEmbedder(name="another")):
            pass
    async with open_shelf(settings, FakeEmbedder()) as shelf:
        assert len(await shelf.search("trains")) == 1
