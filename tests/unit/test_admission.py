"""Who is next where many wait for the model."""

from __future__ import annotations

import asyncio

import pytest

from app.llm.admission import Admission
from corpus.errors import Overloaded

pytestmark = pytest.mark.asyncio


class Hall:
    """Askers before an admission. ``served`` tells who got a slot, in that order; ``leave`` ends the answer of one of them."""

    def __init__(self, *, slots: int, queue_limit: int) -> None:
        self.admission = Admission(slots=slots, queue_limit=queue_limit)
        self.served: list[str] = []
        self._inside: list[tuple[str, asyncio.Event]] = []

    async def comes(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._ask(name)) for name in names]
        await settled()
        return tasks

    async def leave(self, name: str) -> None:
        at = next(place for place, (who, _) in enumerate(self._inside) if who == name)
        self._inside.pop(at)[1].set()
        await settled()

    async def all_leave(self) -> None:
        while self._inside:
            await self.leave(self._inside[0][0])

    async def _ask(self, name: str) -> None:
        done = asyncio.Event()
        async with self.admission.slot(name):
            self.served.append(name)
            self._inside.append((name, done))
            await done.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_who_asks_much_at_once_does_not_go_before_one_who_asks_once() -> None:
    hall = Hall(slots=1, queue_limit=16)
    await hall.comes("greedy", "greedy", "greedy", "greedy", "modest")
    await hall.all_leave()
    assert hall.served == ["greedy", "modest", "greedy", "greedy", "greedy"]


async def test_askers_take_turns() -> None:
    hall = Hall(slots=1, queue_limit=16)
    await hall.comes("a", "a", "a", "b", "b", "b", "c")
    await hall.all_leave()
    assert hall.served == ["a", "b", "c", "a", "b", "a", "b"]


async def test_one_with_a_long_answer_gets_no_second_slot_while_another_has_none() -> None:
    hall = Hall(slots=2, queue_limit=16)
    await hall.comes("long", "short")
    await hall.comes("long", "short", "short")
    await hall.leave("short")  # the first of long is still being written
    await hall.leave("short")
    assert hall.served == ["long", "short", "short", "short"]
    await hall.leave("long")
    await hall.all_leave()
    assert hall.served[4:] == ["long"]


async def test_free_slots_are_taken_by_whoever_is_there() -> None:
    hall = Hall(slots=3, queue_limit=0)
    await hall.comes("a", "a", "a")
    assert hall.admission.running == 3


async def test_newcomers_without_end_do_not_starve_one_who_was_there_before() -> None:
    hall = Hall(slots=1, queue_limit=100)
    await hall.comes("old", "old")
    for number in range(10):
        await hall.comes(f"new {number}")
    for _ in range(3):
        await hall.leave(hall.served[-1])
        await hall.comes("another")
    await hall.all_leave()
    assert hall.served.index("old", 1) <= 11  # those who came before its last turn ended, and nobody later
    assert "another" in hall.served[12:]


async def test_a_full_queue_makes_room_at_the_cost_of_whoever_fills_it() -> None:
    hall = Hall(slots=1, queue_limit=3)
    tasks = await hall.comes("greedy", "greedy", "greedy", "greedy")
    [modest] = await hall.comes("modest")
    assert hall.admission.waiting == 3
    with pytest.raises(Overloaded, match="3 questions are waiting") as refused:
        await tasks[-1]  # the last that it asked
    assert refused.value.retry_after_s
    await hall.all_leave()
    await asyncio.gather(*tasks[:-1], modest)
    assert hall.served == ["greedy", "modest", "greedy", "greedy"]


async def test_a_full_queue_refuses_those_who_fill_it_and_those_who_would_have_as_much() -> None:
    hall = Hall(slots=1, queue_limit=2)
    await hall.comes("a", "a", "b")
    for name in ("a", "b", "c"):
        [task] = await hall.comes(name)
        with pytest.raises(Overloaded):
            await task
    assert (hall.admission.running, hall.admission.waiting) == (1, 2)
    await hall.all_leave()


async def test_one_who_gives_up_as_the_turn_comes_gives_the_slot_back() -> None:
    hall = Hall(slots=1, queue_limit=3)
    tasks = await hall.comes("a", "b", "c")
    hall._inside.pop(0)[1].set()
    await asyncio.sleep(0)  # a's slot is b's now, which doesn't know it yet
    tasks[1].cancel()
    await settled()
    assert hall.served in (["a", "c"], ["a", "b", "c"])
    await hall.all_leave()
    assert (hall.admission.running, hall.admission.waiting) == (0, 0)


async def test_room_is_made_where_the_last_has_just_given_up() -> None:
    hall = Hall(slots=1, queue_limit=2)
    tasks = await hall.comes("greedy", "greedy", "greedy")
    modest = asyncio.create_task(hall._ask("modest"))
    tasks[-1].cancel()  # it hears of it after the modest one has come
    await settled()
    await hall.all_leave()
    await modest
    assert hall.served == ["greedy", "modest", "greedy"]


async def test_nothing_is_remembered_of_those_who_left() -> None:
    hall = Hall(slots=1, queue_limit=3)
    for number in range(5):
        await hall.comes(f"asker {number}")
        await hall.all_leave()
    assert hall.admission._askers == {}
