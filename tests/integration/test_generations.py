"""A page changes at once or not at all, whoever reads, deletes, writes beside or dies meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import utc_now
from corpus.embedding import Embedding
from corpus.errors import IndexMismatch, NotFound, TransientError
from corpus.generations import Pending
from corpus.model import SearchMode
from corpus.settings import Settings
from corpus.tables import GenerationRow, PageRow
from tests.fakes import FakeEmbedder
from tests.shelf import Shelf, ignore_flip, open_shelf, urls

URL = "https://a.example/page"


def version(number: int, *, sections: int = 3) -> list[str]:
    """A page whose every chunk tells its version. All versions answer the query "zebra" equally well."""
    return [part for i in range(sections) for part in (f"## Part {i}", f"zebra version{number} " + f"filler{i} " * 100)]


def versions_in(texts: list[str]) -> set[str]:
    return {word for text in texts for word in text.split() if word.startswith("version")}


@asynccontextmanager
async def held_before_the_flip(shelf: Shelf, *blocks: str, url: str = URL) -> AsyncIterator[asyncio.Task[str]]:
    """A write whose chunks are in the indexes but which hasn't gone live; it goes on when the block ends."""
    written, go_on = asyncio.Event(), asyncio.Event()
    missing: Callable[[list[str]], set[str]] = partial(type(shelf.corpus.index).missing, shelf.corpus.index)
    loop = asyncio.get_running_loop()

    def pausing(ids: list[str]) -> set[str]:
        found = missing(ids)
        loop.call_soon_threadsafe(written.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return found

    with patch.object(shelf.corpus.index, "missing", pausing):
        task = asyncio.create_task(shelf.put(url, *blocks))
        await written.wait()
        try:
            yield task
        finally:
            go_on.set()
            await asyncio.wait([task])


async def test_readers_see_one_whole_version_at_every_moment(shelf: Shelf) -> None:
    page = await shelf.put(URL, *version(0))
    chunk_count = len(await shelf.chunks(page))
    assert chunk_count == 3
    finished = False
    seen: set[str] = set()
    searches = 0

    async def search() -> None:
        nonlocal searches
        modes = list(SearchMode)
        while not finished:
            hits = await shelf.search("zebra", mode=modes[searches % 3])
            found = versions_in([hit.chunk.text for hit in hits])
            assert len(found) == 1, f"search saw {found or 'nothing'}"
            assert len({hit.chunk.content_hash for hit in hits}) == 1
            assert len(hits) == chunk_count
            seen.update(found)
            searches += 1

    async def read() -> None:
        while not finished:
            text, _ = await shelf.pages.text(page)
            assert len(versions_in([text])) == 1
            chunks = await shelf.chunks(page)
            assert len(chunks) == chunk_count
            assert len(versions_in([chunk.text for chunk in chunks])) == 1
            await asyncio.sleep(0)

    async def rewrite() -> None:
        nonlocal finished
        try:
            for number in range(1, 13):
                await shelf.put(URL, *version(number))
        finally:
            finished = True

    async with asyncio.TaskGroup() as group:
        for task in (rewrite(), search(), search(), read()):
            group.create_task(task)
    assert len(seen) > 2, "the readers were too slow to see anything change"


async def test_a_search_that_a_flip_overtakes_is_made_again(shelf: Shelf) -> None:
    """The window is narrow: between asking the indexes and looking up what they proposed. Held open here."""
    await shelf.put(URL, *version(0))
    lexical = shelf.corpus.index.lexical.search
    loop = asyncio.get_running_loop()
    flips = 0

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        nonlocal flips
        found = lexical(*args, **kwargs)
        if flips < 1:
            flips += 1
            asyncio.run_coroutine_threadsafe(shelf.put(URL, *version(1)), loop).result()
        return found

    for mode in (SearchMode.LEXICAL, SearchMode.HYBRID):
        flips = 0
        await shelf.put(URL, *version(0))
        with patch.object(shelf.corpus.index.lexical, "search", overtaken):
            hits = await shelf.search("zebra", mode=mode)
        assert versions_in([hit.chunk.text for hit in hits]) == {"version1"}
        assert len(hits) == 3


async def test_before_the_flip_the_old_version_is_read_and_after_it_the_new_one(shelf: Shelf) -> None:
    page = await shelf.put(URL, *version(1))
    async with held_before_the_flip(shelf, *version(2)) as writing:
        for mode in SearchMode:
            assert versions_in([hit.chunk.text for hit in await shelf.search("zebra", mode=mode)]) == {"version1"}
        assert versions_in([(await shelf.pages.text(page))[0]]) == {"version1"}
    await writing
    for mode in SearchMode:
        assert versions_in([hit.chunk.text for hit in await shelf.search("zebra", mode=mode)]) == {"version2"}
    assert versions_in([(await shelf.pages.text(page))[0]]) == {"version2"}


async def test_a_long_page_being_rewritten_does_not_crowd_its_live_version_out(settings: Settings, shelf: Shelf) -> None:
    """The new version fits the query better and has more chunks than a search has candidates."""
    many = settings.search.candidates + 10
    await shelf.put(URL, "zebra once, among other words that make it a worse match than what comes")
    async with held_before_the_flip(shelf, *(part for i in range(many) for part in (f"## Part {i}", "zebra " * 150))):
        for mode in SearchMode:
            assert len(await shelf.search("zebra", mode=mode)) == 1, mode


async def test_a_page_that_was_never_live_is_not_seen_before_its_flip(shelf: Shelf) -> None:
    async with held_before_the_flip(shelf, *version(1)) as writing:
        assert await shelf.search("zebra") == []
        assert (await shelf.pages.list(collection="default"))[0] == []
        assert (await shelf.pages.counts())["pages"] == 0
    await writing
    assert urls(await shelf.search("zebra", limit=1)) == [URL]


async def test_the_old_version_leaves_nothing_behind(shelf: Shelf) -> None:
    for number in range(4):
        await shelf.put(URL, *version(number, sections=4 - number))
    assert shelf.counts() == {1}
    assert await shelf.stored_chunks() == 1
    assert await shelf.generation_states() == ["live"]


async def test_a_batch_goes_live_together(shelf: Shelf) -> None:
    news = [shelf.new_page(f"https://a.example/{i}", *version(i)) for i in range(3)]
    visible: list[int] = []

    async def look(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
        assert went_live
        visible.append(len(await shelf.search("zebra", limit=50)))

    await shelf.writer.commit(news, on_flip=look)
    assert visible == [0, 0, 0]
    assert len(await shelf.search("zebra", limit=50)) == 9


async def test_what_on_flip_writes_is_true_together_with_the_page(shelf: Shelf) -> None:
    async def refuse(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
        raise RuntimeError("the process dies here")

    await shelf.put(URL, *version(1))
    with pytest.raises(RuntimeError):
        await shelf.put(URL, *version(2), on_flip=refuse)
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version1"}


async def crash_at(shelf: Shelf, step: str, *blocks: str) -> None:
    """Die during a write: the exception leaves the writer at once, as a kill would."""

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    async def die_in_flip(*_: Any) -> None:
        raise Killed

    index = shelf.corpus.index
    places: dict[str, tuple[Any, str]] = {
        "embedding": (shelf.corpus.embedder, "embed_passages"),
        "vectors": (index.vectors, "upsert"),
        "lexical": (index.lexical, "upsert"),
        "flush": (index.lexical, "flush"),
        "verifying": (index, "missing"),
        "sweep": (shelf.writer, "sweep"),
    }
    deadly = nullcontext() if step == "flip" else patch.object(*places[step], die)
    with deadly, pytest.raises(Killed):
        await shelf.put(URL, *blocks, on_flip=die_in_flip if step == "flip" else ignore_flip)


async def test_a_crash_at_any_step_leaves_one_whole_version_and_the_next_start_cleans_up(
    settings: Settings, fake_embedder: FakeEmbedder
) -> None:
    expected = "version0"
    steps = ("embedding", "vectors", "lexical", "flush", "verifying", "flip", "sweep")
    for number, step in enumerate(steps, start=1):
        async with open_shelf(settings, fake_embedder) as shelf:
            if number == 1:
                await shelf.put(URL, *version(0))
            await crash_at(shelf, step, *version(number))
        if step == "sweep":  # it was live already: only cleaning up was left
            expected = f"version{number}"
        async with open_shelf(settings, fake_embedder) as shelf:
            assert shelf.counts() == {3}, step
            assert await shelf.stored_chunks() == 3, step
            assert await shelf.generation_states() == ["live"], step
            for mode in SearchMode:
                hits = await shelf.search("zebra", mode=mode)
                assert versions_in([hit.chunk.text for hit in hits]) == {expected}, step
                assert len(hits) == 3, step


async def test_an_index_that_loses_a_row_makes_nothing_live(shelf: Shelf) -> None:
    await shelf.put(URL, *version(1))
    vectors, upsert = shelf.corpus.index.vectors, shelf.corpus.index.vectors.upsert
    with (
        patch.object(vectors, "upsert", lambda rows, embedded: upsert(rows[:-1], embedded[:-1])),
        pytest.raises(TransientError) as caught,
    ):
        await shelf.put(URL, *version(2))
    assert caught.value.reason == "index_write_failed"
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version1"}
    await shelf.put(URL, *version(3))  # trying again mends it
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version3"}


async def test_a_lexical_index_that_loses_a_row_makes_nothing_live(shelf: Shelf) -> None:
    lexical, upsert = shelf.corpus.index.lexical, shelf.corpus.index.lexical.upsert
    with patch.object(lexical, "upsert", lambda rows: upsert(rows[1:])), pytest.raises(TransientError):
        await shelf.put(URL, *version(1))
    assert await shelf.search("zebra") == []


async def test_a_page_that_was_never_written_to_the_end_leaves_no_row(shelf: Shelf) -> None:
    kept = await shelf.put("https://a.example/kept", *version(1))
    lexical, upsert = shelf.corpus.index.lexical, shelf.corpus.index.lexical.upsert
    for url in (URL, "https://a.example/kept"):
        with patch.object(lexical, "upsert", lambda rows: upsert(rows[1:])), pytest.raises(TransientError):
            await shelf.put(url, *version(2))
    await shelf.writer.sweep()
    async with shelf.database.read() as connection:
        assert (await connection.scalars(select(PageRow.id))).all() == [kept]


async def test_a_page_deleted_while_it_is_rewritten_never_comes_back(shelf: Shelf) -> None:
    page = await shelf.put(URL, *version(1))
    flips: list[bool] = []

    async def note(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
        flips.append(went_live)

    async with held_before_the_flip(shelf, *version(2)):
        await shelf.pages.delete(page)
        assert await shelf.search("zebra") == []
    assert await shelf.search("zebra") == []
    with pytest.raises(NotFound):
        await shelf.pages.text(page)
    assert shelf.counts() == {0}  # the writer's own sweep, once it saw that it was revoked
    assert await shelf.generation_states() == []
    assert await shelf.stored_chunks() == 0
    await shelf.put(URL, *version(3), on_flip=note)
    assert flips == [True]
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version3"}


async def test_the_newest_of_two_writers_of_a_page_wins(shelf: Shelf) -> None:
    flips: dict[str, bool] = {}

    async def note(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
        flips[pending.new.page.text.split()[4]] = went_live

    await shelf.put(URL, *version(1))
    first_written, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async def wait_then_note(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
            await note(connection, pending, went_live)

        async with held_before_the_flip(shelf, *version(2)):
            first_written.set()
            await go_on.wait()

    task = asyncio.create_task(first())
    await first_written.wait()
    missing = type(shelf.corpus.index).missing
    with patch.object(shelf.corpus.index, "missing", lambda ids: missing(shelf.corpus.index, ids)):
        await shelf.put(URL, *version(3), on_flip=note)
    go_on.set()
    await task
    assert flips == {"version3": True}
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version3"}
    assert shelf.counts() == {3}
    assert await shelf.generation_states() == ["live"]


async def test_the_newest_writer_wins_even_if_the_older_one_ends_first(shelf: Shelf) -> None:
    older, newer = held_before_the_flip(shelf, *version(1)), held_before_the_flip(shelf, *version(2))
    await older.__aenter__()
    await newer.__aenter__()
    await older.__aexit__(None, None, None)
    assert await shelf.search("zebra") == []
    await newer.__aexit__(None, None, None)
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version2"}
    assert shelf.counts() == {3}


async def test_a_flip_that_another_flip_overtook_does_not_happen(shelf: Shelf) -> None:
    """Compare and swap: even a generation that nobody revoked may replace only what it set out to replace."""
    page = await shelf.put(URL, *version(1))
    async with held_before_the_flip(shelf, *version(2)):
        missing = type(shelf.corpus.index).missing
        with patch.object(shelf.corpus.index, "missing", lambda ids: missing(shelf.corpus.index, ids)):
            await shelf.put(URL, *version(3))
        async with shelf.database.write() as connection:  # as if the revocation had never happened
            await connection.execute(update(GenerationRow).where(GenerationRow.state == "revoked").values(state="writing"))
    assert versions_in([(await shelf.pages.text(page))[0]]) == {"version3"}
    assert shelf.counts() == {3}


async def test_a_page_twice_in_one_batch_takes_the_last(shelf: Shelf) -> None:
    await shelf.writer.commit([shelf.new_page(URL, *version(1)), shelf.new_page(URL, *version(2))], on_flip=ignore_flip)
    assert versions_in([hit.chunk.text for hit in await shelf.search("zebra")]) == {"version2"}
    assert shelf.counts() == {3}


async def test_a_page_that_becomes_empty_is_live_without_chunks(shelf: Shelf) -> None:
    page = await shelf.put(URL, *version(1))
    await shelf.put(URL)
    assert await shelf.search("zebra") == []
    assert (await shelf.pages.get(page)).chunks == 0
    assert shelf.counts() == {0}


async def test_the_sweep_leaves_writers_at_work_alone(shelf: Shelf) -> None:
    async with held_before_the_flip(shelf, *version(1)) as writing:
        assert await shelf.writer.sweep() == 0
    await writing
    assert len(await shelf.search("zebra")) == 3


async def test_the_sweep_of_the_abandoned_takes_what_began_before(shelf: Shelf) -> None:
    await crash_at(shelf, "flip", *version(1))
    assert await shelf.writer.sweep(abandoned_before=datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert shelf.counts() == {3}
    assert await shelf.writer.sweep(abandoned_before=utc_now()) == 1
    assert shelf.counts() == {0}
    assert await shelf.writer.sweep() == 0


async def test_generation_numbers_are_never_used_again(shelf: Shelf) -> None:
    first = await shelf.put(URL, *version(1))
    before = {chunk.id for chunk in await shelf.chunks(first)}
    await shelf.pages.delete(first)
    again = await shelf.put(URL, *version(1))
    assert again == first
    assert before.isdisjoint(chunk.id for chunk in await shelf.chunks(again))


# What didn't change isn't embedded again


def paragraphs(*, changed: int | None = None) -> list[str]:
    """A page of 20 chunks, each about words of its own; ``changed``: of which one is about something else."""
    return [
        part
        for i in range(20)
        for part in (
            f"## Part {i}",
            f"{'other' if i == changed else 'topic'}{i} " + " ".join(f"word{i}of{n}" for n in range(120)),
        )
    ]


@contextmanager
def embedded_texts(shelf: Shelf) -> Iterator[list[str]]:
    texts: list[str] = []
    embed = shelf.corpus.embedder.embed_passages

    def noting(some: Sequence[str]) -> list[Embedding]:
        texts.extend(some)
        return embed(some)

    with patch.object(shelf.corpus.embedder, "embed_passages", noting):
        yield texts


async def test_a_changed_page_embeds_only_its_changed_chunks(shelf: Shelf) -> None:
    with embedded_texts(shelf) as first:
        page = await shelf.put(URL, *paragraphs())
    assert len(first) == 20
    before = {chunk.ordinal: chunk.id for chunk in await shelf.chunks(page)}
    stored = shelf.corpus.index.load(list(before.values()))
    with embedded_texts(shelf) as second:
        await shelf.put(URL, *paragraphs(changed=7))
    assert len(second) == 1
    assert "other7" in second[0]
    after = {chunk.ordinal: chunk.id for chunk in await shelf.chunks(page)}
    assert set(after.values()).isdisjoint(before.values())
    taken_over = shelf.corpus.index.load(list(after.values()))
    for ordinal in after:
        old, new = stored[before[ordinal]], taken_over[after[ordinal]]
        same = old.vector.tobytes() == new.vector.tobytes() and old.tokens.tobytes() == new.tokens.tobytes()
        assert same == (ordinal != 7)
    assert [hit.chunk.ordinal for hit in await shelf.search("other7", limit=1)] == [7]
    assert [hit.chunk.ordinal for hit in await shelf.search("topic12 word12of5", limit=1)] == [12]


async def test_chunks_that_moved_within_the_page_are_taken_over_too(shelf: Shelf) -> None:
    await shelf.put(URL, *paragraphs())
    with embedded_texts(shelf) as texts:
        await shelf.put(URL, "## Preface", "something new " * 50, *paragraphs())
    assert len(texts) == 1


@pytest.mark.parametrize("store", ["vectors", "tokens"])
async def test_what_an_index_lost_is_embedded_again(shelf: Shelf, store: str) -> None:
    page = await shelf.put(URL, *paragraphs())
    lost = [chunk.id for chunk in await shelf.chunks(page)][3:5]
    getattr(shelf.corpus.index, store).delete(lost)
    with embedded_texts(shelf) as texts:
        await shelf.put(URL, *paragraphs(changed=7))
    assert len(texts) == 3
    assert [hit.chunk.ordinal for hit in await shelf.search("topic4 word4of5", limit=1)] == [4]


async def test_an_index_that_cannot_be_read_costs_time_and_nothing_else(shelf: Shelf) -> None:
    await shelf.put(URL, *paragraphs())
    failing = patch.object(shelf.corpus.index.tokens, "load", side_effect=sqlite3.OperationalError("disk I/O error"))
    with failing, embedded_texts(shelf) as texts:
        await shelf.put(URL, *paragraphs(changed=7))
    assert len(texts) == 20


async def test_only_the_same_page_lends_its_vectors_and_only_while_it_is_there(shelf: Shelf) -> None:
    """So no vector outlives what made it: an index may take another embedder once no page is left (``corpus/stamp.py``)."""
    page = await shelf.put(URL, *paragraphs())
    with embedded_texts(shelf) as other:
        await shelf.put("https://a.example/other", *paragraphs())
    await shelf.pages.delete(page)
    with embedded_texts(shelf) as again:
        await shelf.put(URL, *paragraphs())
    assert (len(other), len(again)) == (20, 20)


async def test_another_embedder_finds_nothing_to_take_over(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        page = await shelf.put(URL, *paragraphs())
    with pytest.raises(IndexMismatch):
        async with open_shelf(settings, FakeEmbedder(name="another")):
            pass
    async with open_shelf(settings, fake_embedder) as shelf:
        await shelf.pages.delete(page)
    async with open_shelf(settings, FakeEmbedder(name="another")) as shelf:
        with embedded_texts(shelf) as texts:
            await shelf.put(URL, *paragraphs())
        assert len(texts) == 20
