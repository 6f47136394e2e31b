"""Bodies of the HTTP API that judge answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field, model_validator

from app.answering import AnswerState
from app.request_id import GIVEN
from app.schemas import CollectionName, Question, Request
from corpus.feedback import MAX_CITATIONS, MAX_COMMENT_CHARS, JudgedCitation, KnownCitation, StoredJudgement
from corpus.pages import DEFAULT_COLLECTION


class CitationJudgement(Request):
    """A citation of the answer, as the answer gave it but for what isn't asked for here."""

    number: int = Field(ge=1, le=1000)
    page_id: str = Field(pattern="^[0-9a-f]{32}$")
    content_hash: str = Field(pattern="^[0-9a-f]{64}$")
    start: int = Field(ge=0, le=2**31)
    end: int = Field(ge=0, le=2**31)
    wrong: bool = Field(False, description="Whether it doesn't support what it stands at.")

    def of(self) -> JudgedCitation:
        return JudgedCitation(**self.model_dump())


class NewFeedback(Request):
    question: Question = Field(description="As it was asked.")
    collection: CollectionName = DEFAULT_COLLECTION
    state: AnswerState = Field(description="The answer's.")
    helpful: bool
    citations: list[CitationJudgement] = Field(default_factory=list, max_length=MAX_CITATIONS)
    comment: str | None = Field(None, max_length=MAX_COMMENT_CHARS)
    request_id: str | None = Field(None, pattern=f"^{GIVEN}$", description="The answer's X-Request-Id.")

    @model_validator(mode="after")
    def _cites_each_once(self) -> NewFeedback:
        numbers = [citation.number for citation in self.citations]
        if len(set(numbers)) < len(numbers):
            raise ValueError("two citations have the same number")
        return self


class KnownCitationBody(BaseModel):
    """``url``: null once the page is gone. ``quote``: null also where its text has changed since."""

    number: int
    page_id: str
    content_hash: str
    start: int
    end: int
    wrong: bool
    url: str | None
    quote: str | None

    @classmethod
    def of(cls, known: KnownCitation) -> KnownCitationBody:
        one = known.citation
        return cls(
            number=one.number,
            page_id=one.page_id,
            content_hash=one.content_hash,
            start=one.start,
            end=one.end,
            wrong=one.wrong,
            url=known.url,
            quote=known.quote,
        )


class FeedbackBody(BaseModel):
    id: str
    created_at: datetime
    collection: str
    question: str
    state: AnswerState
    helpful: bool
    citations: list[KnownCitationBody]
    comment: str | None
    request_id: str | None
    key_id: str | None

    @classmethod
    def of(cls, stored: StoredJudgement) -> FeedbackBody:
        one = stored.judgement
        return cls(
            id=stored.id,
            created_at=stored.created_at,
            collection=stored.collection,
            question=one.question,
            state=AnswerState(one.state),
            helpful=one.helpful,
            citations=[KnownCitationBody.of(known) for known in stored.citations],
            comment=one.comment,
            request_id=one.request_id,
            key_id=one.key_id,
        )


class FeedbackList(BaseModel):
    """``next``: what to ask for as ``after``; null at the end."""

    feedback: list[FeedbackBody]
    next: str | None


class FeedbackKept(BaseModel):
    id: str
