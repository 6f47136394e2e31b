"""What ends a run early, with a message for people."""

from __future__ import annotations


class BenchError(Exception):
    """The run can't go on; the message says why and what to do."""
