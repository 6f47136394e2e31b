"""/v1/chat/completions and /v1/models, as OpenAI's clients call them.

Only what held is sent: the model's draft is checked before its first word leaves, so a stream is silent (but for comments that
keep the connection alive) until the answer is there, and then gives it sentence by sentence.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.answering import Answer, AnswerEvent, Retrieved
from app.errors import openai_error
from app.openai_schemas import (
    MODEL,
    ChatCompletion,
    ChatRequest,
    Choice,
    Conversation,
    ErrorBody,
    Message,
    ModelBody,
    ModelList,
    Usage,
    annotations_of,
    check_supported,
    chunk,
    collection_of,
    conversation,
    delta,
    pieces_of,
)
from app.routes.asking import CLIENT_CLOSED_REQUEST, answering, paced, query_for, unless_gone, whole_answer
from app.routes.sse import EVENT_STREAM, HEADERS, KEEP_ALIVE
from app.schemas import AskResponse, Filters
from app.state import Querying, Service
from corpus.errors import FootnoteError, NotFound
from corpus.search import SearchQuery

router = APIRouter(prefix="/v1", tags=["openai"])

KEEP_ALIVE_S = 10.0
REFUSED_WITHIN_S = 2.0  # so long an answer may be refused by a status that clients know to retry
DONE = b"data: [DONE]\n\n"
_REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorBody} for status in (400, 401, 403, 404, 413, 429, 503)}


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {EVENT_STREAM: {}}}, **_REFUSALS},
)
async def complete_chat(body: ChatRequest, service: Querying, request: Request) -> Any:
    """Answer the last message of the user from the indexed pages; the ones before it say what it is about.

    The text marks its citations as [1], and each mark has an annotation of type `url_citation`. With `stream`, chunks whose last
    one carries the annotations. Parameters of sampling and length are ignored; tools, several choices, log-probabilities and
    other formats than text are refused.
    """
    check_supported(body)
    said = conversation(body.messages, max_question_chars=service.settings.answer.max_question_chars)
    collection = collection_of(body.model)
    try:
        if collection is None:
            raise NotFound(body.model)
        query = await query_for(service, said.question, collection=collection, filters=Filters())
    except NotFound as exc:
        raise _no_such_model(body.model) from exc
    if body.stream:
        return await _streamed(service, query, said, body)
    answer = await unless_gone(request, whole_answer(service, query, said.history))
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    message = Message(content=answer.text, annotations=annotations_of(answer))
    return ChatCompletion(
        id=_new_id(),
        created=int(time.time()),
        model=body.model,
        choices=[Choice(message=message)],
        usage=await _usage(service, said, answer),
        footnote=AskResponse.of(answer),
    )


@router.get("/models", responses=_REFUSALS)
async def list_models(service: Querying) -> ModelList:
    """One model for each collection: footnote for the default one, footnote/NAME for another."""
    collections = await service.pages.collections()
    models = [ModelBody.of(collection.name, collection.created_at) for collection in collections]
    return ModelList(data=sorted(models, key=lambda model: (model.id != MODEL, model.id)))


@router.get("/models/{model:path}", responses=_REFUSALS)
async def get_model(model: str, service: Querying) -> ModelBody:
    for collection in await service.pages.collections():
        if collection.name == collection_of(model):
            return ModelBody(id=model, created=int(collection.created_at.timestamp()))
    raise _no_such_model(model)


async def _streamed(service: Service, query: SearchQuery, said: Conversation, body: ChatRequest) -> StreamingResponse:
    """Begins once the model writes, the answer is there, or some time has passed: until then a failure has its own status."""
    events = paced(answering(service, query, said.history), silence_s=REFUSED_WITHIN_S)
    one = await anext(events)
    while isinstance(one, Retrieved):
        one = await anext(events)
    chunks = _chunks(service, events, one, said, body)
    return StreamingResponse(chunks, media_type=EVENT_STREAM, headers=HEADERS)


async def _chunks(
    service: Service, events: AsyncIterator[AnswerEvent | None], one: AnswerEvent | None, said: Conversation, body: ChatRequest
) -> AsyncIterator[bytes]:
    head: dict[str, Any] = {"id": _new_id(), "created": int(time.time()), "model": body.model}
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    try:
        yield _data(chunk(**head, choices=delta(role="assistant", content="")))
        sent_at = time.monotonic()
        while not isinstance(one, Answer):
            one = await anext(events)
            if time.monotonic() - sent_at > KEEP_ALIVE_S:
                sent_at = time.monotonic()
                yield KEEP_ALIVE
        for text in pieces_of(one):
            yield _data(chunk(**head, choices=delta(content=text)))
        annotations = [annotation.model_dump(mode="json") for annotation in annotations_of(one)]
        whole = AskResponse.of(one).model_dump(mode="json")
        yield _data(chunk(**head, choices=delta(finish_reason="stop", annotations=annotations), footnote=whole))
        if wants_usage:
            usage = await _usage(service, said, one)
            yield _data(chunk(**head, choices=[], usage=usage.model_dump()))
        yield DONE
    except FootnoteError as exc:  # the status line is long gone
        yield _data(openai_error(status=exc.status, code=exc.code, message=exc.message))


async def _usage(service: Service, said: Conversation, answer: Answer) -> Usage:
    *asked, answered = await asyncio.to_thread(service.corpus.embedder.tokenizer.lengths, [*said.texts, answer.text])
    return Usage.of(sum(asked), answered)


def _no_such_model(model: str) -> NotFound:
    return NotFound(f"There is no model {model!r}. GET /v1/models lists those there are: one for each collection.", param="model")


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode() + b"\n\n"
