"""Pages that give orders change nothing that matters, even with a model that obeys every one of them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from app.answering import Answer, Answerer, AnswerState
from app.citations import CitationChecker
from app.evidence import EvidenceFinder
from app.llm.base import Piece
from app.prompts import chat_prompt, completion_prompt
from app.reranker import MaxSimReranker
from app.schemas import AskResponse
from corpus.search import SearchQuery
from corpus.settings import AnswerSettings, LlmSettings, SearchSettings
from tests.fakes import FakeModel
from tests.injection.orders import FACT, ORDERS, QUESTION, Order
from tests.shelf import Shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")
by_marker = pytest.mark.parametrize("order", ORDERS, ids=[f"{order.kind}-{order.marker[-2:]}" for order in ORDERS])


class Obedient(FakeModel):
    """The worst model there could be: it says whatever a passage of its prompt tells it to say."""

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        obeyed = [order.marker for order in ORDERS if order.marker in prompt]
        self.say(" ".join([*(f"{marker}." for marker in obeyed), FACT, *(f"![]({m}) <b>{m}</b>." for m in obeyed)]))
        async for piece in super().generate(prompt, max_tokens=max_tokens, stop=stop):
            yield piece


async def ask(shelf: Shelf, model: FakeModel | None) -> Answer:
    search = SearchSettings()
    answering = Answerer(
        searcher=shelf.searcher,
        reranker=MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=search.weight_of("maxsim")),
        evidence=EvidenceFinder(embedder=shelf.corpus.embedder, tokens=shelf.corpus.index.tokens),
        checker=CitationChecker(pages=shelf.pages),
        model=model,
        search=search,
        answer=AnswerSettings(abstain_below=0.0),
        llm=LlmSettings(max_answer_tokens=4096),
    )
    async with aclosing(answering.ask(SearchQuery(QUESTION, shelf.collection))) as events:
        answer = [event async for event in events][-1]
    assert isinstance(answer, Answer)
    return answer


def own_words(answer: Answer) -> str:
    """What the service says itself: an answer without what it quotes."""
    return re.sub(r"“.*?”", "", answer.text, flags=re.DOTALL)


@by_marker
async def test_an_order_that_is_obeyed_is_not_said(emptied_shelf: Shelf, order: Order) -> None:
    page = await emptied_shelf.put("https://a.example/ferry", f"{FACT} {order.text}", title="Ferry")
    model = Obedient()
    answer = await ask(emptied_shelf, model)
    assert answer.state is not AnswerState.ABSTAINED
    assert order.marker not in own_words(answer)
    # A page that holds the very question may have its own words quoted, as its own and under its address, instead of others.
    assert FACT in answer.text or (order.kind == "forged answer" and answer.state is AnswerState.QUOTED)
    assert {citation.page_id for citation in answer.citations} == {page}
    body = AskResponse.of(answer)
    assert all(citation.url.startswith("https://a.example/ferry") for citation in body.citations)
    await emptied_shelf.pages.delete(page)


async def test_the_obedient_model_does_obey(emptied_shelf: Shelf) -> None:
    """Otherwise the test above would hold whatever the guards are."""
    await emptied_shelf.put("https://a.example/ferry", f"{FACT} {ORDERS[0].text}", title="Ferry")
    model = Obedient()
    await ask(emptied_shelf, model)
    assert ORDERS[0].marker in model.prompts[0]


@by_marker
@pytest.mark.parametrize("make", [completion_prompt, chat_prompt])
async def test_an_order_stays_inside_its_fence(make: type, order: Order) -> None:
    prompt = make(QUESTION, [f"{FACT} {order.text}"])
    marker = re.findall(r"<passage (\w{8})>", prompt)[-1]
    inside = prompt.rpartition(f"<passage {marker}>\n")[2].partition(f"\n</passage {marker}>")
    assert order.marker in inside[0]
    assert order.marker not in inside[2]


async def test_there_are_enough_of_them() -> None:
    assert len(ORDERS) >= 40
    assert len({order.marker for order in ORDERS}) == len(ORDERS)
    assert len({order.kind for order in ORDERS}) >= 12
