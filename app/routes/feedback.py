"""/v1/feedback: what people thought of answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from app.callers import Caller
from app.feedback_schemas import FeedbackBody, FeedbackKept, FeedbackList, NewFeedback
from app.routes.problems import problems
from app.schemas import CollectionName
from app.state import Ingesting, Querying
from corpus.errors import InvalidInput
from corpus.feedback import Judgement

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])


@router.post("", status_code=201, responses=problems(404, 413))
async def give_feedback(body: NewFeedback, service: Querying, request: Request) -> FeedbackKept:
    """Judge an answer: helpful or not, and which of its citations were wrong. The question is stored with it."""
    limit = service.settings.answer.max_question_chars
    if len(body.question) > limit:
        raise InvalidInput(f"The question has {len(body.question)} characters; at most {limit} are allowed.")
    caller: Caller = request.state.caller
    judgement = Judgement(
        collection_id=await service.pages.collection_id(body.collection),
        question=body.question,
        state=body.state.value,
        helpful=body.helpful,
        citations=tuple(citation.of() for citation in body.citations),
        comment=(body.comment or "").strip() or None,
        request_id=body.request_id,
        key_id=caller.key.id if caller.key else None,
    )
    kept = await service.feedback.add(judgement)
    service.metrics.judged("helpful" if body.helpful else "unhelpful")
    return FeedbackKept(id=kept)


@router.get("", responses=problems(404))
async def list_feedback(
    service: Ingesting,
    collection: Annotated[CollectionName | None, Query()] = None,
    helpful: Annotated[bool | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> FeedbackList:
    """The newest first. A citation's quote and URL are what the page is now; what was deleted since is null."""
    wanted = await service.pages.collection_id(collection) if collection is not None else None
    found, cursor = await service.feedback.list(collection_id=wanted, helpful=helpful, after=after, limit=limit)
    return FeedbackList(feedback=[FeedbackBody.of(one) for one in found], next=cursor)


@router.delete("/{feedback_id}", status_code=204, responses=problems(404))
async def delete_feedback(feedback_id: str, service: Ingesting) -> None:
    await service.feedback.delete(feedback_id)
