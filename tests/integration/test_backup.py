"""Backups taken from a living corpus, and what a restored one answers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from corpus.backup import back_up, restore
from corpus.datadir import DataDirectory
from corpus.errors import Conflict, DataDirectoryLocked, InvalidInput, NotFound
from corpus.model import SearchMode
from corpus.settings import Settings
from tests.fakes import FakeEmbedder
from tests.shelf import Shelf, open_shelf

pytestmark = pytest.mark.sqlite
QUESTIONS = ("the keeper of the lamp", "oil", "clockwork and stairs")


async def fill(shelf: Shelf) -> None:
    for number in range(12):
        await shelf.put(
            f"https://h/{number}", f"The keeper of lamp {number} winds the clockwork.", f"Stairs: {number}. Oil: {number}."
        )
    await shelf.put("https://h/3", "The third lamp burns no oil any more.")
    await shelf.pages.delete((await shelf.search("keeper of lamp 7"))[0].chunk.page_id)


async def answers(shelf: Shelf) -> list[list[tuple[str, str, int, int]]]:
    """The first ten of each question in each mode: ids, places."""
    found = [await shelf.search(question, mode=mode, limit=10) for question in QUESTIONS for mode in SearchMode]
    return [[(hit.chunk.id, hit.chunk.url, hit.chunk.start, hit.chunk.end) for hit in hits] for hits in found]


def elsewhere(path: Path) -> Settings:
    return Settings(data_dir=path, llm={"engine": "none"})


async def test_a_restored_backup_holds_the_same_ids_and_finds_the_same(
    settings: Settings, tmp_path: Path, fake_embedder: FakeEmbedder
) -> None:
    file = tmp_path / "backup.sqlite"
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        made = back_up(shelf.corpus.directory, file)  # while it is open
        counts, expected = await shelf.pages.counts(), await answers(shelf)
        await shelf.put("https://h/later", "What comes later isn't in it.")
    assert (made.pages, made.chunks) == (counts["pages"], counts["chunks"])
    assert file.stat().st_mode & 0o777 == 0o600

    restored = elsewhere(tmp_path / "restored")
    restore(DataDirectory(restored.data_dir), file)
    async with open_shelf(restored, fake_embedder) as shelf:
        assert await shelf.pages.counts() == counts
        assert shelf.counts() == {counts["chunks"]}
        assert await answers(shelf) == expected
        assert (await shelf.verifier().verify()).differences == 0


async def test_a_backup_beside_a_writer_is_of_one_moment(shelf: Shelf, tmp_path: Path) -> None:
    async def write() -> None:
        for number in range(20):
            await shelf.put("https://h/page", f"Version {number} of the page.")

    writing = asyncio.create_task(write())
    for number in range(5):
        file = tmp_path / f"{number}.sqlite"
        await asyncio.to_thread(back_up, shelf.corpus.directory, file)
        with closing(sqlite3.connect(file)) as connection:
            live = connection.execute("SELECT count(*) FROM generations WHERE state = 'live'").fetchone()[0]
            pages = connection.execute("SELECT count(*) FROM pages WHERE live_generation IS NOT NULL").fetchone()[0]
            assert live == pages <= 1
    await writing


async def test_nothing_is_overwritten(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"
    back_up(shelf.corpus.directory, file)
    before = file.read_bytes()
    with pytest.raises(Conflict, match="exists already"):
        back_up(shelf.corpus.directory, file)
    assert file.read_bytes() == before
    with pytest.raises(DataDirectoryLocked):
        restore(DataDirectory(shelf.corpus.directory.path), file)
    other = DataDirectory(tmp_path / "other")
    restore(other, file)
    with pytest.raises(Conflict, match="exists already"):
        restore(other, file)


async def test_what_is_no_whole_backup_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    file, into = tmp_path / "backup.sqlite", DataDirectory(tmp_path / "into")
    await fill(shelf)
    back_up(shelf.corpus.directory, file)
    whole = file.read_bytes()
    (tmp_path / "note.txt").write_text("not a database at all, only a text that is long enough to look like one")
    (tmp_path / "half.sqlite").write_bytes(whole[: len(whole) // 2])
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE cars (id)")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for name, message in {
        "note.txt": "no backup",
        "half.sqlite": "damaged",
        "other.sqlite": "no backup",
        "backup.sqlite": "newer release",
    }.items():
        with pytest.raises(InvalidInput, match=message):
            restore(into, tmp_path / name)
    with pytest.raises(NotFound):
        restore(into, tmp_path / "nowhere")
    with pytest.raises(NotFound, match="no database"):
        back_up(into, tmp_path / "new")
    with pytest.raises(InvalidInput, match="can't be written"):
        back_up(shelf.corpus.directory, tmp_path / "no-such-folder" / "file")
    assert not into.database.exists()
