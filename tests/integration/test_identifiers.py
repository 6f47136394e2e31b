"""Questions that name something exactly, by the built-in embedder: the page's own sentence about it, or none at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from app.answering import Answer, AnswerState
from app.retrieval import retrieve
from corpus.embedding import SentenceTransformerEmbedder
from corpus.search import SearchQuery
from corpus.settings import Settings
from tests.integration.test_answering import answerer
from tests.shelf import Shelf, open_shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADVISORIES = [
    "CVE-2024-3094 is about the lamp pump: it leaks oil when the cap is loose, and is mended by cap 5.6.2.",
    "CVE-2024-3095 is about the crane brake, which slips in frost; grease it.",
    "CVE-2024-3904 is about the horn of the ferry, which stays silent in fog.",
    "CVE-2025-62168 is about the ladder, whose third rung is loose.",
]
ERRORS = "Error E1101 means that the gate is shut. Error E1011 means that the lamp is out. ORA-00942 means no such table."
THINGS = "rope lamp oar anchor sail bell chart compass flag net hook paddle pump rudder stove"
ROWS = [f"| E{2000 + 7 * n} | {thing} is missing | Bring a new {thing} |" for n, thing in enumerate(THINGS.split(" "))]
TABLE = "\n".join(["| Code | Meaning | Remedy |", "| --- | --- | --- |", *ROWS])
OPERATORS = [
    "The ?? operator gives its right side where the left one is missing.",
    "<=> compares two lamps by their brightness and gives -1, 0 or 1.",
    "-x prints each step before it is done.",
    "-X names the way to ask.",
    "--max-depth limits how deep the walk goes; --max-depth-strict fails beyond it.",
    "os.path.join puts two paths together. max_wicks is the number of wicks.",
]

CODES = [
    "# Exit codes",
    "E3001",
    "The wick is wet.",
    "E3002",
    "The oil is cold.",
    "LAMP_GLASS_CRACKED",
    "A spare one lies in the shed.",
]
CODES += ["## ERR-77", "The tide is too high for the boat.", "## ERR-78", "The tide is too low for the boat."]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harbour(tmp_path_factory: pytest.TempPathFactory, real_embedder: SentenceTransformerEmbedder) -> AsyncIterator[Shelf]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), llm={"engine": "none"})
    async with open_shelf(settings, real_embedder) as shelf:
        await shelf.put("https://a.example/all", "# Advisories", *ADVISORIES, "# Errors", ERRORS, TABLE, title="Advisories")
        await shelf.put("https://a.example/operators", "# Operators", *OPERATORS, title="Operators")
        await shelf.put("https://a.example/codes", *CODES, title="Codes")
        for number in range(3090, 3100):  # one page for each
            text = f"CVE-2023-{number} concerns part {number % 7} of the {THINGS.split(' ')[number % 10]}."
            await shelf.put(f"https://a.example/{number}", text, title=f"CVE-2023-{number}")
        yield shelf


async def ask(shelf: Shelf, question: str) -> Answer:
    async with aclosing(answerer(shelf, None).ask(SearchQuery(question, shelf.collection))) as events:
        answer = [event async for event in events][-1]
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("What is CVE-2024-3094?", [ADVISORIES[0]]),
        ("CVE-2024-3094", [ADVISORIES[0]]),
        ("cve\u20112024\u20113095", [ADVISORIES[1]]),
        ("Tell me about CVE 2024-3904", [ADVISORIES[2]]),
        ("CVE-2023-3094", ["CVE-2023-3094 concerns part 0 of the sail."]),
        ("What does error E1101 mean?", ["Error E1101 means that the gate is shut."]),
        ("How do I fix ORA-00942?", ["ORA-00942 means no such table."]),
        ("What does error E2063 mean?", [ROWS[9]]),
        ("E2063", [ROWS[9]]),
        ("What is the remedy for E2007?", [ROWS[1]]),
        ("What does the ?? operator do?", [OPERATORS[0]]),
        ("What does <=> do?", [OPERATORS[1]]),
        ("What does -x do?", [OPERATORS[2]]),
        ("What does -X do?", [OPERATORS[3]]),
        ("what does --max-depth-strict do", [OPERATORS[4]]),
        ("What does error E3002 mean?", ["The oil is cold."]),
        ("E3001", ["The wick is wet."]),
        ("LAMP_GLASS_CRACKED", ["A spare one lies in the shed."]),
        ("What is ERR-77?", ["The tide is too high for the boat."]),
        ("ERR-78", ["The tide is too low for the boat."]),
        ("what is max_wicks", ["max_wicks is the number of wicks."]),
    ],
)
async def test_the_sentence_that_holds_the_identifier_is_quoted(harbour: Shelf, question: str, quoted: list[str]) -> None:
    answer = await ask(harbour, question)
    assert (answer.state, [citation.quote for citation in answer.citations]) == (AnswerState.QUOTED, quoted)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What is CVE-2021-44228?", "CVE-2021-44228"),
        ("CVE-2025-6216", "CVE-2025-6216"),
        ("What is CVE-2023-309?", "CVE-2023-309"),
        ("What does error E9999 mean?", "E9999"),
        ("What does E206 mean?", "E206"),
        ("What does max_wick do?", "max_wick"),
        ("What does --max do?", "--max"),
        ("What does the ??= operator do?", "??="),
        ("Is CVE-2024-3094 the same as CVE-2021-44228?", "CVE-2021-44228"),
    ],
)
async def test_where_no_page_holds_it_there_is_no_answer(harbour: Shelf, question: str, named: str) -> None:
    answer = await ask(harbour, question)
    assert (answer.state, answer.text) == (AnswerState.ABSTAINED, "The indexed pages don't answer this.")
    assert (answer.confidence, answer.citations) == (0.0, ())
    assert answer.notes == (f"No page that was found holds {named!r}.",)


async def test_both_of_two_identifiers_are_quoted(harbour: Shelf) -> None:
    answer = await ask(harbour, "What are CVE-2024-3094 and CVE-2024-3095 about?")
    assert [citation.quote for citation in answer.citations] in ([*ADVISORIES[:2]], [*ADVISORIES[1::-1]])


@pytest.mark.parametrize("number", [3090, 3094, 3099])
@pytest.mark.parametrize("is_reranked", [True, False])
async def test_the_page_that_holds_it_is_found_first(harbour: Shelf, number: int, is_reranked: bool) -> None:
    reranker = answerer(harbour, None, rerank=is_reranked)._reranker
    query = SearchQuery(f"CVE-2023-{number}", harbour.collection, limit=3)
    hits = (await retrieve(query, searcher=harbour.searcher, reranker=reranker, candidates=50)).hits
    assert (len(hits), hits[0].chunk.url) == (3, f"https://a.example/{number}")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert 1 >= hits[0].score > hits[1].score >= 0


async def test_other_questions_are_answered_as_before(harbour: Shelf) -> None:
    answer = await ask(harbour, "What does the crane brake do in frost?")
    assert answer.citations[0].quote == ADVISORIES[1]
