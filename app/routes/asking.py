"""What every way of asking shares: the checked query, and an answer given up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

from app.answering import Answer, AnswerEvent
from app.schemas import Filters
from app.state import Service
from corpus.errors import FootnoteError, InvalidInput
from corpus.search import SearchQuery

T = TypeVar("T")

DISCONNECT_POLL_S = 0.25
CLIENT_CLOSED_REQUEST = 499  # nginx' word for it: nobody reads it, but the log does


async def query_for(
    service: Service, question: str, *, collection: str, filters: Filters, history: Sequence[str] = ()
) -> SearchQuery:
    """Raises: InvalidInput for a question that is too long, now or earlier; NotFound for an unknown collection."""
    limit = service.settings.answer.max_question_chars
    if len(question) > limit:
        raise InvalidInput(f"The question has {len(question)} characters; at most {limit} are allowed. Ask a shorter one.")
    if any(len(earlier) > limit for earlier in history):
        raise InvalidInput(
            f"A question of the history has over {limit} characters; at most {limit} are allowed. Leave it out or shorten it."
        )
    return SearchQuery(
        text=question,
        collection_id=await service.pages.collection_id(collection),
        url_prefix=filters.url_prefix,
        language=filters.language,
    )


async def answering(service: Service, query: SearchQuery, history: Sequence[str] = ()) -> AsyncGenerator[AnswerEvent]:
    """As ``Answerer.ask``, and what came of it is counted. Every door asks by this."""
    try:
        async with aclosing(service.answerer.ask(query, history=history)) as events:
            async for one in events:
                if isinstance(one, Answer):
                    service.metrics.answered(state=one.state, confidence=one.confidence, timings_ms=one.timings_ms)
                yield one
    except FootnoteError as exc:
        service.metrics.not_answered(exc.code)
        raise


async def whole_answer(service: Service, query: SearchQuery, history: Sequence[str] = ()) -> Answer:
    async with aclosing(answering(service, query, history)) as events:
        answer = [e async for e in events][-1]
    assert isinstance(answer, Answer)
    return answer


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
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


async def paced(source: AsyncGenerator[T], *, silence_s: float) -> AsyncGenerator[T | None]:
    """What ``source`` gives, and None whenever it has given nothing for so long. It is closed with this one."""
    async with aclosing(source):
        following: asyncio.Future[T] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(source))
                done, _ = await asyncio.wait([following], timeout=silence_s)
                if not done:
                    yield None
                    continue
                try:
                    one = following.result()
                except StopAsyncIteration:
                    return
                following = None
                yield one
        finally:
            if following is not None and not following.done():
                following.cancel()
                await asyncio.wait([following])
