"""What is measured of answers, by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app.answering import Answer, AnswerState
from app.citations import Citation
from corpus.errors import InvalidInput
from footnote.evaluation.answer_figures import calibration, case_body, figures, holds, refusal, risk_coverage
from footnote.evaluation.answer_report import page, table
from footnote.evaluation.answer_runs import Asked
from footnote.evaluation.answer_set import Case, read_answer_set
from tests.shelf import FETCHED_AT
from tests.small_sets import write_set

CASE = Case("q", "How tall is it?", True, ("330 metres",), ("The tower is 330 metres tall.",))
CITATION = Citation(1, "p", "c", "https://a.example/", "T", (), "The tower is 330 metres tall. It is old.", 0, 9, "h", FETCHED_AT)


def asked(*, state: str = "quoted", confidence: float = 0.9, unresolved: int = 0, **case: Any) -> Asked:
    citations = () if state == "abstained" else (CITATION,)
    answer = Answer(AnswerState(state), "It says so.", (), citations, (), 0.7, confidence, None, (), {"total": 5.0})
    return Asked(replace(CASE, **case), answer, unresolved)


def test_refusal_is_counted_as_it_says() -> None:
    cases = [
        *[case_body(asked(state="abstained", answerable=False))] * 6,
        *[case_body(asked(state="abstained"))] * 2,
        *[case_body(asked(answerable=False))] * 4,
        *[case_body(asked())] * 8,
    ]
    found = refusal(cases, seed=0, resamples=500)
    assert (found["precision"]["mean"], found["recall"]["mean"]) == (6 / 8, 6 / 10)
    assert found["f1"]["mean"] == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert found["precision"]["low"] < 0.75 < found["precision"]["high"]
    assert (found["wrongly_refused"], found["wrongly_answered"]) == (2, 4)
    assert refusal(cases, seed=0, resamples=500) == found


def test_where_nothing_is_refused_precision_and_recall_are_nought() -> None:
    found = refusal([case_body(asked())], seed=0, resamples=50)
    assert (found["precision"]["mean"], found["recall"]["mean"], found["f1"]["mean"]) == (0.0, 0.0, 0.0)


def test_a_case_is_right_if_it_cites_what_it_should_or_refuses_what_it_should() -> None:
    assert case_body(asked())["gold_cited"] == 1.0
    assert case_body(asked(gold_sentences=("Something else altogether stands here.",)))["right"] is False
    assert case_body(asked(state="abstained"))["right"] is False
    assert case_body(asked(state="abstained", answerable=False))["right"] is True
    assert case_body(asked(answerable=False))["right"] is False
    spans = case_body(asked(gold_sentences=()))
    assert (spans["gold_cited"], spans["answer_said"], spans["right"]) == (None, 1.0, True)
    assert case_body(asked(gold_sentences=(), answers=("33",)))["answer_said"] == 0.0  # not a part of 330


@pytest.mark.parametrize(
    ("quote", "sentence", "same"),
    [
        ("The tower is 330 metres tall. It is old.", "The tower is 330 metres tall .", True),
        ("The tower is 330 metres tall", "In fact , the tower is 330 metres tall , they say .", True),
        ("The tower is 331 metres tall.", "The tower is 330 metres tall.", False),
        ("Yes.", "Yes.", False),
        ("", "The tower is 330 metres tall.", False),
    ],
)
def test_punctuation_does_not_tell_a_gold_sentence_from_its_quote(quote: str, sentence: str, same: bool) -> None:
    assert holds(quote, sentence) is same


def test_calibration_is_the_gap_between_confidence_and_truth() -> None:
    found = calibration([0.95, 0.95, 0.15, 0.15], [True, True, False, True])
    assert found["ece"] == pytest.approx((2 * 0.05 + 2 * 0.35) / 4)
    assert [one["n"] for one in found["bins"]] == [2, 2]
    assert calibration([1.0, 0.0], [True, False])["ece"] == 0.0


def test_risk_rises_as_less_sure_questions_are_answered() -> None:
    found = risk_coverage([0.9, 0.8, 0.2, 0.1], [True, True, False, False])
    assert found[0] == {"coverage": 0.25, "risk": 0.0}
    assert found[-1] == {"coverage": 1.0, "risk": 0.5}


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_shares_stay_shares(pairs: list[tuple[float, bool]]) -> None:
    confidence, answerable = [one for one, _ in pairs], [two for _, two in pairs]
    assert 0 <= calibration(confidence, answerable)["ece"] <= 1
    curve = risk_coverage(confidence, answerable)
    assert curve[-1]["coverage"] == 1
    assert all(0 <= one["risk"] <= 1 for one in curve)


def test_the_figures_add_up_and_count_citations_that_do_not_resolve() -> None:
    found = figures([asked(), asked(unresolved=1), asked(state="abstained", confidence=0.1)], seed=0, resamples=50)
    assert found["states"] == {"quoted": 2, "abstained": 1}
    assert (found["citations"], found["citations_unresolved"]) == (2, 1)
    assert found["gold_sentence_cited"]["mean"] == pytest.approx(2 / 3)
    assert found["answer_said"] is None
    json.dumps(found)


# Reading


def write_answers(folder: Path, *lines: Any) -> Path:
    if not folder.exists():
        write_set(folder)
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "answers.jsonl").write_text("\n".join(written))
    return folder


def query_ids(folder: Path) -> list[str]:
    return [json.loads(line)["_id"] for line in (folder / "queries.jsonl").read_text().splitlines()]


def test_answers_are_read_with_their_gold_sentences(tmp_path: Path) -> None:
    folder = tmp_path / "harbour"
    first, second, third = query_ids(write_answers(folder))[:3]
    write_answers(
        folder,
        {"_id": first, "answers": ["A"], "answerable": True, "selected_sentences": [["One.", " "], ["Two."]]},
        {"_id": second, "answers": [], "answerable": False, "selected_sentences": [[]]},
        {"_id": third, "answers": ["B"]},
    )
    found = read_answer_set(folder)
    assert [case.answerable for case in found.cases] == [True, False, True]
    assert found.cases[0].gold_sentences == ("One.", "Two.")
    assert "answers.jsonl" in found.dataset.files
    hidden = found.with_gold_hidden().cases[3:]
    assert [case.answerable for case in hidden] == [False] * len(hidden)
    assert all(case.hidden for case in hidden)
    assert [case.id for case in found.limited(2).cases] == [first, second]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"_id": "nobody", "answers": []}, "no query"),
        ({"answers": []}, "_id"),
        ({"_id": "FIRST", "answers": "A", "answerable": "yes"}, "true or false"),
        ({"_id": "FIRST", "answers": [1]}, "list of strings"),
        ("{", "no JSON"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said_with_its_line(tmp_path: Path, line: Any, said: str) -> None:
    folder = tmp_path / "harbour"
    first = query_ids(write_answers(folder))[0]
    if isinstance(line, dict) and line.get("_id") == "FIRST":
        line["_id"] = first
    write_answers(folder, line)
    with pytest.raises(InvalidInput, match=said) as raised:
        read_answer_set(folder)
    assert "line 1" in raised.value.message


def test_without_answers_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"answers\.jsonl"):
        read_answer_set(write_set(tmp_path / "harbour"))


# Showing


def test_the_report_shows_every_case_as_text() -> None:
    evil = "<script>alert(1)</script>"
    found = figures([asked(question=evil), asked(state="abstained")], seed=0, resamples=50)
    one = {"name": "set", "model": None, **found}
    facts = {
        "command": "footnote eval answers",
        "made_at": "now",
        "footnote": None,
        "python": "3",
        "libraries": {},
        "settings": {},
    }
    machine = {"processor": "p", "cores": 2, "system": "s"}
    body = {**facts, "machine": machine, "resamples": 50, "seed": 0, "sets": [one]}
    html = page(body)
    assert evil not in html
    assert "&lt;script&gt;" in html
    assert html.count("<details>") == 2
    file = io.StringIO()
    table(Console(file=file, force_terminal=False), body)
    assert "refusal precision\t" in file.getvalue()
    assert "citations that don't resolve\t0 of 1" in file.getvalue()
