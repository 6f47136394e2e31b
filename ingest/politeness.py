"""Per-host pacing: one request in flight per host, and a pause between the starts of two.

The pause follows the host: an answer is to take a fifth of it at most, so that a host that answers slowly is asked seldom,
and it doubles whenever the host says, or shows, that it has too much to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

PAUSE_PER_ANSWER = 5.0  # a host is busy with us for a fifth of the time
LEAST_BACK_OFF_S = 1.0  # after the first sign that a host has too much to do

_MAX_IDLE_HOSTS = 1_000  # remembered before idle ones are forgotten


@dataclass(slots=True)
class _Host:
    delay_s: float
    adaptive_s: float = 0.0
    last_start_s: float = float("-inf")
    not_before_s: float = float("-inf")
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def ready_s(self) -> float:
        return max(self.last_start_s + self.pause_s, self.not_before_s)

    @property
    def pause_s(self) -> float:
        return max(self.delay_s, self.adaptive_s)


def adapted_pause_s(pause_s: float, *, answer_s: float, is_overloaded: bool, longest_s: float) -> float:
    """The pause after an answer that took ``answer_s``, where it was ``pause_s`` before. Half of the way at a time, so that
    one slow page doesn't count for all; up to ``longest_s``."""
    wanted_s = max(2 * pause_s, LEAST_BACK_OFF_S) if is_overloaded else (pause_s + PAUSE_PER_ANSWER * answer_s) / 2
    return min(wanted_s, longest_s)


class Pacing(Protocol):
    """Whoever hands out turns at hosts: this module's within one process, or ``ingest/shared_politeness.py``'s over many."""

    def delay_for(self, host: str) -> float: ...
    def set_delay(self, host: str, delay_s: float) -> None: ...
    def hold_off(self, host: str, wait_s: float) -> None: ...
    def answered(self, host: str, *, answer_s: float, is_overloaded: bool) -> None: ...
    def turn(self, host: str) -> AbstractAsyncContextManager[None]: ...


class Politeness:
    """Hands out turns, host by host and first come, first served.

    Args:
        delay_s: least time between the starts of two requests to one host, unless :meth:`set_delay` says otherwise. 0 also
            turns off what follows the host's answers, for hosts of one's own.
        max_delay_s: how far the pause may grow with the host's answers.
        clock: seconds from any origin, never going back.
        sleep: waits that many seconds of ``clock``.
    """

    def __init__(
        self,
        *,
        delay_s: float,
        max_delay_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._delay_s = delay_s
        self._max_delay_s = max_delay_s
        self._clock = clock
        self._sleep = sleep
        self._hosts: dict[str, _Host] = {}

    def delay_for(self, host: str) -> float:
        """Seconds between the starts of two requests to ``host``."""
        state = self._hosts.get(host)
        return self._delay_s if state is None else state.pause_s

    def set_delay(self, host: str, delay_s: float) -> None:
        """Pace ``host`` at ``delay_s`` (a Crawl-delay, say), counted from the last request's start.

        Hosts long idle may be forgotten with their delay: set it again whenever it is known.
        """
        self._state(host).delay_s = delay_s

    def hold_off(self, host: str, wait_s: float) -> None:
        """Start nothing at ``host`` for ``wait_s`` seconds from now: it asked for that (Retry-After, RFC 9110)."""
        state = self._state(host)
        state.not_before_s = max(state.not_before_s, self._clock() + wait_s)

    def answered(self, host: str, *, answer_s: float, is_overloaded: bool) -> None:
        """Pace ``host`` by what its last answer took, or showed (429, 503, no answer at all)."""
        if self._delay_s == 0:
            return
        state = self._state(host)
        state.adaptive_s = adapted_pause_s(
            state.pause_s, answer_s=answer_s, is_overloaded=is_overloaded, longest_s=self._max_delay_s
        )

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for one's turn at ``host`` and hold it. Giving up while waiting costs the others nothing."""
        state = self._state(host)
        state.users += 1
        try:
            async with state.lock:
                wait_s = state.ready_s - self._clock()
                if wait_s > 0:
                    await self._sleep(wait_s)
                state.last_start_s = self._clock()
                yield
        finally:
            state.users -= 1

    def _state(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            if len(self._hosts) >= _MAX_IDLE_HOSTS:
                self._forget_idle()
            state = self._hosts[host] = _Host(self._delay_s)
        return state

    def _forget_idle(self) -> None:
        now_s = self._clock()
        self._hosts = {name: state for name, state in self._hosts.items() if state.users or state.ready_s > now_s}
