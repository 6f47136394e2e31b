"""When to stop asking a server that doesn't answer, and when to ask again.

A circuit breaker (Nygard, "Release It!", 2007): after so many failures in a row every call fails at once, instead of each one
waiting for its own time-out; after a pause one call is let through, and what becomes of it decides for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FAILURES = 3
PAUSE_S = 5.0


class CircuitBreaker:
    """Ask :meth:`wait_s` before a call, and tell afterwards how it ended. Thread-safe. ``clock`` gives seconds."""

    def __init__(
        self, *, failures: int = FAILURES, pause_s: float = PAUSE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_probe: float | None = None  # set while open

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once now, or would but for the one that probes."""
        return self._next_probe is not None

    def wait_s(self) -> float:
        """0 if a call may be made now, else how long none may. While open, whoever gets 0 is the only one who does within the
        pause, so that one who never tells how it ended can't keep the breaker open."""
        with self._lock:
            if self._next_probe is None:
                return 0.0
            now = self._clock()
            if now < self._next_probe:
                return self._next_probe - now
            self._next_probe = now + self._pause_s
            return 0.0

    def succeeded(self) -> None:
        """The server answered, whatever it said."""
        with self._lock:
            self._failures, self._next_probe = 0, None

    def failed(self) -> None:
        """The server didn't answer."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit:
                self._next_probe = self._clock() + self._pause_s
