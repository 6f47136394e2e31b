"""Test sets for answers: a retrieval set with an ``answers.jsonl`` beside it.

A line is {_id, answers}, and where they are known {answerable, selected_sentences}, as CLAPnq has them (Rosenthal et al.,
"CLAPNQ: Cohesive Long-form Answers from Passages in Natural Questions", 2024). Without ``answerable`` a question is answerable
if it has answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.errors import InvalidInput
from footnote.evaluation.dataset import Dataset, read_dataset
from footnote.evaluation.files import Record, records

FILE = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Case:
    """One question. ``gold_sentences``: the sentences of the documents that hold the answer, empty where nobody marked them.
    ``hidden``: documents that are kept from the search, which makes the question unanswerable."""

    id: str
    question: str
    answerable: bool
    answers: tuple[str, ...]
    gold_sentences: tuple[str, ...]
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AnswerSet:
    dataset: Dataset
    cases: Sequence[Case]

    def with_gold_hidden(self) -> AnswerSet:
        """Every answerable question once more, with the documents that answer it kept from the search."""
        grades = self.dataset.judgements[0]
        again = [
            replace(case, id=f"{case.id}#hidden", answerable=False, answers=(), gold_sentences=(), hidden=frozenset(relevant))
            for case in self.cases
            if case.answerable and (relevant := {one for one, grade in grades.grades(case.id).items() if grade > 0})
        ]
        return AnswerSet(self.dataset, [*self.cases, *again])

    def limited(self, count: int | None) -> AnswerSet:
        """The same with ``count`` questions, taken evenly from all: the answerable often come first."""
        if count is None or count >= len(self.cases):
            return self
        return AnswerSet(self.dataset, [self.cases[place * len(self.cases) // count] for place in range(count)])


def read_answer_set(folder: Path) -> AnswerSet:
    """Raises: InvalidInput, naming file and line."""
    dataset = read_dataset(folder)
    path = folder / FILE
    questions = {query.id: query.text for query in dataset.queries}
    cases: dict[str, Case] = {}
    for record in records(path):
        key = record.identifier()
        if key not in questions:
            raise record.refused(f"there is no query {key!r}")
        if key in cases:
            raise record.refused(f"the _id {key!r} was there before")
        answers = tuple(_strings(record, "answers"))
        cases[key] = Case(
            id=key,
            question=questions[key],
            answerable=_truth(record, "answerable", default=bool(answers)),
            answers=answers,
            gold_sentences=tuple(_strings(record, "selected_sentences")),
        )
    if not cases:
        raise InvalidInput(f"{path} holds no answers.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return AnswerSet(replace(dataset, files={**dataset.files, FILE: digest}), list(cases.values()))


def _strings(record: Record, name: str) -> Iterator[str]:
    """The texts of a list, or of lists in a list (one for each annotator)."""
    return (text.strip() for text in _flat(record, name, record.fields.get(name, [])) if text.strip())


def _flat(record: Record, name: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _flat(record, name, one)
    else:
        raise record.refused(f"{name!r} must be a list of strings")


def _truth(record: Record, name: str, *, default: bool) -> bool:
    value = record.fields.get(name, default)
    if not isinstance(value, bool):
        raise record.refused(f"{name!r} must be true or false")
    return value
