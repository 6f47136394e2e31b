"""What a start does while a server isn't there yet."""

from __future__ import annotations

import pytest

from corpus.arrival import arrived
from corpus.errors import StartupError, Unavailable


class Server:
    """Away for the first ``away`` times that it is asked; each takes a second of its own clock."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.away:
            raise Unavailable("away: postgresql://user:hunter2@h/db")
        return "there"

    def clock(self) -> float:
        return float(self.asked)


async def wait(server: Server, stages: list[str], wait_s: float = 60) -> str:
    return await arrived(
        server.ask, name="The index server at h:1", wait_s=wait_s, report=stages.append, clock=server.clock, pause_s=0
    )


async def test_one_that_is_there_is_not_waited_for() -> None:
    stages: list[str] = []
    assert (await wait(Server(0), stages, wait_s=0), stages) == ("there", [])


async def test_one_that_comes_is_waited_for_and_people_are_told_once() -> None:
    stages: list[str] = []
    assert (await wait(Server(5), stages), stages) == ("there", ["waiting for The index server at h:1"])


@pytest.mark.parametrize(("wait_s", "tries"), [(0, 1), (5, 5)])
async def test_one_that_does_not_come_ends_the_start_with_its_name_and_no_secret(wait_s: float, tries: int) -> None:
    server = Server(1_000)
    with pytest.raises(StartupError, match=r"The index server at h:1 can't be reached, and was waited for") as caught:
        await wait(server, [], wait_s=wait_s)
    assert "hunter2" not in caught.value.message
    assert server.asked == tries
