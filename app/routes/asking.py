"""What every way of asking shares: the checked query, and an answer given up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi import Request

from app.answering import Answer, AnswerEvent
from app.request_id import note
from app.schemas import Filters
from app.state import Service
from corpus.errors import FootnoteError, InvalidInput
from corpus.search import SearchQuery
from corpus.settings import ServerSettings

log = logging.getLogger(__name__)
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
        async with aclosing(service.answerer.ask(query, history=history, asker=service.asker)) as events:
            async for one in events:
                if isinstance(one, Answer):
                    _tell_answer(service, query, one)
                yield one
    except FootnoteError as exc:
        service.metrics.not_answered(exc.code)
        note(answer="failed", code=exc.code)
        raise


def _tell_answer(service: Service, query: SearchQuery, answer: Answer) -> None:
    service.metrics.answered(state=answer.state, confidence=answer.confidence, timings_ms=answer.timings_ms)
    note(answer=answer.state.value, confidence=round(answer.confidence, 3))
    tell_if_slow(service.settings.server, "answer", query.text, answer.timings_ms, elapsed_ms=answer.timings_ms["total"])


def tell_if_slow(server: ServerSettings, what: str, question: str, timings_ms: Mapping[str, float], *, elapsed_ms: float) -> None:
    """A line for whoever wonders where the time goes. The question is private, unless ``server.log_questions``."""
    if not 0 < server.slow_query_ms < elapsed_ms:
        return
    stages = {stage: round(ms, 1) for stage, ms in timings_ms.items() if stage != "total"}
    asked = {"question": question} if server.log_questions else {}
    log.warning(
        "slow %s: %.0f ms (%s)%s",
        what,
        elapsed_ms,
        ", ".join(f"{stage} {ms:.0f}" for stage, ms in stages.items()),
        f" for {question!r}" if asked else "",
        extra={"facts": {"slow": what, "duration_ms": round(elapsed_ms, 1), "stages_ms": stages, **asked}},
    )


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
                await _settled(following)


async def _settled(cancelled: asyncio.Future[Any]) -> None:
    """Wait for a cancelled task, however often this one is cancelled meanwhile, as anyio's scopes do again and again: a
    generator that still runs can't be closed."""
    while not cancelled.done():
        with suppress(asyncio.CancelledError):  # the first one goes on when this is over
            await asyncio.wait([cancelled])
