"""Waiting at a start for servers that aren't there yet: containers start in any order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from corpus.errors import StartupError, Unavailable

T = TypeVar("T")
PAUSE_S = 1.0


async def arrived(
    ask: Callable[[], Awaitable[T]],
    *,
    name: str,
    wait_s: float,
    report: Callable[[str], None] = lambda stage: None,
    clock: Callable[[], float] = time.monotonic,
    pause_s: float = PAUSE_S,
) -> T:
    """What ``ask`` gives once the server it asks is there. ``name`` names it for people, without secrets; ``report`` is told that
    it is waited for.

    Raises: StartupError, if it isn't there after ``wait_s``.
    """
    give_up_at = clock() + wait_s
    waiting = False
    while True:
        try:
            return await ask()
        except Unavailable as exc:
            if clock() >= give_up_at:
                raise StartupError(
                    f"{name} can't be reached, and was waited for {wait_s:g} s. Start it, or correct its address in the settings."
                ) from exc
            if not waiting:
                report(f"waiting for {name}")
            waiting = True
            await asyncio.sleep(pause_s)
