"""POST /v1/ask: an answer whose every footnote holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.answering import Answer, AnswerEvent, Draft, Retrieved
from app.routes.problems import problems
from app.routes.sse import EVENT_STREAM, HEADERS, event, failure_event
from app.schemas import AskRequest, AskResponse, HitBody
from app.state import CurrentService, Service
from corpus.errors import FootnoteError, InvalidInput
from corpus.search import SearchQuery

router = APIRouter(prefix="/v1", tags=["ask"])
T = TypeVar("T")

DISCONNECT_POLL_S = 0.25
CLIENT_CLOSED_REQUEST = 499  # nginx' word for it: nobody reads it, but the log does


@router.post(
    "/ask",
    response_model=AskResponse,
    responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}, **problems(404, 422, 503)},
)
async def ask(body: AskRequest, service: CurrentService, request: Request) -> Any:
    """Answer a question from the indexed pages.

    With `stream`, server-sent events: `retrieval` (the hits), `token` (drafts: what the model writes, not yet checked),
    `citations`, and `done` (the whole checked answer, as without `stream`); or `error`.
    """
    limit = service.settings.answer.max_question_chars
    if len(body.question) > limit:
        raise InvalidInput(f"The question has {len(body.question)} characters; at most {limit} are allowed. Ask a shorter one.")
    if any(len(earlier) > limit for earlier in body.history):
        raise InvalidInput(
            f"A question of the history has over {limit} characters; at most {limit} are allowed. Leave it out or shorten it."
        )
    collection = await service.pages.collection_id(body.collection)
    query = SearchQuery(
        text=body.question, collection_id=collection, url_prefix=body.filters.url_prefix, language=body.filters.language
    )
    if body.stream:
        return StreamingResponse(_events(service, query, body.history), media_type=EVENT_STREAM, headers=HEADERS)
    answer = await _unless_gone(request, _answer(service, query, body.history))
    return AskResponse.of(answer) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


async def _answer(service: Service, query: SearchQuery, history: Sequence[str]) -> Answer:
    async with aclosing(service.answerer.ask(query, history=history)) as events:
        answer = [e async for e in events][-1]
    assert isinstance(answer, Answer)
    return answer


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What ``work`` gives; None if the client hangs up before: then it is cancelled, for others wait for the model."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=DISCONNECT_POLL_S))[0]:
            if await request.is_disconnected():
                return None
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _events(service: Service, query: SearchQuery, history: Sequence[str]) -> AsyncIterator[bytes]:
    try:
        async with aclosing(service.answerer.ask(query, history=history)) as events:
            async for one in events:
                for encoded in _encode(one):
                    yield encoded
    except FootnoteError as exc:  # the status line is long gone: the stream's last event says it
        yield failure_event(exc)


def _encode(one: AnswerEvent) -> list[bytes]:
    match one:
        case Retrieved(hits=hits, timings_ms=timings, rewritten_question=rewritten):
            bodies = [HitBody.of(hit, explain=False).model_dump(mode="json") for hit in hits]
            return [event("retrieval", {"hits": bodies, "timings_ms": timings, "rewritten_question": rewritten})]
        case Draft(text=text):
            return [event("token", {"text": text})]
        case Answer():
            body = AskResponse.of(one).model_dump(mode="json")
            return [event("citations", {"citations": body["citations"]}), event("done", body)]
