import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.politeness import LEAST_BACK_OFF_S, PAUSE_PER_ANSWER, Pacing, Politeness, adapted_pause_s


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        await asyncio.sleep(0)
        self.now_s += wait_s


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def pace() -> Callable[..., Pacing]:
    """Makes whoever hands out turns; ``integration/test_shared_politeness.py`` puts the one that several workers share here,
    and runs the same tests."""
    return Politeness


@pytest.fixture
def politeness(time: FakeTime, pace: Callable[..., Pacing]) -> Pacing:
    return pace(delay_s=2.0, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)


async def starts(politeness: Pacing, time: FakeTime, host: str, count: int) -> list[float]:
    found = []
    for _ in range(count):
        async with politeness.turn(host):
            found.append(time.now_s)
    return found


async def test_starts_are_a_delay_apart(politeness: Pacing, time: FakeTime) -> None:
    assert await starts(politeness, time, "h", 3) == [100, 102, 104]


async def test_the_delay_counts_from_the_start_not_the_end(politeness: Pacing, time: FakeTime) -> None:
    async with politeness.turn("h"):
        time.now_s += 1.5
    assert await starts(politeness, time, "h", 1) == [102]


async def test_hosts_do_not_wait_for_each_other(politeness: Pacing, time: FakeTime) -> None:
    async with politeness.turn("a"), politeness.turn("b"):
        assert time.now_s == 100


async def test_a_crawl_delay_holds_from_the_last_start(politeness: Pacing, time: FakeTime) -> None:
    await starts(politeness, time, "h", 1)
    politeness.set_delay("h", 7.0)
    assert politeness.delay_for("h") == 7.0
    assert politeness.delay_for("other") == 2.0
    assert await starts(politeness, time, "h", 2) == [107, 114]


async def test_hold_off(politeness: Pacing, time: FakeTime) -> None:
    politeness.hold_off("h", 30.0)
    politeness.hold_off("h", 1.0)  # does not shorten the first
    assert await starts(politeness, time, "h", 2) == [130, 132]


async def test_a_slow_host_is_asked_seldom_and_a_quick_one_as_before(politeness: Pacing, time: FakeTime) -> None:
    for _ in range(20):
        async with politeness.turn("slow"):
            time.now_s += 1.0
        politeness.answered("slow", answer_s=1.0, is_overloaded=False)
    assert politeness.delay_for("slow") == pytest.approx(PAUSE_PER_ANSWER, rel=0.01)
    begun, _, ended = await starts(politeness, time, "slow", 3)
    assert ended - begun == pytest.approx(2 * PAUSE_PER_ANSWER, rel=0.01)
    politeness.answered("quick", answer_s=0.01, is_overloaded=False)
    assert politeness.delay_for("quick") == 2.0
    for _ in range(20):
        politeness.answered("slow", answer_s=0.01, is_overloaded=False)
    assert politeness.delay_for("slow") == 2.0


async def test_an_overloaded_host_is_left_alone_ever_longer_but_not_for_ever(time: FakeTime, pace: Callable[..., Pacing]) -> None:
    politeness = pace(delay_s=0.5, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)
    pauses = []
    for _ in range(8):
        politeness.answered("h", answer_s=0.1, is_overloaded=True)
        pauses.append(politeness.delay_for("h"))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    politeness.set_delay("h", 10.0)  # a Crawl-delay doesn't shorten it
    assert politeness.delay_for("h") == 30


async def test_without_a_delay_a_hosts_answers_do_not_count(time: FakeTime, pace: Callable[..., Pacing]) -> None:
    politeness = pace(delay_s=0.0, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)
    politeness.answered("h", answer_s=9.0, is_overloaded=True)
    assert politeness.delay_for("h") == 0


@given(*[st.floats(0, 1e6)] * 3, st.booleans())
def test_the_pause_is_bounded(pause_s: float, answer_s: float, longest_s: float, is_overloaded: bool) -> None:
    adapted_s = adapted_pause_s(pause_s, answer_s=answer_s, is_overloaded=is_overloaded, longest_s=longest_s)
    assert 0 <= adapted_s <= longest_s
    if is_overloaded:
        assert adapted_s >= min(longest_s, LEAST_BACK_OFF_S, pause_s + 1)


async def test_one_in_flight_per_host_and_first_come_first_served(time: FakeTime, pace: Callable[..., Pacing]) -> None:
    politeness = pace(delay_s=0.0, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)
    running, most, order = 0, 0, []

    async def request(number: int) -> None:
        nonlocal running, most
        async with politeness.turn("h"):
            running += 1
            most = max(most, running)
            order.append(number)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(request(n) for n in range(10)))
    assert most == 1
    assert order == list(range(10))


async def test_giving_up_while_waiting_blocks_no_one(time: FakeTime, pace: Callable[..., Pacing]) -> None:
    politeness = pace(delay_s=0.0, max_delay_s=30.0, clock=time.clock, sleep=time.sleep)

    async def request() -> None:
        async with politeness.turn("h"):
            pass

    async with politeness.turn("h"):
        queued = asyncio.create_task(request())
        later = asyncio.create_task(request())
        await asyncio.sleep(0)
        queued.cancel()
    async with asyncio.timeout(30):
        await later
    with pytest.raises(asyncio.CancelledError):
        await queued


async def test_cancelled_while_pausing_does_not_use_up_a_turn(time: FakeTime, pace: Callable[..., Pacing]) -> None:
    started = asyncio.Event()

    async def sleep_for_ever(wait_s: float) -> None:
        started.set()
        await asyncio.Event().wait()

    politeness = pace(delay_s=5.0, max_delay_s=30.0, clock=time.clock, sleep=sleep_for_ever)
    async with politeness.turn("h"):
        pass
    task = asyncio.create_task(starts(politeness, time, "h", 1))
    await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    time.now_s += 5.0
    assert await starts(politeness, time, "h", 1) == [105]  # not 110


async def test_a_failed_request_frees_the_host(politeness: Pacing, time: FakeTime) -> None:
    with pytest.raises(RuntimeError):
        async with politeness.turn("h"):
            raise RuntimeError
    assert await starts(politeness, time, "h", 1) == [102]


async def test_idle_hosts_are_forgotten_busy_ones_are_not(time: FakeTime) -> None:
    politeness = Politeness(delay_s=2.0, clock=time.clock, sleep=time.sleep)
    async with politeness.turn("busy"):
        time.now_s += 60
        for number in range(3_000):
            politeness.set_delay(f"h{number}", 1.0)
        assert len(politeness._hosts) <= 1_000
        assert "busy" in politeness._hosts
