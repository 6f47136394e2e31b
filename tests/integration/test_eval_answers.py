"""``footnote eval answers`` over a real index; only the embedder is the bag of words of ``tests/fakes.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from corpus.settings import Settings
from footnote.evaluation.answer_set import read_answer_set
from footnote.evaluation.answers import evaluate_answers
from footnote.evaluation.progress import Progress
from tests.fakes import FakeEmbedder
from tests.small_sets import write_set


@pytest.fixture(autouse=True)
def _bag_of_words(fake_embedder: FakeEmbedder) -> Iterator[None]:
    with patch("corpus.opening.load_embedder", return_value=fake_embedder):
        yield


async def test_questions_go_through_the_real_answering_and_hidden_pages_are_not_found(settings: Settings, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "harbour")
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    told = next(one for one in documents if one["_id"] == "bell")
    queries = [json.loads(line)["_id"] for line in (folder / "queries.jsonl").read_text().splitlines()]
    relevant = [row.split("\t")[:2] for row in (folder / "qrels.tsv").read_text().splitlines()[1:]]
    of_bell = next(query for query, document in relevant if document == "bell" and query in queries)
    (folder / "answers.jsonl").write_text(
        json.dumps({"_id": of_bell, "answers": ["x"], "selected_sentences": [told["text"].split(". ")[0]]})
    )
    lenient = settings.model_copy(update={"answer": settings.answer.model_copy(update={"abstain_below": 0.0})})
    answer_set = read_answer_set(folder).with_gold_hidden()
    body = await evaluate_answers([answer_set], settings=lenient, keep=None, progress=Progress(), resamples=50)
    [one] = body["sets"]
    shown, hidden = one["cases"]
    assert (shown["state"], shown["gold_cited"], shown["answerable"], hidden["answerable"]) == ("quoted", 1.0, True, False)
    assert any(quote["url"].startswith("https://harbour.invalid/bell") for quote in shown["quotes"])
    assert not any(quote["url"].startswith("https://harbour.invalid/bell") for quote in hidden["quotes"])
    assert (one["citations_unresolved"], one["model"]) == (0, None)
    assert one["citations"] >= 1
    assert "evidence" in one["ms"]
    assert body["settings"]["answer"]["abstain_below"] == 0.0
