"""How error answers appear in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.errors import PROBLEM
from app.schemas import Problem

_WORDS = {
    400: "No JSON, or addressed to a host that is not this one",
    401: "No API key, or none that holds",
    403: "The API key lacks the scope, or a page of another origin asks",
    404: "No such page, job, source or collection",
    409: "In the wrong state for this",
    413: "The body is too large",
    422: "The request can't be served as written",
    429: "More requests than the limit; see Retry-After",
    507: "The disk is full",
    503: "Not ready, or too busy; see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        s: {"description": _WORDS[s], "model": Problem, "content": {PROBLEM: {}}}
        for s in sorted({400, 401, 403, 413, 429, *statuses})
    }
