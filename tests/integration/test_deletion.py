"""Deleted is deleted: from the moment it is answered, nothing shows the page."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import func, insert, select

from corpus.database import utc_now
from corpus.errors import Conflict, NotFound
from corpus.model import SearchMode, page_id
from corpus.sources import JobSpec, Sources, remember
from corpus.store import IdRange
from corpus.tables import AliasRow, FactRow, JobRow, PageSourceRow, SourceRow, UrlRow
from tests.shelf import Shelf, ignore_flip, urls

SECRET = "The passphrase of the vault is xyzzyplugh and nobody else knows it."
# Long enough for SQLite to keep it on pages of their own, which an ordinary delete only marks as free.
LONG = f"{SECRET} " * 300


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("footnote.sqlite*")))


async def checkpoint(shelf: Shelf) -> None:
    async with shelf.database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.sqlite
async def test_a_deleted_page_is_nowhere(shelf: Shelf) -> None:
    page = await shelf.put("https://a.example/secret", "# Vault", LONG, title="Vaultkeeper")
    kept = await shelf.put("https://a.example/kept", "An ordinary page about trains.")
    await checkpoint(shelf)
    assert b"xyzzyplugh" in raw_bytes(shelf.corpus.directory.path)

    await shelf.pages.delete(page)

    for mode in SearchMode:
        assert "https://a.example/secret" not in urls(await shelf.search("passphrase vault", mode=mode))
    for read in (shelf.pages.text, shelf.pages.get, shelf.pages.delete):
        with pytest.raises(NotFound):
            await read(page)
    assert await shelf.chunks(page) == []
    pages, _ = await shelf.pages.list(collection="default")
    assert [p.id for p in pages] == [kept]
    assert await shelf.pages.counts() == {"pages": 1, "chunks": 1, "awaiting_sweep": 0}
    assert shelf.counts() == {1}
    await checkpoint(shelf)
    for word in (b"xyzzyplugh", b"Vaultkeeper"):
        assert word not in raw_bytes(shelf.corpus.directory.path)


RARE = ("xyzzyplugh", "Frobnitzgard", "quuxhaven")


async def write_marked(shelf: Shelf, *, collection: int | None = None) -> str:
    """A page marked in title, heading and text, written together with others: no index file is its alone."""
    marked = ("# The Frobnitzgard", LONG, "## Other", "And quuxhaven. " * 80)
    news = [shelf.new_page("https://a.example/doomed", *marked, title="Frobnitzgard", collection=collection)]
    news += [shelf.new_page(f"https://a.example/{i}", f"An ordinary page about train number {i}.") for i in range(5)]
    await shelf.writer.commit(news, on_flip=ignore_flip)
    return news[0].id


def files_with(shelf: Shelf, word: str) -> list[str]:
    folder = shelf.corpus.directory.path
    files = [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    return sorted(str(path.relative_to(folder)) for path in files)


@pytest.mark.sqlite
async def test_when_deleting_returns_no_file_holds_the_text(shelf: Shelf) -> None:
    """The log that SQLite writes ahead included, and nobody has to wait or to tidy up first."""
    page = await write_marked(shelf)
    chunks = [chunk.id for chunk in await shelf.chunks(page)]
    assert all(files_with(shelf, word) for word in RARE)
    index = shelf.corpus.index
    assert all(index.present(store, chunks) == set(chunks) for store in index.stores)

    await shelf.pages.delete(page)

    assert {word: files_with(shelf, word) for word in RARE} == {word: [] for word in RARE}
    assert [index.present(store, chunks) for store in index.stores] == [set(), set(), set()]
    assert not set(chunks) & {one for store in index.stores.values() for one in store.ids(IdRange())}
    assert shelf.counts() == {5}


@pytest.mark.sqlite
async def test_when_deleting_a_collection_returns_no_file_holds_its_texts(shelf: Shelf) -> None:
    await write_marked(shelf, collection=await shelf.pages.ensure_collection("other"))
    await shelf.pages.delete_collection("other")
    assert {word: files_with(shelf, word) for word in RARE} == {word: [] for word in RARE}


@pytest.mark.sqlite
async def test_when_deleting_a_source_with_its_pages_returns_no_file_holds_their_texts(shelf: Shelf) -> None:
    page = await write_marked(shelf)
    sources = Sources(database=shelf.database, writer=shelf.writer)
    async with shelf.database.write() as connection:
        spec = JobSpec(urls=["https://a.example/"], max_pages=9, max_depth=9)
        source = await remember(connection, collection_id=shelf.collection, spec=spec)
        await connection.execute(insert(PageSourceRow).values(page_id=page, source_id=source, job_id="job"))
    assert await sources.delete(source, with_pages=True) == 1
    assert {word: files_with(shelf, word) for word in RARE} == {word: [] for word in RARE}


@pytest.mark.sqlite
async def test_a_reader_at_work_delays_erasing_but_not_deleting(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    page = await write_marked(shelf)
    with (
        patch.multiple("corpus.database", CHECKPOINT_WAIT_S=0.01, CHECKPOINT_TRIES=2),
        closing(sqlite3.connect(shelf.corpus.directory.database)) as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM pages").fetchone()
        await shelf.pages.delete(page)
        assert "write-ahead log" in caplog.text
        assert "https://a.example/doomed" not in urls(await shelf.search("passphrase vault"))
        reader.rollback()
        await shelf.pages.delete((await shelf.pages.list(collection="default"))[0][0].id)  # and the next one makes up for it
    assert {word: files_with(shelf, word) for word in RARE} == {word: [] for word in RARE}


@pytest.mark.sqlite
async def test_a_replaced_version_is_nowhere(shelf: Shelf) -> None:
    await shelf.put("https://a.example/secret", LONG)
    await checkpoint(shelf)
    await shelf.put("https://a.example/secret", "Nothing to see here any more.")
    await checkpoint(shelf)
    assert b"xyzzyplugh" not in raw_bytes(shelf.corpus.directory.path)


async def test_a_search_that_a_deletion_overtakes_does_not_show_the_page(shelf: Shelf) -> None:
    page = await shelf.put("https://a.example/secret", SECRET)
    search = shelf.corpus.index.vectors.search
    loop = asyncio.get_running_loop()

    def overtaken(*args: object, **kwargs: object) -> object:
        found = search(*args, **kwargs)  # type: ignore[arg-type]
        asyncio.run_coroutine_threadsafe(delete_once(), loop).result()
        return found

    async def delete_once() -> None:
        if (await shelf.pages.counts())["pages"]:
            await shelf.pages.delete(page)

    shelf.corpus.index.vectors.search = overtaken  # type: ignore[method-assign, assignment]
    assert await shelf.search("passphrase") == []


async def test_a_row_that_an_index_kept_is_still_not_shown(shelf: Shelf) -> None:
    """The indexes are derived: what they hold too much doesn't count."""
    page = await shelf.put("https://a.example/secret", SECRET)
    shelf.corpus.index.delete = lambda ids: None  # type: ignore[method-assign]
    await shelf.pages.delete(page)
    assert shelf.counts() == {1}
    for mode in SearchMode:
        assert await shelf.search("passphrase", mode=mode) == []


