"""What `footnote verify` promises: damage is found, all of it and nothing else, and mended."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update
from typer.testing import CliRunner

from corpus import mending
from corpus.database import utc_now
from corpus.errors import Conflict, NotFound, TransientError, Unavailable
from corpus.model import SearchMode
from corpus.settings import Settings
from corpus.store import IdRange, IndexRow
from corpus.tables import AliasRow, ChunkRow, GenerationRow, PageRow, PageSourceRow, SourceRow
from corpus.verify import Difference, Report
from footnote.cli import app as command_line
from tests.fakes import FakeEmbedder
from tests.shelf import Shelf, open_shelf, urls

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = {
    "lamp": (
        "# Lamp",
        "The lamp burns whale oil at night.",
        "## Wick",
        "The wick is trimmed each " + "single " * 190 + "morning.",
    ),
    "keeper": ("# Keeper", "The keeper winds the clockwork."),
    "empty": (),
}
STRANGER = IndexRow("ab" * 16, "nopage", 1, 1, "https://h/stranger", "en", "", "a stranger's text")


@pytest.fixture
async def shelf(emptied_shelf: Shelf) -> Shelf:
    for name, blocks in PAGES.items():
        await emptied_shelf.put(f"https://h/{name}", *blocks)
    return emptied_shelf


async def page_of(shelf: Shelf, name: str) -> str:
    return next(p.id for p in (await shelf.pages.list(collection="default"))[0] if p.url == f"https://h/{name}")


async def chunk_ids(shelf: Shelf, name: str) -> list[str]:
    return [chunk.id for chunk in await shelf.chunks(await page_of(shelf, name))]


async def execute(shelf: Shelf, statement: Any) -> None:
    async with shelf.database.write() as connection:
        await connection.execute(statement)


def told(report: Report) -> set[tuple[str, str, str | None]]:
    return {(one.difference.value, one.subject, one.store) for one in report.findings}


async def assert_mended(shelf: Shelf, *, differences: int) -> None:
    """Verifying twice tells the same, repairing mends it all, and then all is well and can be searched."""
    checked = shelf.verifier()
    first, second = await checked.verify(), await checked.verify()
    assert first.differences == differences, first
    assert (told(first), first.mended) == (told(second), 0)
    repaired = await checked.verify(repair=True)
    assert (told(repaired), repaired.mended) == (told(first), differences), repaired
    assert all(finding.mended for finding in repaired.findings)
    await assert_clean(shelf)


async def assert_clean(shelf: Shelf) -> None:
    report = await shelf.verifier().verify()
    assert (report.counts, report.findings, report.pending) == ({}, [], 0)
    assert shelf.counts() == {report.chunks}


async def test_a_sound_corpus_is_clean(shelf: Shelf) -> None:
    await assert_clean(shelf)
    report = await shelf.verifier().verify(repair=True)
    assert (report.differences, report.mended, report.pages, report.chunks) == (0, 0, 3, 4)
    rows = "\n".join(f"| {i} | row number {i} |" for i in range(150))
    lines = "\n".join(f"call(number={i})" for i in range(150))
    await shelf.put("https://h/long", "# Table", f"| id | name |\n| --- | --- |\n{rows}", "## Code", f"```\n{lines}\n```")
    await assert_clean(shelf)


@pytest.mark.parametrize("store", ["vectors", "lexical", "tokens"])
async def test_what_an_index_lost_is_missed_and_written_again(shelf: Shelf, store: str) -> None:
    lost = (await chunk_ids(shelf, "lamp"))[0]
    index = shelf.corpus.index
    before = index.load([lost])[lost]
    index.stores[store].delete([lost])
    index.lexical.flush()
    assert told(await shelf.verifier().verify()) == {("missing_in_index", lost, store)}
    await assert_mended(shelf, differences=1)
    assert index.load([lost])[lost].vector.tobytes() == before.vector.tobytes()
    for mode in SearchMode:
        assert lost in [hit.chunk.id for hit in await shelf.search("whale oil lamp", mode=mode)]


async def test_only_what_no_vector_is_left_of_is_embedded_again(shelf: Shelf) -> None:
    lost = await chunk_ids(shelf, "lamp")
    shelf.corpus.index.lexical.delete(lost)
    shelf.corpus.index.lexical.flush()
    with patch.object(shelf.corpus.embedder, "embed_passages", side_effect=AssertionError("needless")):
        assert (await shelf.verifier().verify(repair=True)).mended == len(lost)


async def test_orphans_are_found_in_every_index_and_go(shelf: Shelf) -> None:
    index, other = shelf.corpus.index, "cd" * 16
    vector = np.ones(384, dtype=np.float32)
    index.vectors.upsert([STRANGER], vector[None])
    index.lexical.upsert([STRANGER])
    index.lexical.flush()
    index.tokens.upsert([STRANGER.id, other], [vector[None]] * 2)
    kind = "orphan_in_index"
    expected = {(kind, STRANGER.id, store) for store in ("vectors", "lexical", "tokens")} | {(kind, other, "tokens")}
    assert told(await shelf.verifier().verify()) == expected
    await assert_mended(shelf, differences=4)


async def test_a_chunk_that_an_index_holds_twice(shelf: Shelf) -> None:
    twice = (await chunk_ids(shelf, "lamp"))[0]
    lexical: Any = shelf.corpus.index.lexical
    with patch.object(lexical, "_writer") as writer:
        row = IndexRow(twice, "p", 1, shelf.collection, "https://h/lamp", "en", "", "whale oil")
        lexical.upsert([row])
        [document] = [call.args[0] for call in writer.add_document.call_args_list]
    lexical._writer.add_document(document)
    lexical.flush()
    assert told(await shelf.verifier().verify()) == {("doubled_in_index", twice, "lexical")}
    await assert_mended(shelf, differences=1)
    assert lexical.ids(IdRange()).count(twice) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"start": 10_000, "end": 10_010},
        {"start": 20, "end": 10},
        {"start": 0, "end": 3},
        {"embed_text": "Something else altogether."},
        {"ordinal": 7},
        {"id": "ef" * 16},
    ],
    ids=lambda damage: next(iter(damage)),
)
async def test_broken_chunks_are_found_and_the_page_is_cut_again(shelf: Shelf, damage: dict[str, Any]) -> None:
    victim = (await chunk_ids(shelf, "lamp"))[1]
    page = await page_of(shelf, "lamp")
    text = (await shelf.pages.text(page))[0]
    await execute(shelf, update(ChunkRow).where(ChunkRow.id == victim).values(damage))
    report = await shelf.verifier().verify()
    assert ("chunks_broken", page, None) in told(report)
    repaired = await shelf.verifier().verify(repair=True)
    assert repaired.mended == repaired.differences
    await assert_clean(shelf)
    assert (await shelf.pages.text(page))[0] == text
    assert urls(await shelf.search("trimmed wick", limit=1)) == ["https://h/lamp"]


async def test_a_lost_chunk_row_is_found(shelf: Shelf) -> None:
    victim = (await chunk_ids(shelf, "lamp"))[1]
    await execute(shelf, delete(ChunkRow).where(ChunkRow.id == victim))
    kinds = {difference for difference, _, _ in told(await shelf.verifier().verify())}
    assert kinds == {"chunks_broken", "orphan_in_index"}
    await shelf.verifier().verify(repair=True)
    await assert_clean(shelf)
    assert urls(await shelf.search("trimmed wick", limit=1)) == ["https://h/lamp"]


@pytest.mark.parametrize("blocks", [[], [["paragraph", 5, 9_999, 0]], [["nonsense", 0, 1, 0]], [[1, 2]], "broken"])
async def test_a_text_that_is_not_the_one_hashed(shelf: Shelf, blocks: Any) -> None:
    """It is kept, for there is no other, but the next visit must not be told that nothing changed."""
    page = await page_of(shelf, "keeper")
    live = select(PageRow.live_generation).where(PageRow.id == page).scalar_subquery()
    values = {"text": "The keeper winds the clockwork. Not so.", "etag": '"1"', "last_modified": "x", "blocks": blocks}
    await execute(shelf, update(GenerationRow).where(GenerationRow.id == live).values(values))
    assert told(await shelf.verifier().verify()) >= {("text_not_as_hashed", page, None)}
    repaired = await shelf.verifier().verify(repair=True)
    assert repaired.mended == repaired.differences
    await assert_clean(shelf)
    async with shelf.database.read() as connection:
        found = await connection.execute(select(GenerationRow.etag, GenerationRow.last_modified).where(GenerationRow.id == live))
        assert tuple(found.one()) == (None, None)
    assert "Not so" in (await shelf.search("keeper clockwork", limit=1))[0].chunk.text


async def test_a_shown_version_that_is_not_marked_live_is_kept(shelf: Shelf) -> None:
    page = await page_of(shelf, "lamp")
    await execute(shelf, update(GenerationRow).where(GenerationRow.page_id == page).values(state="stale"))
    checked = shelf.verifier()
    assert ("version_half_live", page, None) in told(await checked.verify())
    await checked.verify(repair=True)
    await assert_clean(shelf)
    assert urls(await shelf.search("whale oil", limit=1)) == ["https://h/lamp"]


async def test_a_live_version_that_no_page_shows_goes(shelf: Shelf) -> None:
    page = await page_of(shelf, "lamp")
    await execute(shelf, update(PageRow).where(PageRow.id == page).values(live_generation=None))
    assert told(await shelf.verifier().verify()) == {("version_half_live", page, None)}
    await assert_mended(shelf, differences=1)
    with pytest.raises(NotFound):
        await shelf.pages.text(page)


@pytest.mark.sqlite
async def test_a_page_whose_version_is_lost_goes(shelf: Shelf) -> None:
    page = await page_of(shelf, "keeper")
    with sqlite3.connect(shelf.corpus.directory.database) as connection:
        connection.execute("DELETE FROM generations WHERE page_id = ?", (page,))
    connection.close()
    assert ("version_half_live", page, None) in told(await shelf.verifier().verify())
    await shelf.verifier().verify(repair=True)
    await shelf.verifier().verify(repair=True)
    async with shelf.database.read() as opened:
        assert await opened.scalar(select(PageRow.id).where(PageRow.id == page)) is None


async def test_what_points_at_no_page_is_dropped(shelf: Shelf) -> None:
    gone, living = "0" * 32, await page_of(shelf, "lamp")
    async with shelf.database.write() as connection:
        source = {"id": "s", "collection_id": shelf.collection, "spec": {}, "created_at": utc_now()}
        await connection.execute(insert(SourceRow).values(**source))
        for page in (gone, living):
            await connection.execute(insert(PageSourceRow).values(page_id=page, source_id="s", job_id="j"))
            for kind in ("duplicate", "canonical", "redirect"):
                alias = {"collection_id": shelf.collection, "url": f"https://h/{kind}-{page}", "page_id": page, "kind": kind}
                await connection.execute(insert(AliasRow).values(**alias, seen_at=utc_now()))
    dropped = {("alias_of_no_page", f"https://h/{kind}-{gone}", None) for kind in ("duplicate", "canonical")}
    assert told(await shelf.verifier().verify()) == dropped | {("source_of_no_page", gone, None)}
    await assert_mended(shelf, differences=3)
    async with shelf.database.write() as connection:
        aliases = (await connection.execute(select(AliasRow.kind, AliasRow.page_id))).all()
        kept = {(kind, living) for kind in ("duplicate", "canonical", "redirect")} | {("redirect", gone)}
        assert {tuple(alias) for alias in aliases} == kept  # a redirect is known before its target is a page, if it ever is
        assert (await connection.scalars(select(PageSourceRow.page_id))).all() == [living]
        await connection.execute(delete(AliasRow))
        await connection.execute(delete(SourceRow))


# Beside readers and writers


async def at_every_step(shelf: Shelf, disturb: Callable[[], Awaitable[Any]], *, repair: bool) -> Report:
    """Verify, and have something happen after each look into the database or an index."""
    loop, index, database = asyncio.get_running_loop(), shelf.corpus.index, shelf.database
    ids, present, snapshot = index.ids, index.present, database.snapshot
    inside = False

    async def disturbed() -> None:
        nonlocal inside
        if not inside:
            inside = True
            await disturb()
            inside = False

    def from_thread(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*args: Any) -> Any:
            found = read(*args)
            asyncio.run_coroutine_threadsafe(disturbed(), loop).result()
            return found

        return reading

    async def snapshot_then(read: Any) -> Any:
        found = await snapshot(read)
        await disturbed()
        return found

    with (
        patch.object(index, "ids", from_thread(ids)),
        patch.object(index, "present", from_thread(present)),
        patch.object(database, "snapshot", snapshot_then),
    ):
        return await shelf.verifier().verify(repair=repair)


@pytest.mark.parametrize("repair", [False, True], ids=["verify", "repair"])
async def test_pages_that_change_and_go_meanwhile_are_no_difference(shelf: Shelf, repair: bool) -> None:
    turns = 0

    async def churn() -> None:
        nonlocal turns
        turns += 1
        await shelf.put("https://h/lamp", "# Lamp", f"The lamp burns whale oil at night, turn {turns}.")
        if turns % 3 == 0:
            await shelf.pages.delete(await shelf.put("https://h/brief", "A page that doesn't last."))

    report = await at_every_step(shelf, churn, repair=repair)
    assert turns > 5
    assert (report.counts, report.findings) == ({}, [])
    await assert_clean(shelf)


async def test_a_version_being_written_is_no_orphan(shelf: Shelf) -> None:
    seen: list[Report] = []
    missing = shelf.corpus.index.missing
    loop = asyncio.get_running_loop()

    def verifying_between(ids: list[str]) -> set[str]:
        found = missing(ids)
        if not seen:
            seen.append(asyncio.run_coroutine_threadsafe(shelf.verifier().verify(repair=True), loop).result())
        return found

    with patch.object(shelf.corpus.index, "missing", verifying_between):
        await shelf.put("https://h/new", "A page that is being written.")
    [report] = seen
    assert (report.counts, report.pending) == ({}, 1)
    await assert_clean(shelf)


async def test_a_deleted_page_that_waits_for_the_sweep_is_no_orphan(shelf: Shelf) -> None:
    with patch.object(shelf.corpus.index, "delete", side_effect=TransientError("not now")):
        await shelf.pages.delete(await page_of(shelf, "lamp"))
    report = await shelf.verifier().verify()
    assert (report.counts, report.pending) == ({}, 1)
    await shelf.verifier().verify(repair=True)
    await assert_clean(shelf)


async def test_a_repair_that_a_deletion_overtakes_leaves_nothing_behind(shelf: Shelf) -> None:
    page, index = await page_of(shelf, "lamp"), shelf.corpus.index
    index.tokens.delete(await chunk_ids(shelf, "lamp"))
    write, loop = index.write, asyncio.get_running_loop()

    def write_late(*args: Any) -> None:
        asyncio.run_coroutine_threadsafe(shelf.pages.delete(page), loop).result()
        write(*args)

    with patch.object(index, "write", write_late):
        await shelf.verifier().verify(repair=True)
    await assert_clean(shelf)
    assert shelf.counts() == {1}


async def test_one_at_a_time(shelf: Shelf) -> None:
    checked = shelf.verifier()
    first = asyncio.create_task(checked.verify())
    await asyncio.sleep(0)
    with pytest.raises(Conflict):
        await checked.verify()
    assert (await first).differences == 0


# Failing and limits


async def test_an_index_that_fails_is_no_clean_bill(shelf: Shelf) -> None:
    with (
        patch.object(shelf.corpus.index.tokens, "ids", side_effect=sqlite3.OperationalError("disk I/O error")),
        pytest.raises(Unavailable, match="disk I/O error"),
    ):
        await shelf.verifier().verify()
    shelf.corpus.index.tokens.delete(await chunk_ids(shelf, "keeper"))
    with patch.object(shelf.corpus.index, "write", side_effect=TransientError("no")):
        report = await shelf.verifier().verify(repair=True)
    assert (report.differences, report.mended) == (1, 0)
    await assert_mended(shelf, differences=1)


async def test_many_ids_are_compared_in_parts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (0, 8192, 8193, 100_000, 1_000_000, 5_000_000):
        ranges = mending.parts(count)
        assert len(ranges) == max(1, -(-count // 8192))
        beginnings = [one for within in ranges for one in within.beginnings]
        assert beginnings == ([""] if len(ranges) == 1 else [f"{i:0{len(beginnings[0])}x}" for i in range(len(beginnings))])
        assert len(beginnings) == 16 ** len(beginnings[0])  # each id is in one of them
    monkeypatch.setattr(mending, "IDS_AT_ONCE", 1)
    lost = (await chunk_ids(shelf, "lamp"))[0]
    shelf.corpus.index.tokens.delete([lost])
    shelf.corpus.index.vectors.upsert([STRANGER], np.ones((1, 384), dtype=np.float32))
    report = await shelf.verifier().verify()
    assert told(report) == {("missing_in_index", lost, "tokens"), ("orphan_in_index", STRANGER.id, "vectors")}
    await assert_mended(shelf, differences=2)


async def test_a_thousand_findings_are_counted_and_the_first_told(shelf: Shelf) -> None:
    strangers = [f"{i:032x}" for i in range(1000)]
    shelf.corpus.index.tokens.upsert(strangers, [np.ones((1, 384), dtype=np.float32)] * 1000)
    report = await shelf.verifier().verify(repair=True)
    assert (report.counts, report.mended, len(report.findings)) == ({Difference.ORPHAN: 1000}, 1000, 100)
    await assert_clean(shelf)


async def test_what_the_start_had_to_rebuild_is_told_once(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(settings, fake_embedder) as opened:
        page = await opened.put("https://h/x", "The keeper winds the clockwork.")
        opened.corpus.index.tokens.delete([chunk.id for chunk in await opened.chunks(page)])
    async with open_shelf(settings, fake_embedder) as opened:
        checked = opened.verifier(rebuilt_at_start=opened.corpus.rebuilt_chunks)
        first, second = await checked.verify(), await checked.verify()
    assert (first.counts, first.mended) == ({Difference.MISSING: 1}, 1)
    assert second.differences == 0


async def test_the_command_without_a_service(
    settings: Settings, fake_embedder: FakeEmbedder, empty_queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the corpus itself, which rebuilds what is missing: that too is a difference, and told."""
    shutil.copy(empty_queue, settings.data_dir / "queue.sqlite")
    async with open_shelf(settings, fake_embedder) as opened:
        page = await opened.put("https://h/x", "The keeper winds the clockwork.")
        opened.corpus.index.tokens.delete([chunk.id for chunk in await opened.chunks(page)])
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("FOOTNOTE_DATABASE__URL", settings.database.url.get_secret_value())
    monkeypatch.setattr("corpus.opening.load_embedder", lambda settings, **_: fake_embedder)
    monkeypatch.setattr("footnote.logs.set_up_logging", lambda settings, quiet: None)
    for expected in ((1, {"missing_in_index": 1}, 1), (0, {}, 0)):
        ran = await asyncio.to_thread(CliRunner().invoke, command_line, ["verify", "--json"])
        found = json.loads(ran.stdout)
        assert (ran.exit_code, found["counts"], found["mended"]) == expected
