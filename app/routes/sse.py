"""Server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from typing import Any

from fastapi.sse import format_sse_event

from app.schemas import StreamFailure
from corpus.errors import FootnoteError

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE = b": working\n\n"  # a comment, which readers pass over and proxies don't; a client that is gone shows in it
KEEP_ALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

# No line breaks to the standard, but to clients that split lines as Python does.
_LINE_BREAKS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}


def event(name: str, data: Any, *, id: str | None = None) -> bytes:
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(_LINE_BREAKS)
    return format_sse_event(event=name, data_str=encoded, id=id)


def failure_event(exc: FootnoteError) -> bytes:
    return event("error", StreamFailure(code=exc.code, status=exc.status, detail=exc.message).model_dump())