async def test_deleting_counts_as_a_visible_change(shelf: Shelf) -> None:
    async def epoch() -> dict[str, int]:
        async with shelf.database.read() as connection:
            return (await connection.scalar(select(FactRow.value).where(FactRow.key == "epoch"))) or {}

    page = await shelf.put("https://a.example/secret", SECRET)
    before = await epoch()
    await shelf.pages.delete(page)
    assert await epoch() != before


async def test_a_deleted_collection_takes_its_pages_and_jobs_with_it(shelf: Shelf) -> None:
    other = await shelf.pages.ensure_collection("other")
    for i in range(3):
        await shelf.put(f"https://a.example/{i}", SECRET, collection=other)
    await shelf.put("https://a.example/kept", "An ordinary page about trains.")
    await record_job(shelf, "job-1", collection=other, state="succeeded")
    await point_at(shelf, page_id(other, "https://a.example/0"), collection=other)

    assert await shelf.pages.delete_collection("other") == 3

    assert await shelf.search("passphrase", collection=other) == []
    assert shelf.counts() == {1}
    assert [c.name for c in await shelf.pages.collections()] == ["default"]
    with pytest.raises(NotFound):
        await shelf.pages.delete_collection("other")
    async with shelf.database.read() as connection:
        for table in (JobRow, UrlRow, SourceRow, PageSourceRow, AliasRow):
            assert await connection.scalar(select(func.count()).select_from(table)) == 0


async def test_a_deleted_page_takes_what_points_at_it_along(shelf: Shelf) -> None:
    doomed, kept = [await shelf.put(f"https://a.example/{name}", SECRET) for name in ("doomed", "kept")]
    for page in (doomed, kept):
        await point_at(shelf, page, collection=shelf.collection)
    await shelf.pages.delete(doomed)
    async with shelf.database.read() as connection:
        for table in (PageSourceRow, AliasRow):
            assert (await connection.scalars(select(table.page_id))).all() == [kept]


async def point_at(shelf: Shelf, page: str, *, collection: int) -> None:
    async with shelf.database.write() as connection:
        source = {"id": page, "collection_id": collection, "spec": {}, "created_at": utc_now()}
        alias = {"collection_id": collection, "url": f"https://a.example/{page}", "page_id": page, "kind": "redirect"}
        await connection.execute(insert(SourceRow).values(**source))
        await connection.execute(insert(PageSourceRow).values(page_id=page, source_id=page, job_id="job-1"))
        await connection.execute(insert(AliasRow).values(**alias, seen_at=utc_now()))


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_collection_that_a_job_writes_to_is_kept(shelf: Shelf, state: str) -> None:
    page = await shelf.put("https://a.example/x", SECRET)
    await record_job(shelf, "job-1", collection=shelf.collection, state=state)
    with pytest.raises(Conflict, match="Cancel it first"):
        await shelf.pages.delete_collection("default")
    await shelf.pages.get(page)


async def record_job(shelf: Shelf, job_id: str, *, collection: int, state: str) -> None:
    async with shelf.database.write() as connection:
        job = {
            "id": job_id,
            "collection_id": collection,
            "spec": {},
            "state": state,
            "cancel_requested": False,
            "created_at": utc_now(),
        }
        await connection.execute(insert(JobRow).values(**job))
        url = {"job_id": job_id, "url": "https://a.example/x", "depth": 0, "state": "indexed", "attempts": 1, "chunks": 1}
        await connection.execute(insert(UrlRow).values(**url))
