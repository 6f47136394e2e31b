"""A new index beside the live one: built from the stored text, broken off and taken up again, switched to at once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from corpus.database import Database, sqlite_url
from corpus.datadir import DataDirectory
from corpus.embedding import Embedding
from corpus.errors import Conflict, FootnoteError, IndexMismatch, StorageFull
from corpus.index_facts import index_facts, with_remembered
from corpus.opening import Corpus
from corpus.reindexing import Plan, Progress, Reindexer, abandon, clear_others
from corpus.settings import IndexSettings, Settings
from corpus.store import IdRange
from corpus.tables import ChunkRow, GenerationRow
from footnote.cli import app as command_line
from tests.fakes import FakeEmbedder
from tests.running import Running, running, until
from tests.shelf import Shelf, open_shelf, urls
from tests.tiny_models import make_embedder

SMALL = IndexSettings(chunk_max_tokens=32, chunk_min_tokens=0)
PAGES = {
    "https://a.example/trains": "The night train leaves at nine.",
    "https://a.example/bread": "Sourdough rises slowly in winter.",
    "https://a.example/whales": "Blue whales sing in the deep ocean.",
}


class CountingEmbedder(FakeEmbedder):
    """Another embedder, with vectors of another dimension."""

    def __init__(self) -> None:
        super().__init__(dimension=64, name="another")
        self.embedded = 0

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]:
        self.embedded += len(texts)
        return super().embed_passages(texts)


async def fill(shelf: Shelf) -> None:
    for url, text in PAGES.items():
        # Long enough to be cut into more chunks by SMALL than by the default.
        await shelf.put(url, text, *(f"Paragraph {n} of {url} goes on about other things for a while." for n in range(12)))


def reindexer(shelf: Shelf, embedder: FakeEmbedder, **options: Any) -> Reindexer:
    return Reindexer(database=shelf.database, home=shelf.corpus.home, settings=SMALL, embedder=embedder, **options)


def reindexed(settings: Settings) -> Settings:
    return settings.model_copy(update={"index": SMALL})


async def finish(shelf: Shelf, work: Reindexer) -> None:
    """All steps, as the service takes them."""
    index = await work.begin()
    try:
        while True:
            await work.build(index)
            await work.check(index)
            if await work.switch(index):
                break
    finally:
        await asyncio.to_thread(index.close)


async def is_whole(shelf: Shelf) -> None:
    """The database and the one index agree, nothing of another is left, and each page is found by its words."""
    report = await shelf.verifier().verify()
    assert report.differences == 0, report.findings
    number = shelf.corpus.index.number
    assert shelf.corpus.directory.index_numbers() == {number}
    async with shelf.database.read() as connection:
        assert await connection.scalar(select(func.count()).where(ChunkRow.index_no != number)) == 0
        assert await connection.scalar(select(func.count()).where(GenerationRow.other_count.is_not(None))) == 0
    for url, text in PAGES.items():
        assert urls(await shelf.search(text))[0] == url


async def test_the_new_index_takes_the_old_ones_place(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    another = CountingEmbedder()
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        before = await shelf.stored_chunks()
        await finish(shelf, reindexer(shelf, another))
    async with open_shelf(reindexed(settings), another) as shelf:
        assert shelf.corpus.index.number == 2
        assert shelf.corpus.rebuilt_chunks == 0
        await is_whole(shelf)
        assert await shelf.stored_chunks() == another.embedded > before
        assert (await shelf.search("night train"))[0].chunk.text in (await whole_text(shelf, "https://a.example/trains"))
        await shelf.put("https://a.example/new", "A page that came later.")
        await shelf.pages.delete((await shelf.search("Sourdough"))[0].chunk.page_id)
        assert "https://a.example/bread" not in urls(await shelf.search("Sourdough"))
        assert len(shelf.counts()) == 1
    with pytest.raises(IndexMismatch, match="footnote reindex"):  # the old embedder is another now
        async with open_shelf(reindexed(settings), fake_embedder):
            pass


async def whole_text(shelf: Shelf, url: str) -> str:
    found = await shelf.pages.at(url, collection="default")
    assert found is not None
    page = found.page
    return (await shelf.pages.whole(page.id)).text


async def test_readers_see_the_old_index_until_the_switch(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        ids = {hit.chunk.id for hit in await shelf.search("Paragraph", limit=50)}
        work = reindexer(shelf, CountingEmbedder())
        index = await work.begin()
        await work.build(index)
        assert {hit.chunk.id for hit in await shelf.search("Paragraph", limit=50)} == ids
        page = (await shelf.search("trains"))[0].chunk.page_id
        assert {chunk.id for chunk in await shelf.chunks(page)} <= ids
        await asyncio.to_thread(index.close)
    async with open_shelf(settings, fake_embedder) as shelf:  # a start in between keeps what was done
        assert shelf.corpus.index.number == 1
        assert {hit.chunk.id for hit in await shelf.search("Paragraph", limit=50)} == ids
        assert shelf.corpus.directory.index_numbers() == {1, 2}


class BrokenOff(Exception):
    pass


@pytest.mark.parametrize(("step", "passage"), [("cut", 1), ("fill", 1), ("fill", 2), ("check", 1), ("switch", 1)])
async def test_what_was_broken_off_is_taken_up_again(
    settings: Settings, fake_embedder: FakeEmbedder, step: str, passage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.mending.BATCH", 16)
    monkeypatch.setattr("corpus.reindexing.PAGES_AT_ONCE", 2)
    another, passages = CountingEmbedder(), 0

    async def report(progress: Progress) -> None:
        nonlocal passages
        passages += progress.step == step
        if progress.step == step and passages == passage + 1 - (step in ("check", "switch")):
            raise BrokenOff

    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        with pytest.raises(BrokenOff):
            await finish(shelf, reindexer(shelf, another, report=report))
    done_before = another.embedded
    async with open_shelf(settings, fake_embedder) as shelf:
        for url, text in PAGES.items():
            assert urls(await shelf.search(text))[0] == url
        again = reindexer(shelf, another)
        assert (await again.plan()).resumes
        await finish(shelf, again)
    async with open_shelf(reindexed(settings), another) as shelf:
        await is_whole(shelf)
        chunks = await shelf.stored_chunks()
        assert another.embedded == chunks  # nothing twice
        assert done_before < chunks or step in ("check", "switch")


async def test_a_crash_right_after_the_switch_leaves_the_new_index(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    another = CountingEmbedder()
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        await finish(shelf, reindexer(shelf, another))  # and nothing is cleared
        assert shelf.corpus.directory.index_numbers() == {1, 2}
    async with open_shelf(reindexed(settings), another) as shelf:
        await is_whole(shelf)


async def test_another_aim_begins_anew(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    one, another = FakeEmbedder(name="one", dimension=32), CountingEmbedder()
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        work = reindexer(shelf, one)
        index = await work.begin()
        await work.build(index)
        await asyncio.to_thread(index.close)
        changed = reindexer(shelf, another)
        assert not (await changed.plan()).resumes
        await finish(shelf, changed)
    async with open_shelf(reindexed(settings), another) as shelf:
        await is_whole(shelf)


async def test_an_abandoned_one_leaves_nothing(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        work = reindexer(shelf, CountingEmbedder())
        index = await work.begin()
        await work.build(index)
        await asyncio.to_thread(index.close)
        assert await abandon(shelf.database, shelf.corpus.home)
        assert not await abandon(shelf.database, shelf.corpus.home)
        await is_whole(shelf)


async def test_what_changes_meanwhile_is_in_the_new_index_and_what_is_deleted_in_neither(
    settings: Settings, fake_embedder: FakeEmbedder
) -> None:
    another = CountingEmbedder()
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        gone = await shelf.put("https://a.example/gone", "A secret about zebras.", "More of it, on zebras.")
        work = reindexer(shelf, another)
        index = await work.begin()
        index.beside, shelf.corpus.index.beside = shelf.corpus.index, index
        await work.build(index)
        await shelf.put("https://a.example/bread", "Sourdough rises slowly in winter, and faster in summer.")
        await shelf.put("https://a.example/late", "Lighthouses blink at night.")
        await shelf.pages.delete(gone)
        held = set(index.vectors.ids(IdRange()))
        async with shelf.database.read() as connection:
            live = select(ChunkRow.id).where(ChunkRow.index_no == 2)
            assert held <= set(await connection.scalars(live))  # no chunk of what was deleted or replaced is left
        assert not await work.switch(index)  # two versions aren't in it yet
        assert await work.build(index) == 2
        await work.check(index)
        assert await work.switch(index)
        await asyncio.to_thread(index.close)
    async with open_shelf(reindexed(settings), another) as shelf:
        await is_whole(shelf)
        assert urls(await shelf.search("Lighthouses blink"))[0] == "https://a.example/late"
        assert all("zebras" not in hit.chunk.text for hit in await shelf.search("zebras"))


async def test_a_new_index_that_differs_is_mended_or_not_taken_into_use(settings: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        work = reindexer(shelf, CountingEmbedder())
        index = await work.begin()
        await work.build(index)
        lost = index.vectors.ids(IdRange())[:3]
        index.vectors.delete(lost)
        await work.check(index)
        assert index.missing(lost) == set()
        async with shelf.database.write() as connection:
            await connection.execute(ChunkRow.__table__.update().where(ChunkRow.id == lost[0]).values(embed_text="other"))
        with pytest.raises(FootnoteError, match="isn't taken into use"):
            await work.check(index)
        await asyncio.to_thread(index.close)


async def test_it_is_refused_where_it_makes_no_sense_or_there_is_no_room(
    settings: Settings, fake_embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
        same = Reindexer(database=shelf.database, home=shelf.corpus.home, settings=IndexSettings(), embedder=fake_embedder)
        with pytest.raises(Conflict, match="nothing to do"):
            await same.begin()
        work = reindexer(shelf, CountingEmbedder())
        plan: Plan = await work.plan()
        assert (plan.pages, plan.resumes) == (3, False)
        assert any("embedder.name was 'bag-of-words', is now 'another'" in one for one in plan.differences)
        assert 0 < plan.needed_bytes < plan.free_bytes

        monkeypatch.setattr("corpus.reindexing.LEAST_FREE_BYTES", plan.free_bytes)
        with pytest.raises(StorageFull, match="as it was"):
            await work.begin()
        assert shelf.corpus.directory.index_numbers() == {1}


def test_settings_that_are_not_named_are_those_the_index_was_made_with() -> None:
    remembered = {"embedder": "/models/other", "chunk_max_tokens": 128}
    assert with_remembered(IndexSettings(), remembered).embedder == "/models/other"
    named = with_remembered(IndexSettings(embedder="all-MiniLM-L6-v2"), remembered)
    assert (named.embedder, named.chunk_max_tokens) == ("all-MiniLM-L6-v2", 128)


# In the service


def test_a_service_answers_all_the_while_and_from_one_index_at_a_time(
    settings: Settings, fake_embedder: FakeEmbedder, empty_queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.mending.BATCH", 16)
    another = CountingEmbedder()
    with running(settings, embedder=fake_embedder, queue=empty_queue) as service:
        for number in range(8):
            service.put(f"https://a.example/{number}", *(f"Page {number} says thing {n} about trains." for n in range(30)))
        service.service.reindexing._old_index_stays_s = 0.5
        stop, answers, wrong = threading.Event(), [], []

        def ask() -> None:
            while not stop.is_set():
                answer = service.http.post("/v1/search", json={"query": "thing about trains", "limit": 20})
                if answer.status_code != 200:
                    wrong.append(answer.text)
                answers.append(frozenset(hit["chunk_id"] for hit in answer.json().get("hits", [])))

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        old = ids_of(service, 1)
        with patch("app.reindex.load_embedder", return_value=another):
            began = service.http.post("/v1/reindex", json={"embedder": "another", "chunk_max_tokens": 32, "chunk_min_tokens": 0})
            assert began.status_code == 202, began.text
            assert service.http.post("/v1/reindex", json={"embedder": "another"}).status_code == 409
        until(lambda: service.http.get("/v1/reindex").json()["step"] == "clear")
        new = ids_of(service, 2)
        until(lambda: any(found <= new for found in answers))  # one at least was made after the switch
        until(lambda: service.http.get("/v1/reindex").json()["state"] != "running")
        stop.set()
        for thread in asking:
            thread.join()
        status = service.http.get("/v1/reindex").json()
        assert (status["state"], status["error"]) == ("succeeded", None)
        assert wrong == []
        assert all(found and (found <= old or found <= new) for found in answers)
        assert service.http.get("/readyz").json()["embedder"] == "another"
        assert service.http.post("/v1/verify", json={}).json()["clean"]
        assert DataDirectory(settings.data_dir).index_numbers() == {2}
        page = service.http.get("/v1/pages").json()["pages"][0]
        assert service.http.delete(f"/v1/pages/{page['id']}").status_code == 204
        assert service.http.post("/v1/verify", json={}).json()["clean"]


def ids_of(service: Running, number: int) -> set[str]:
    async def read() -> set[str]:
        async with service.service.database.read() as connection:
            return set(await connection.scalars(select(ChunkRow.id).where(ChunkRow.index_no == number)))

    return service.inside(read())


def test_a_service_that_stops_in_between_takes_it_up_at_the_next_start(
    settings: Settings, fake_embedder: FakeEmbedder, empty_queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.mending.BATCH", 4)
    another = CountingEmbedder()
    held = threading.Event()

    def slowly(texts: Sequence[str]) -> list[Embedding]:
        held.wait(timeout=20)
        return FakeEmbedder.embed_passages(another, texts)

    wanted = {"embedder": "another", "chunk_max_tokens": 32, "chunk_min_tokens": 0}
    with running(settings, embedder=fake_embedder, queue=empty_queue) as service:
        for number in range(4):
            service.put(f"https://a.example/{number}", *(f"Page {number} says thing {n} about trains." for n in range(30)))
        with patch("app.reindex.load_embedder", return_value=another), patch.object(another, "embed_passages", slowly):
            service.http.post("/v1/reindex", json=wanted).raise_for_status()
            until(lambda: service.http.get("/v1/reindex").json()["step"] == "fill")
            threading.Timer(0.3, held.set).start()
            service.inside(service.service.reindexing.stop())
        assert service.http.get("/v1/reindex").json()["state"] == "failed"
        assert service.http.post("/v1/search", json={"query": "trains"}).json()["hits"]
    (settings.data_dir / "queue.sqlite").unlink()
    with running(settings, embedder=fake_embedder, queue=empty_queue) as service:
        service.service.reindexing._old_index_stays_s = 0.0
        with patch("app.reindex.load_embedder", return_value=another):
            assert service.http.post("/v1/reindex/plan", json=wanted).json()["resumes"]
            service.http.post("/v1/reindex", json=wanted).raise_for_status()
        until(lambda: service.http.get("/v1/reindex").json()["state"] != "running")
        assert service.http.get("/v1/reindex").json()["state"] == "succeeded"
        assert service.http.post("/v1/verify", json={}).json()["clean"]


@pytest.mark.parametrize(
    "body",
    [
        {"device": "cpu"},
        {"chunk_max_tokens": 5},
        {"embedder": ""},
        {"embedder": "no-such-folder"},
        {"embedder": "~nobody/x"},
        {"embedder": "x" * 4000},
        {"chunk_max_tokens": None},
    ],
)
def test_a_bad_request_changes_nothing(
    settings: Settings, fake_embedder: FakeEmbedder, empty_queue: Path, body: dict[str, Any]
) -> None:
    with running(settings, embedder=fake_embedder, queue=empty_queue) as service:
        assert service.http.post("/v1/reindex", json=body).status_code in (409, 422)
        assert service.http.get("/v1/reindex").json()["state"] == "idle"


# By the command line, without a service


async def test_the_command_makes_an_index_anew_whose_embedder_is_gone(
    settings: Settings, fake_embedder: FakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_embedder(tmp_path / "tiny")
    async with open_shelf(settings, fake_embedder) as shelf:
        await fill(shelf)
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setattr("footnote.logs.set_up_logging", lambda settings, quiet: None)
    runner = CliRunner()
    planned = await asyncio.to_thread(runner.invoke, command_line, ["reindex", "--embedder", str(folder), "--dry-run", "--json"])
    assert json.loads(planned.stdout)["pages"] == 3
    ran = await asyncio.to_thread(runner.invoke, command_line, ["reindex", "--embedder", str(folder)])
    assert ran.exit_code == 0, ran.output
    assert "The new index is in use." in ran.stdout
    async with Database(url=sqlite_url(settings.data_dir / "footnote.sqlite")) as database:
        facts = await database.snapshot(index_facts)
    assert (facts.number, facts.settings["embedder"], facts.unfinished) == (2, str(folder), False)
    again = await asyncio.to_thread(runner.invoke, command_line, ["reindex", "--embedder", str(folder)])
    assert isinstance(again.exception, Conflict)

    from corpus.opening import open_corpus

    async with open_corpus(settings) as corpus:  # whose settings name no embedder
        assert (corpus.embedder.stamp.name, corpus.embedder.stamp.dimension) == ("tiny", 64)
        assert corpus.index.counts()["vectors"] == (await counted(settings))
        await clear_others_is_idle(corpus)


async def counted(settings: Settings) -> int:
    async with Database(url=sqlite_url(settings.data_dir / "footnote.sqlite")) as database, database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(ChunkRow)) or 0)


async def clear_others_is_idle(corpus: Corpus) -> None:
    async with Database(url=corpus.database_url) as database:
        before = corpus.directory.index_numbers()
        await clear_others(database, corpus.home)
        assert corpus.directory.index_numbers() == before == {2}
