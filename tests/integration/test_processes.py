"""The register of processes: who is there, who is dead, and whose work is whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from corpus.database import Database, utc_now
from corpus.errors import Conflict, StartupError
from corpus.processes import BEATS, EMBEDDED, Presence, bury, find_dead, listed
from corpus.tables import ProcessRow
from tests.conftest import Home

TIMEOUT_S = 25.0


@pytest.fixture
async def database(home: Home) -> AsyncIterator[Database]:
    async with Database(url=home.database) as opened:
        await opened.migrate()
        yield opened


@pytest.fixture
def presence(database: Database) -> Callable[..., Presence]:
    def make(id: str, **options: Any) -> Presence:
        facts = {"role": "worker", "place": id, "shares_index": True, "timeout_s": TIMEOUT_S} | options
        return Presence(database_url=database.url, id=id, **facts)

    return make


async def ids(database: Database) -> list[str]:
    return [one.id for one in await database.snapshot(listed)]


async def silence(database: Database, *, for_s: float) -> None:
    """Of all who are there."""
    async with database.write() as connection:
        await connection.execute(update(ProcessRow).values(seen_at=utc_now() - timedelta(seconds=for_s)))


async def test_processes_come_and_go(database: Database, presence: Callable[..., Presence]) -> None:
    with presence("a", role="service") as first:
        with presence("b"):
            found = await database.snapshot(listed)
            assert [(one.id, one.role, one.dead) for one in found] == [("a", "service", False), ("b", "worker", False)]
            assert all(0 <= one.silent_s < TIMEOUT_S and one.pid for one in found)
            assert [one.id for one in await first.others(database)] == ["b"]
        assert await ids(database) == ["a"]
    assert await ids(database) == []


async def test_the_silent_are_dead_until_they_are_buried(database: Database, presence: Callable[..., Presence]) -> None:
    with presence("a"):
        assert await find_dead(database, timeout_s=TIMEOUT_S) == []
        await silence(database, for_s=TIMEOUT_S + 1)
        with presence("b") as second:
            assert await second.others(database) == []  # though nobody has found it dead yet
            for _ in range(2):  # whoever took it over may have died before it was done
                assert await find_dead(database, timeout_s=TIMEOUT_S) == ["a"]
            assert [one.id for one in await second.others(database)] == []
            await bury(database, ["a", "b"])
            assert await ids(database) == ["b"]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110  (a thread changes it)
            await asyncio.sleep(0.02)


async def test_who_was_taken_for_dead_is_heard_of_again(
    database: Database, presence: Callable[..., Presence], caplog: pytest.LogCaptureFixture
) -> None:
    with presence("a", timeout_s=0.1 * BEATS):
        for buried in (False, True):
            caplog.clear()
            async with asyncio.timeout(30):
                while "was taken for dead" not in caplog.text:
                    await silence(database, for_s=3600)
                    dead = await find_dead(database, timeout_s=TIMEOUT_S)
                    if buried:
                        await bury(database, dead)
                    await asyncio.sleep(0.05)
                while [(one.id, one.dead) for one in await database.snapshot(listed)] != [("a", False)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_nobody_judges_others_who_could_not_reach_the_database_itself(presence: Callable[..., Presence]) -> None:
    """After an outage all have been silent."""
    with presence("a", timeout_s=0.2 * BEATS) as alive:
        await until(lambda: alive.is_steady)
        with patch.object(Presence, "_beat", side_effect=OperationalError("", {}, Exception())):
            await until(lambda: not alive.is_steady)
        await until(lambda: alive.is_steady)


@pytest.mark.parametrize(("there", "comes"), [(False, False), (False, True), (True, False)])
async def test_an_index_of_one_s_own_is_for_one_process(
    database: Database, presence: Callable[..., Presence], there: bool, comes: bool
) -> None:
    with presence("a", shares_index=there):
        with pytest.raises(StartupError, match=r"milvus\.uri"), presence("b", shares_index=comes):
            pass
        assert await ids(database) == ["a"]
        await silence(database, for_s=TIMEOUT_S + 1)
        with presence("b", shares_index=comes):
            pass


async def test_a_process_that_starts_again_in_its_directory_was_dead(
    database: Database, presence: Callable[..., Presence]
) -> None:
    """Its lock says so, so nobody need wait."""
    with presence(EMBEDDED, shares_index=False, place="here"), presence(EMBEDDED, shares_index=False, place="here"):
        assert await ids(database) == [EMBEDDED]
    with presence("old", place="there"), presence("new", place="there"):
        async with database.read() as connection:
            dead = select(ProcessRow.id).where(ProcessRow.dead_at.is_not(None))
            assert list(await connection.scalars(dead)) == ["old"]


async def test_nobody_reindexes_while_others_use_the_index(database: Database, presence: Callable[..., Presence]) -> None:
    with presence("a") as one:
        await one.demand_alone(database)
        with presence("b", role="worker"), pytest.raises(Conflict, match=r"worker .* would go on with the old one"):
            await one.demand_alone(database)
        await one.demand_alone(database)
