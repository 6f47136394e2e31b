"""A service that is told to stop: new requests are turned away, open ones get their end."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from app.llm.base import Piece
from app.llm.stoppable import StoppableModel
from corpus.errors import Unavailable
from corpus.settings import Settings
from footnote.embedded import EmbeddedService
from tests.fakes import FakeEmbedder, FakeModel
from tests.running import Running, until

TOWER = "The tower is 330 metres tall and was finished in 1889."
QUESTION = {"question": "How tall is the tower?", "stream": True}


@dataclass
class Stopping(Running):
    embedded: EmbeddedService | None = None

    def stop(self) -> None:
        """As a signal does, which sets this and no more."""
        assert self.embedded is not None
        self.embedded.stop()
        until(lambda: self.embedded.readiness.state == "stopping")


@contextmanager
def embedded(
    folder: Path, model: FakeModel, embedder: FakeEmbedder, queue: Path, *, grace_s: float
) -> Iterator[tuple[Stopping, threading.Thread]]:
    settings = Settings(data_dir=folder, server={"port": 0, "shutdown_grace_s": grace_s})
    shutil.copy(queue, settings.data_dir / "queue.sqlite")
    with patch("corpus.opening.load_embedder", return_value=embedder), patch("app.state.load_model", return_value=model):
        service = EmbeddedService(settings, with_worker=False)
        url = service.bind()
        loops: list[asyncio.AbstractEventLoop] = []

        async def serve() -> None:
            loops.append(asyncio.get_running_loop())
            await service.serve()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        until(lambda: service.readiness.state != "starting")
    try:
        assert service.readiness.service is not None, service.readiness.error
        with httpx2.Client(base_url=url, timeout=30) as http:
            running = Stopping(http, loops[0], service.readiness.service, model, embedded=service)
            running.put("https://a.example/tower", TOWER, title="Tower")
            yield running, thread
    finally:
        service.stop()
        thread.join()
    assert model.closed


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class HeldModel(FakeModel):
    """Says a word, and the others once it may."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.may_go_on = asyncio.Event()

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        async with aclosing(super().generate(prompt, max_tokens=max_tokens, stop=stop)) as pieces:
            async for piece in pieces:
                yield piece
                await self.may_go_on.wait()


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(TOWER)


def test_an_open_answer_is_finished_and_new_requests_are_turned_away(
    tmp_path: Path, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    model = HeldModel(TOWER)
    with embedded(tmp_path, model, fake_embedder, empty_queue, grace_s=20) as (service, thread):
        with service.http.stream("POST", "/v1/ask", json=QUESTION) as response:
            found = events(response.iter_lines())
            while next(found)[0] != "token":
                pass
            service.stop()
            turned_away = httpx2.post(f"{service.url}/v1/ask", json=QUESTION)  # over a connection of its own
            assert (turned_away.status_code, turned_away.json()["code"]) == (503, "unavailable")
            assert int(turned_away.headers["retry-after"]) > 0
            ready = httpx2.get(f"{service.url}/readyz")
            assert (ready.status_code, ready.json()["state"]) == (503, "stopping")
            assert httpx2.get(f"{service.url}/healthz").status_code == 200
            service.loop.call_soon_threadsafe(model.may_go_on.set)
            *_, (name, answer) = found
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert (name, answer["state"], answer["notes"]) == ("done", "grounded", [])


def test_when_the_time_is_up_an_answer_ends_with_its_quotes(
    tmp_path: Path, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    model = FakeModel("The", hangs=True)
    with embedded(tmp_path, model, fake_embedder, empty_queue, grace_s=0.2) as (service, thread):
        with service.http.stream("POST", "/v1/ask", json=QUESTION) as response:
            found = events(response.iter_lines())
            while next(found)[0] != "token":
                pass
            service.stop()
            *_, (name, answer) = found
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert (name, answer["state"]) == ("done", "quoted")
    assert answer["citations"][0]["quote"] == TOWER
    assert any("stopping" in note for note in answer["notes"])
    assert (model.running, model.cancelled) == (0, 1)


def test_who_watches_a_job_is_told_that_the_service_stops(
    tmp_path: Path, model: FakeModel, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    with embedded(tmp_path, model, fake_embedder, empty_queue, grace_s=20) as (service, thread):
        job = service.http.post("/v1/ingest", json={"urls": ["https://a.example/"]}).json()["job_id"]  # no worker takes it
        with service.http.stream("GET", f"/v1/jobs/{job}/events") as response:
            found = events(response.iter_lines())
            assert next(found)[0] == "progress"
            service.stop()
            *_, (name, problem) = found
        thread.join(timeout=30)
        assert not thread.is_alive()  # and nobody waited out the grace for it
    assert (name, problem["code"]) == ("error", "unavailable")
    assert "stopping" in problem["detail"]


def test_a_service_with_nothing_to_do_stops_at_once(
    tmp_path: Path, model: FakeModel, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    with embedded(tmp_path, model, fake_embedder, empty_queue, grace_s=600) as (service, thread):
        assert service.http.get("/readyz").status_code == 200  # its connection stays open
        service.stop()
        thread.join(timeout=30)
        assert not thread.is_alive()


# The model that can be told to stop


async def test_all_who_write_and_all_who_wait_are_told() -> None:
    stopping = asyncio.Event()
    model = FakeModel("one two three", slots=1, hangs=True)
    stoppable = StoppableModel(model, stopping=stopping)

    async def whole() -> list[Piece]:
        return [piece async for piece in stoppable.generate("Say", max_tokens=9)]

    tasks = [asyncio.create_task(whole()) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert (model.admission.running, model.admission.waiting) == (1, 2)
    stopping.set()
    for task in tasks:
        with pytest.raises(Unavailable, match="stopping"):
            await task
    with pytest.raises(Unavailable, match="stopping"):
        await whole()
    assert (model.admission.running, model.admission.waiting) == (0, 0)


async def test_until_then_it_is_the_model_and_leaving_early_frees_the_slot() -> None:
    model = FakeModel("one two three", slots=1)
    stoppable = StoppableModel(model, stopping=asyncio.Event())
    assert "".join([p.text async for p in stoppable.generate("Say", max_tokens=9)]) == "one two three"
    writing = stoppable.generate("Say", max_tokens=9)
    await anext(writing)
    assert model.running == 1
    await writing.aclose()
    assert model.running == 0
    assert stoppable.facts == model.facts
    await stoppable.close()
    assert model.closed


def test_a_client_of_mcp_that_only_listens_holds_nobody_up(
    tmp_path: Path, model: FakeModel, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    with embedded(tmp_path, model, fake_embedder, empty_queue, grace_s=60) as (service, thread):
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert service.http.post("/mcp", json=call, headers=accept).status_code == 200
        left = service.embedded
        assert left is not None
        with service.http.stream("GET", "/mcp", headers=accept) as response:
            listens = response.status_code == 200
            service.stop()
            list(response.iter_raw())
        thread.join(timeout=20)  # of a grace of 60
        assert not thread.is_alive()
    assert listens
