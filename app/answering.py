"""From a question to an answer with footnotes: retrieve, weigh the evidence, let the model phrase it, keep what holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.citations import Citation, CitationChecker, to_citation
from app.confidence import calibration_for
from app.evidence import EvidenceFinder, Sentence, overlap, with_following
from app.followups import FollowUps
from app.hard_terms import Requirement
from app.languages import PHRASES, Phrases, language_of
from app.llm.base import LanguageModel, Piece
from app.prompts import chat_prompt, completion_prompt, passages_around, room_for_passages
from app.reranker import Reranker
from app.retrieval import retrieve
from app.support import SupportJudge, split_claims
from corpus.errors import InvalidInput, Overloaded, Unavailable
from corpus.model import Hit
from corpus.search import Searcher, SearchQuery
from corpus.settings import AnswerSettings, LlmSettings, SearchSettings
from corpus.spans import span

STOP = ("\n\n", "\nQuestion:", "<passage", "</passage")
NEAREST_PAGES = 3
QUOTE_MARGIN = 0.05  # what is quoted beside the best sentence, or supports a claim, must be nearly as good


class AnswerState(StrEnum):
    """``grounded``: the model's sentences, each supported by a checked quote. ``quoted``: checked quotes alone.
    ``abstained``: the pages don't answer the question."""

    GROUNDED = "grounded"
    QUOTED = "quoted"
    ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the answer and the numbers of the citations that it rests on."""

    text: str
    citations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NearestPage:
    page_id: str
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``evidence_score`` is the best sentence's; ``confidence``, made of it, that the pages answer the question, in [0, 1]. It
    decided between answering and abstaining. ``notes`` say what was degraded on the way. ``rewritten_question`` is what was
    answered instead of a follow-up, None if that stood on its own."""

    state: AnswerState
    text: str
    statements: tuple[Statement, ...]
    citations: tuple[Citation, ...]
    nearest: tuple[NearestPage, ...]
    evidence_score: float
    confidence: float
    model: str | None
    notes: tuple[str, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    rewritten_question: str | None = None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The first event of an answer: what it will be made from, and for which question if that isn't the one asked."""

    hits: tuple[Hit, ...]
    timings_ms: dict[str, float]
    rewritten_question: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A piece of text as the model writes it. Nothing of it is checked yet: the Answer says what held."""

    text: str


AnswerEvent = Retrieved | Draft | Answer


class Answerer:
    """``model`` None answers with quotes alone."""

    def __init__(
        self,
        *,
        searcher: Searcher,
        reranker: Reranker | None,
        evidence: EvidenceFinder,
        checker: CitationChecker,
        model: LanguageModel | None,
        search: SearchSettings,
        answer: AnswerSettings,
        llm: LlmSettings,
    ) -> None:
        self._searcher = searcher
        self._reranker = reranker
        self._evidence = evidence
        self._checker = checker
        self._model = model
        self._judge = SupportJudge()
        self._follow_ups = FollowUps()
        self._search = search
        self._settings = answer
        self._llm = llm

    async def ask(self, query: SearchQuery, *, history: Sequence[str] = (), asker: str = "") -> AsyncGenerator[AnswerEvent]:
        """Retrieved, then any number of Drafts, then one Answer. Leaving early frees the model's slot. ``history``: the
        conversation's earlier questions, the oldest first. ``asker``: whose turn it is, where many wait for the model.

        Raises: Overloaded, if too many questions wait for the model.
        """
        started = time.perf_counter()
        asked = query.text
        query = replace(query, text=await asyncio.to_thread(self._follow_ups.standalone, asked, history))
        rewritten = query.text if query.text != asked else None
        required = Requirement(query.text)
        result = await retrieve(
            replace(query, limit=self._settings.context_chunks),
            searcher=self._searcher,
            reranker=self._reranker,
            candidates=self._search.rerank_candidates,
        )
        yield Retrieved(hits=tuple(result.hits), timings_ms=result.timings_ms, rewritten_question=rewritten)
        timings = dict(result.timings_ms)
        mark = time.perf_counter()
        with span("evidence"):
            sentences = await self._evidence.find(result)
            missing = required.missing_from(hit.chunk for hit in result.hits)
        phrases = PHRASES[await asyncio.to_thread(language_of, asked)]
        timings["evidence"] = (time.perf_counter() - mark) * 1000
        best = sentences[0].score if sentences else 0.0
        curve = calibration_for(self._evidence.embedder, query.text)
        confidence = curve.confidence(best) if sentences else 0.0
        if not sentences or missing or confidence < self._settings.abstain_below:
            answer = await self._abstention(result.hits, best, phrases)
            answer = replace(answer, notes=tuple(f"No page that was found holds {term!r}." for term in missing))
            confidence = 0.0 if missing else confidence
        else:
            mark = time.perf_counter()
            pieces: list[str] = []
            is_complete = False
            notes = []
            left_s = self._llm.request_deadline_s  # of the model's own time: a slow reader's doesn't count
            async with aclosing(self._write(query.text, sentences, asker)) as writing:
                try:
                    while True:
                        waiting = time.perf_counter()
                        async with asyncio.timeout(left_s):
                            piece = await anext(writing, None)
                        left_s -= time.perf_counter() - waiting
                        if piece is None:
                            break
                        is_complete = piece.ended == "stop"
                        if piece.text:
                            pieces.append(piece.text)
                            yield Draft(piece.text)
                except TimeoutError:
                    notes.append(f"The model was stopped after {self._llm.request_deadline_s:g} s.")
                except Overloaded:
                    raise  # trying again in a moment gets the better answer
                except (InvalidInput, Unavailable) as exc:
                    notes.append(f"The model could not be asked: {exc.message}")
            claims = split_claims("".join(pieces), is_complete=is_complete)
            if self._model is None:
                notes.append("No language model is configured (llm.engine is none): answers are quotes.")
            timings["generation"] = (time.perf_counter() - mark) * 1000
            mark = time.perf_counter()
            with span("verify", footnote__claims=len(claims)):
                answer = await self._ground(query.text, claims, sentences, result.hits, phrases, required)
            answer = replace(answer, notes=tuple(notes))
            timings["verification"] = (time.perf_counter() - mark) * 1000
        timings["total"] = (time.perf_counter() - started) * 1000
        model = self._model.facts.name if self._model else None
        yield replace(answer, confidence=confidence, model=model, timings_ms=timings, rewritten_question=rewritten)

    async def _write(self, question: str, sentences: Sequence[Sentence], asker: str) -> AsyncGenerator[Piece]:
        if self._model is None:
            return
        facts, count = self._model.facts, self._model.count_tokens
        room = room_for_passages(question, facts=facts, answer_tokens=self._llm.max_answer_tokens, count=count)
        budget = min(self._settings.context_budget_tokens, room)
        passages = passages_around(sentences, sentences, budget_tokens=budget, count=count)
        if not passages:
            raise InvalidInput(
                f"No passage fits the {budget} tokens that are left for it. The limits are answer.context_budget_tokens "
                f"({self._settings.context_budget_tokens}) and, with this question, llm.context_tokens ({facts.context_tokens})."
            )
        make = chat_prompt if facts.style == "chat" else completion_prompt
        prompt = make(question, passages)
        writing = self._model.generate(prompt, max_tokens=self._llm.max_answer_tokens, stop=STOP, asker=asker)
        async with aclosing(writing) as generating:
            async for piece in generating:
                yield piece

    async def _ground(
        self,
        question: str,
        claims: Sequence[str],
        sentences: Sequence[Sentence],
        hits: Sequence[Hit],
        phrases: Phrases,
        required: Requirement,
    ) -> Answer:
        """Keep the claims that a standing quote supports; without any, quote; without a quote that stands, abstain."""
        best = sentences[0].score
        relevant = supporting(sentences)
        supported = [(claim, *self._judge.best(claim, relevant)) for claim in claims if self._judge.adds_to(question, claim)]
        kept = await self._standing(
            [(c, quote) for c, quote, share in supported if quote and share >= self._settings.support_at_least]
        )
        if any(quote == sentences[0] for _, quote in kept):
            return _cited(AnswerState.GROUNDED, kept, best, phrases)
        quotes = await self._standing([(f"“{quote.text}”", quote) for quote in self._quotes(sentences, required)])
        if quotes:
            return _cited(AnswerState.QUOTED, quotes, best, phrases)
        return await self._abstention(hits, best, phrases)

    def _quotes(self, sentences: Sequence[Sentence], required: Requirement) -> list[Sentence]:
        """The best sentences, each with what follows it, no place twice. What is about another identifier than the question's
        isn't quoted along with a sentence that holds it."""
        quotes: list[Sentence] = []
        to_follow = [sentence for sentence in sentences if not required.strays_in(sentence.text)]
        for sentence in sentences:
            if sentence.score < sentences[0].score - QUOTE_MARGIN or len(quotes) == self._settings.max_quotes:
                break
            quote = with_following(sentence, to_follow)
            if not any(overlap(quote, other) for other in quotes):
                quotes.append(quote)
        return quotes

    async def _standing(self, claims: Sequence[tuple[str, Sentence]]) -> list[tuple[str, Sentence]]:
        holds = await self._checker.holds([sentence for _, sentence in claims])
        return [claim for claim, stands in zip(claims, holds, strict=True) if stands]

    async def _abstention(self, hits: Sequence[Hit], score: float, phrases: Phrases) -> Answer:
        pages = {hit.chunk.page_id: NearestPage(hit.chunk.page_id, hit.chunk.url, hit.chunk.title) for hit in hits}
        live = await self._checker.live(list(pages))  # one may have been deleted since it was found
        return Answer(
            state=AnswerState.ABSTAINED,
            text=phrases.abstention,
            statements=(),
            citations=(),
            nearest=tuple(page for page in pages.values() if page.page_id in live)[:NEAREST_PAGES],
            evidence_score=score,
            confidence=0.0,
            model=None,
        )


def supporting(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Those that may support what a model says. A claim may be true of the page and still not be about the question: of 60
    CLAPnq questions the built-in model phrased 8 answers when anything of 85% of the best score could support it, and half of
    them missed what the best sentence says. On that one something of an answer must rest."""
    return [sentence for sentence in sentences if sentence.score >= sentences[0].score - QUOTE_MARGIN]


def _cited(state: AnswerState, claims: Sequence[tuple[str, Sentence]], score: float, phrases: Phrases) -> Answer:
    numbers: dict[Sentence, int] = {}
    statements = []
    for text, sentence in claims:
        number = numbers.setdefault(sentence, len(numbers) + 1)
        statements.append(Statement(text, (number,)))
    body = " ".join(f"{statement.text} [{statement.citations[0]}]" for statement in statements)
    return Answer(
        state=state,
        text=f"{phrases.says} {body}" if state is AnswerState.QUOTED else body,
        statements=tuple(statements),
        citations=tuple(to_citation(number, sentence) for sentence, number in numbers.items()),
        nearest=(),
        evidence_score=score,
        confidence=0.0,
        model=None,
    )
