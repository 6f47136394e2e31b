"""Question sets over real documentation sites, and what is measured on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Post = Callable[[str, dict[str, Any]], dict[str, Any]]
Get = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Question:
    text: str
    answerable: bool
    pages: tuple[str, ...]
    answer_contains: tuple[str, ...]


@dataclass
class Report:
    """``missed``: questions without a right page among the first five hits. ``false_citations``: quotes that don't stand."""

    answerable: int = 0
    unanswerable: int = 0
    missed: list[str] = field(default_factory=list)
    abstained_wrongly: list[str] = field(default_factory=list)
    answered_wrongly: list[str] = field(default_factory=list)
    without_gold: list[str] = field(default_factory=list)
    false_citations: list[str] = field(default_factory=list)
    citations: int = 0
    states: dict[str, int] = field(default_factory=dict)

    @property
    def found_share(self) -> float:
        return 1 - len(self.missed) / max(1, self.answerable)

    @property
    def refused_share(self) -> float:
        return 1 - len(self.answered_wrongly) / max(1, self.unanswerable)

    def __str__(self) -> str:
        gold = 1 - len(self.without_gold) / max(1, self.answerable)
        return (
            f"right page in the first 5: {self.found_share:.0%} of {self.answerable}; "
            f"gold words in the answer or its quotes: {gold:.0%}; abstained wrongly: {len(self.abstained_wrongly)}; "
            f"unanswerable refused: {self.refused_share:.0%} of {self.unanswerable}; "
            f"citations: {self.citations}, false: {len(self.false_citations)}; states: {self.states}"
        )


def load(path: Path) -> list[Question]:
    found = json.loads(path.read_text())["questions"]
    return [Question(q["question"], q["answerable"], tuple(q["pages"]), tuple(q["answer_contains"])) for q in found]


def measure(questions: list[Question], *, site: str, collection: str, post: Post, get: Get) -> Report:
    """Ask every question of a service that has indexed the site at URL ``site`` (ending in /)."""
    report = Report()
    for question in questions:
        wanted = {site + page for page in question.pages}
        hits = post("/v1/search", {"query": question.text, "collection": collection, "limit": 5})["hits"]
        answer = post("/v1/ask", {"question": question.text, "collection": collection})
        report.states[answer["state"]] = report.states.get(answer["state"], 0) + 1
        for citation in answer["citations"]:
            report.citations += 1
            page = get(f"/v1/pages/{citation['page_id']}")
            stands = page["text"][citation["start"] : citation["end"]] == citation["quote"]
            if not stands or page["content_hash"] != citation["content_hash"]:
                report.false_citations.append(f"{question.text}: {citation['quote']}")
        if not question.answerable:
            report.unanswerable += 1
            if answer["state"] != "abstained":
                report.answered_wrongly.append(f"{question.text} -> {answer['answer']}")
            continue
        report.answerable += 1
        if not wanted & {hit["url"] for hit in hits}:
            report.missed.append(question.text)
        if answer["state"] == "abstained":
            report.abstained_wrongly.append(question.text)
        said = _plain(" ".join([answer["answer"], *(citation["quote"] for citation in answer["citations"])]))
        if not any(_plain(gold) in said for gold in question.answer_contains):
            report.without_gold.append(f"{question.text} -> {answer['answer']}")
    return report


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
