"""The indexes are derived: each can be lost, and comes back from the database at the next start."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from corpus.model import SearchMode
from corpus.search import SearchQuery
from corpus.settings import Settings
from tests.fakes import FakeEmbedder
from tests.shelf import open_shelf


def _lose(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        for file in path.parent.glob(path.name + "*"):
            file.unlink()


@pytest.mark.parametrize("lost", ["vectors", "lexical", "tokens"])
async def test_a_lost_index_is_rebuilt_from_the_database(settings: Settings, fake_embedder: FakeEmbedder, lost: str) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await shelf.put("https://h/lamp", "# Lamp", "The lamp burns whale oil at night.")
        await shelf.put("https://h/keeper", "# Keeper", "The keeper winds the clockwork.")
        query = SearchQuery(text="whale oil lamp", collection_id=shelf.collection)
        before = [hit.chunk.id for hit in (await shelf.searcher.search(query)).hits]
        counts = shelf.corpus.index.counts()
        path = getattr(shelf.corpus.directory, lost)
    _lose(path)
    async with open_shelf(settings, fake_embedder) as shelf:
        assert shelf.corpus.index.counts() == counts
        assert [hit.chunk.id for hit in (await shelf.searcher.search(query)).hits] == before


async def test_a_lexical_index_of_an_older_version_is_made_anew(
    settings: Settings, fake_embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await shelf.put("https://h/lamp", "# Lamp", "The lamp burns whale oil at night.")
        counts = shelf.corpus.index.counts()
        version = shelf.corpus.directory.lexical / "analysis-version"
    version.unlink()  # as version 1 left it
    monkeypatch.setattr(fake_embedder, "embed_passages", None)  # nothing is embedded for it
    async with open_shelf(settings, fake_embedder) as shelf:
        assert shelf.corpus.rebuilt_chunks == counts["vectors"]
        assert shelf.corpus.index.counts() == counts
        assert [hit.chunk.url for hit in await shelf.search("lamps", mode=SearchMode.LEXICAL)] == ["https://h/lamp"]
    assert version.is_file()
