"""Spans of work, for traces. They cost nothing until somebody wants them recorded.

What records them belongs to the process, as ``logging``'s handlers do: the service and the worker beside it run in several
threads and event loops, and a span's parent is found by context variables anyway. Here nothing is known of OpenTelemetry;
``footnote/tracing.py`` brings it in where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Attribute = str | int | float | bool
Told = Callable[..., None]
"""Adds attributes to a span that is open: ``told(name=…)`` also renames it."""


class SpanRecorder(Protocol):
    def span(
        self, name: str, attributes: Mapping[str, Attribute], *, caller: Mapping[str, str] | None
    ) -> AbstractContextManager[Told]:
        """Current for what is done within it. ``caller``: the headers of a request from elsewhere, which may name its parent
        (W3C Trace Context)."""
        ...

    def begin(self, name: str, attributes: Mapping[str, Attribute]) -> Told:
        """Not current for anything. It ends when it is told without any attributes."""
        ...

    def headers(self) -> dict[str, str]:
        """What a request to elsewhere carries, so that its spans are children of the current one."""
        ...

    def trace_id(self) -> str | None: ...


_recorder: SpanRecorder | None = None


def record_spans(recorder: SpanRecorder | None) -> None:
    """From now on, by this; None: no more."""
    global _recorder
    _recorder = recorder


def span(name: str, *, caller: Mapping[str, str] | None = None, **attributes: Attribute) -> AbstractContextManager[Told]:
    """Attributes' names have dots in OpenTelemetry: write ``http__route`` for http.route."""
    if _recorder is None:
        return nullcontext(_tell_nobody)
    return _recorder.span(name, dotted(attributes), caller=caller)


def begin_span(name: str, **attributes: Attribute) -> Told:
    """For a generator, which may not keep a span current while others run: ended by calling what is given with nothing."""
    return _recorder.begin(name, dotted(attributes)) if _recorder else _tell_nobody


def trace_headers() -> dict[str, str]:
    return _recorder.headers() if _recorder else {}


def trace_id() -> str | None:
    return _recorder.trace_id() if _recorder else None


def dotted(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {name.replace("__", "."): value for name, value in attributes.items()}


def _tell_nobody(**attributes: Attribute) -> None:
    pass
