"""How answers appear in the OpenAPI document where FastAPI doesn't know of them: errors and event streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from app.errors import PROBLEM
from app.schemas import Problem, StreamFailure

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
    """These, and what any route may be refused by."""
    return {
        s: {"description": _WORDS[s], "model": Problem, "content": {PROBLEM: {}}}
        for s in sorted({400, 401, 403, 413, 422, 429, 503, *statuses})
    }


def stream_of(**events: type[BaseModel]) -> dict[str, Any]:
    """A stream of server-sent events, each with the shape of its data; ``error`` may be the last one of any."""
    return {"itemSchema": {"oneOf": [_event(name, shape) for name, shape in (events | {"error": StreamFailure}).items()]}}


def _event(name: str, shape: type[BaseModel]) -> dict[str, Any]:
    schema = shape.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)  # they stand among the document's components, for each is part of some other answer
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {"type": "object", "properties": {"event": {"const": name}, "data": data}, "required": ["event", "data"]}


def describe_refusals(document: Mapping[str, Any]) -> None:
    """FastAPI puts each answer of a route under the media type of its success, and adds a shape of its own for bodies that are
    refused, which is not ours."""
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            for content in [answer["content"] for answer in answers.values() if PROBLEM in answer.get("content", {})]:
                content[PROBLEM] = content.pop("application/json")
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        del document["components"]["schemas"][name]
