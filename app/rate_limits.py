"""How many requests one caller may make a minute, by the ``limits`` library, in this process' memory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request. ``reset_s``: when the window that it was counted in ends."""

    policy: str
    quota: int
    remaining: int
    reset_s: int
    is_exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""
        found = {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset_s}',
        }
        return found | ({"Retry-After": str(max(1, self.reset_s))} if self.is_exceeded else {})


class RateLimiter:
    """``policy`` names the limit to those who meet it; ``per_minute`` 0 sets none."""

    def __init__(self, *, policy: str, per_minute: int) -> None:
        self._policy = policy
        self._quota = per_minute
        self._item = RateLimitItemPerMinute(max(1, per_minute))
        self._windows = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def count(self, caller: str) -> Allowance | None:
        """Count one request of ``caller``; None where there is no limit."""
        if not self._quota:
            return None
        is_allowed = await self._windows.hit(self._item, self._policy, caller)
        stats = await self._windows.get_window_stats(self._item, self._policy, caller)
        reset_s = max(0, math.ceil(stats.reset_time - time.time()))
        return Allowance(self._policy, self._quota, max(0, stats.remaining), reset_s, not is_allowed)
