"""POST /v1/ask: an answer whose every footnote holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.answering import Answer, AnswerEvent, Draft, Retrieved
from app.routes.asking import CLIENT_CLOSED_REQUEST, answering, paced, query_for, unless_gone, whole_answer
from app.routes.problems import problems, stream_of
from app.routes.sse import EVENT_STREAM, HEADERS, KEEP_ALIVE, KEEP_ALIVE_S, event, failure_event
from app.schemas import AskRequest, AskResponse, CitationsEvent, HitBody, RetrievalEvent, TokenEvent
from app.state import Querying, Service
from corpus.errors import FootnoteError
from corpus.search import SearchQuery

router = APIRouter(prefix="/v1", tags=["ask"])
STREAM = stream_of(retrieval=RetrievalEvent, token=TokenEvent, citations=CitationsEvent, done=AskResponse)


@router.post(
    "/ask",
    response_model=AskResponse,
    responses={200: {"content": {EVENT_STREAM: STREAM}}, **problems(404)},
)
async def ask(body: AskRequest, service: Querying, request: Request) -> Any:
    """Answer a question from the indexed pages.

    With `stream`, server-sent events: `retrieval` (the hits), `token` (drafts: what the model writes, not yet checked),
    `citations`, and `done` (the whole checked answer, as without `stream`); or `error`.
    """
    query = await query_for(service, body.question, collection=body.collection, filters=body.filters, history=body.history)
    if body.stream:
        return StreamingResponse(_events(service, query, body.history), media_type=EVENT_STREAM, headers=HEADERS)
    answer = await unless_gone(request, whole_answer(service, query, body.history))
    return AskResponse.of(answer) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


async def _events(service: Service, query: SearchQuery, history: Sequence[str]) -> AsyncIterator[bytes]:
    try:
        asking = answering(service, query, history)
        async with aclosing(paced(asking, silence_s=KEEP_ALIVE_S)) as events:
            async for one in events:
                for encoded in [KEEP_ALIVE] if one is None else _encode(one):
                    yield encoded
    except FootnoteError as exc:  # the status line is long gone: the stream's last event says it
        yield failure_event(exc)


def _encode(one: AnswerEvent) -> list[bytes]:
    match one:
        case Retrieved(hits=hits, timings_ms=timings, rewritten_question=rewritten):
            bodies = [HitBody.of(hit, explain=False) for hit in hits]
            found = RetrievalEvent(hits=bodies, timings_ms=dict(timings), rewritten_question=rewritten)
            return [event("retrieval", found.model_dump(mode="json"))]
        case Draft(text=text):
            return [event("token", TokenEvent(text=text).model_dump())]
        case Answer():
            body = AskResponse.of(one)
            citations = CitationsEvent(citations=body.citations)
            return [event("citations", citations.model_dump(mode="json")), event("done", body.model_dump(mode="json"))]
