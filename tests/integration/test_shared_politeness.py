"""Pacing over several workers: what holds within one process, and between two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, utc_now
from corpus.tables import HostRow, ProcessRow
from ingest.politeness import Pacing
from ingest.shared_politeness import SharedPoliteness, database_seconds, forget_hosts
from tests.conftest import Home
from tests.unit.test_politeness import (
    FakeTime,
    politeness,
    starts,
    test_a_crawl_delay_holds_from_the_last_start,
    test_a_failed_request_frees_the_host,
    test_a_slow_host_is_asked_seldom_and_a_quick_one_as_before,
    test_an_overloaded_host_is_left_alone_ever_longer_but_not_for_ever,
    test_cancelled_while_pausing_does_not_use_up_a_turn,
    test_giving_up_while_waiting_blocks_no_one,
    test_hold_off,
    test_hosts_do_not_wait_for_each_other,
    test_one_in_flight_per_host_and_first_come_first_served,
    test_starts_are_a_delay_apart,
    test_the_delay_counts_from_the_start_not_the_end,
    test_without_a_delay_a_hosts_answers_do_not_count,
    time,
)

# Run here with the fixture ``pace`` of this module.
__all__ = [
    "politeness",
    "test_a_crawl_delay_holds_from_the_last_start",
    "test_a_failed_request_frees_the_host",
    "test_a_slow_host_is_asked_seldom_and_a_quick_one_as_before",
    "test_an_overloaded_host_is_left_alone_ever_longer_but_not_for_ever",
    "test_cancelled_while_pausing_does_not_use_up_a_turn",
    "test_giving_up_while_waiting_blocks_no_one",
    "test_hold_off",
    "test_hosts_do_not_wait_for_each_other",
    "test_one_in_flight_per_host_and_first_come_first_served",
    "test_starts_are_a_delay_apart",
    "test_the_delay_counts_from_the_start_not_the_end",
    "test_without_a_delay_a_hosts_answers_do_not_count",
    "time",
]

ONE, TWO = "one", "two"
LONGEST_TURN_S = 10.0


@pytest.fixture
async def database(home: Home) -> AsyncIterator[Database]:
    async with Database(url=home.database) as opened:
        await opened.migrate()
        async with opened.write() as connection:
            now = utc_now()
            facts: dict[str, Any] = {"role": "worker", "host": "h", "pid": 1, "place": "p", "shares_index": True}
            facts |= {"started_at": now, "seen_at": now}
            await connection.execute(insert(ProcessRow), [facts | {"id": name} for name in (ONE, TWO)])
        yield opened


@pytest.fixture
def pace(database: Database) -> Callable[..., Pacing]:
    def make(*, clock: Callable[[], float], me: str = ONE, **options: Any) -> SharedPoliteness:
        async def now(connection: AsyncConnection) -> float:
            return clock()

        return SharedPoliteness(database=database, me=me, longest_turn_s=LONGEST_TURN_S, now=now, clock=clock, **options)

    return make


@pytest.fixture
def both(time: FakeTime, pace: Callable[..., Pacing]) -> tuple[Pacing, Pacing]:
    make = partial(pace, delay_s=2.0, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)
    return make(me=ONE), make(me=TWO)


async def test_two_workers_keep_one_pause(both: tuple[Pacing, Pacing]) -> None:
    begun: list[float] = []

    async def fetch(pacing: SharedPoliteness) -> None:
        for _ in range(3):
            async with pacing.turn("h"):
                begun.append(pacing._hosts["h"].turn_s)  # not the clock, which the other one's waiting moves too

    await asyncio.gather(*(fetch(pacing) for pacing in both if isinstance(pacing, SharedPoliteness)))
    assert len(begun) == 6
    assert all(later - earlier >= 2 for earlier, later in pairwise(sorted(begun))), begun


async def test_two_workers_never_have_a_request_at_one_host_at_once(both: tuple[Pacing, Pacing]) -> None:
    running, most = 0, 0

    async def request(pacing: Pacing) -> None:
        nonlocal running, most
        async with pacing.turn("h"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1

    await asyncio.gather(*(request(pacing) for pacing in both for _ in range(5)))
    assert most == 1


async def test_what_a_host_asks_for_is_known_to_all(both: tuple[Pacing, Pacing], time: FakeTime) -> None:
    one, two = both
    one.set_delay("slow", 7.0)
    await starts(one, time, "slow", 1)
    assert await starts(two, time, "slow", 1) == [107]
    async with one.turn("busy"):
        one.hold_off("busy", 30.0)
        held_off_at = time.now_s
    assert (await starts(two, time, "busy", 1))[0] >= held_off_at + 30
    async with one.turn("weak"):
        one.answered("weak", answer_s=0.1, is_overloaded=True)
    await starts(two, time, "weak", 1)
    assert two.delay_for("weak") == 4.0


async def silence(database: Database, process: str) -> None:
    async with database.write() as connection:
        now = utc_now() - timedelta(hours=1)
        await connection.execute(update(ProcessRow).where(ProcessRow.id == process).values(dead_at=now))


async def test_a_dead_worker_s_turn_is_free_again(
    both: tuple[Pacing, Pacing],
    time: FakeTime,
    database: Database,
) -> None:
    one, two = both
    async with one.turn("h"):  # and is killed
        await silence(database, ONE)
        assert await starts(two, time, "h", 1) == [102]


async def test_a_turn_that_is_never_given_back_ends(both: tuple[Pacing, Pacing], time: FakeTime) -> None:
    one, two = both
    async with one.turn("h"):
        [begun] = await starts(two, time, "h", 1)
        assert begun >= 100 + LONGEST_TURN_S
        async with two.turn("other"):
            pass
    # What came back too late frees nobody else's turn.
    async with two.turn("h"):
        held = asyncio.create_task(starts(one, time, "h", 1))
        await asyncio.sleep(0.05)
        assert not held.done()
    await held


async def test_a_turn_that_is_cancelled_as_it_begins_is_over(
    both: tuple[Pacing, Pacing],
    time: FakeTime,
    database: Database,
) -> None:
    one, _ = both
    await starts(one, time, "h", 1)
    async with database.write() as connection:  # the transaction was committed, and nobody heard of it
        await connection.execute(update(HostRow).values(held_by=ONE, held_until_s=time.now_s + LONGEST_TURN_S))
    assert await starts(one, time, "h", 1) == [102]


async def test_idle_hosts_are_forgotten_and_met_anew(both: tuple[Pacing, Pacing], time: FakeTime, database: Database) -> None:
    one, _ = both
    async with database.write() as connection:
        time.now_s = await database_seconds(connection)
    [begun] = await starts(one, time, "h", 1)
    await forget_hosts(database, idle_for=timedelta(days=1))
    assert await starts(one, time, "h", 1) == [begun + 2]
    async with database.write() as connection:
        await connection.execute(update(HostRow).values(last_start_s=begun - 90_000, held_until_s=0))
    await forget_hosts(database, idle_for=timedelta(days=1))
    async with database.read() as connection:
        assert (await connection.scalars(select(HostRow.host))).all() == []
    assert await starts(one, time, "h", 1) == [begun + 2]
