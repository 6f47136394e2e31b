"""The request that is being served: its id, for every log line that is written meanwhile, and what its own line is to tell."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from typing import Any

HEADER = "X-Request-Id"
GIVEN = "[A-Za-z0-9._-]{1,64}"
_GIVEN = re.compile(GIVEN)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_facts: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)


def begin_facts() -> dict[str, Any]:
    """What is noted from here on, in this task and those it starts."""
    facts: dict[str, Any] = {}
    _facts.set(facts)
    return facts


def note(**facts: Any) -> None:
    """Add to what the request's line in the log tells. Outside a request, nothing."""
    noted = _facts.get()
    if noted is not None:
        noted.update(facts)


def accepted(given: str | None) -> str:
    """The id that a client or a proxy gave, if it is one that can stand in a log; else a new one."""
    return given if given and _GIVEN.fullmatch(given) else uuid.uuid4().hex
