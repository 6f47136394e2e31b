"""The id of the request that is being served, for every log line that is written meanwhile."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def accepted(given: str | None) -> str:
    """The id that a client or a proxy gave, if it is one that can stand in a log; else a new one."""
    return given if given and _GIVEN.fullmatch(given) else uuid.uuid4().hex
