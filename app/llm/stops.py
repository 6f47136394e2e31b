"""Cutting a text at stop strings while it is still being written."""

from __future__ import annotations

from collections.abc import Sequence


class StopCutter:
    """Passes a text on in pieces, up to the first stop string, of which no part is ever passed on.

    What may be a stop string's beginning is held back until more of the text tells.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [mark for mark in stop if mark]
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What may be passed on now that ``text`` came."""
        if self.stopped:
            return ""
        held = self._held + text
        ends = [at for mark in self._stop if (at := held.find(mark)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return held[: min(ends)]
        kept = max((_overlap(held, mark) for mark in self._stop), default=0)
        self._held = held[len(held) - kept :]
        return held[: len(held) - kept]

    def rest(self) -> str:
        """What was held back, once the text has ended without a stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, mark: str) -> int:
    """The length of the longest end of ``text`` with which ``mark`` begins."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:n])), 0)
