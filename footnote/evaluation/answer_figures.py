"""From answers to figures: the JSON body of an answer evaluation, which the table and the HTML report are drawn from. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.answering import AnswerState
from footnote.evaluation.answer_runs import Asked
from footnote.evaluation.statistics import CONFIDENCE, Float64, estimate, spread

Body = dict[str, Any]
Bools = NDArray[np.bool_]

BINS = 10
GOLD_CHARS = 20  # shorter sentences and quotes are found in one another by chance
_AT_ONCE = 500


def figures(asked: Sequence[Asked], *, seed: int, resamples: int) -> Body:
    """Everything that is measured of one set."""
    cases = [case_body(one) for one in asked]
    confidence = [one.answer.confidence for one in asked]
    is_answerable = [one.case.answerable for one in asked]
    answerable = [case for case in cases if case["answerable"]]
    marked = [case["gold_cited"] for case in answerable if case["gold_cited"] is not None]
    said = [case["answer_said"] for case in answerable if case["answer_said"] is not None]
    stages = sorted({stage for one in asked for stage in one.answer.timings_ms})
    return {
        "questions": len(cases),
        "answerable": len(answerable),
        "states": dict(Counter(case["state"] for case in cases)),
        "refusal": refusal(cases, seed=seed, resamples=resamples),
        "gold_sentence_cited": asdict(estimate(marked, seed=seed, resamples=resamples)) if marked else None,
        "answer_said": asdict(estimate(said, seed=seed, resamples=resamples)) if said else None,
        "citations": sum(case["citations"] for case in cases),
        "citations_unresolved": sum(case["unresolved"] for case in cases),
        "calibration": calibration(confidence, is_answerable),
        "risk_coverage": risk_coverage(confidence, is_answerable),
        "ms": {
            stage: asdict(spread([one.answer.timings_ms[stage] for one in asked if stage in one.answer.timings_ms]))
            for stage in stages
        },
        "cases": cases,
    }


def case_body(one: Asked) -> Body:
    """One question with what became of it. ``right``: refused where it should be, or answered with what was wanted."""
    case, answer = one.case, one.answer
    refused = answer.state is AnswerState.ABSTAINED
    quotes = [citation.quote for citation in answer.citations]
    gold = any(holds(quote, sentence) for quote in quotes for sentence in case.gold_sentences)
    gold_cited = float(gold) if case.answerable and case.gold_sentences else None
    text = plain(" ".join([answer.text, *quotes]))
    said = any(f" {plain(wanted)} " in f" {text} " for wanted in case.answers if plain(wanted))
    answer_said = float(said) if case.answerable and case.answers and not case.gold_sentences else None
    wanted = next((value for value in (gold_cited, answer_said) if value is not None), 1.0)
    return {
        "id": case.id,
        "question": case.question,
        "answerable": case.answerable,
        "state": answer.state.value,
        "confidence": answer.confidence,
        "evidence_score": answer.evidence_score,
        "answer": answer.text,
        "quotes": [{"url": citation.url, "quote": citation.quote} for citation in answer.citations],
        "wanted": list(case.gold_sentences or case.answers)[:3],
        "gold_cited": gold_cited,
        "answer_said": answer_said,
        "right": refused if not case.answerable else not refused and wanted > 0,
        "citations": len(answer.citations),
        "unresolved": one.unresolved,
        "ms": answer.timings_ms.get("total", 0.0),
    }


def refusal(cases: Sequence[Mapping[str, Any]], *, seed: int, resamples: int) -> Body:
    """Precision (of the refused, how many couldn't be answered), recall (of those that couldn't, how many were refused) and
    F1, each with its interval: questions are resampled, for all three are shares of what varies."""
    refused = np.array([case["state"] == AnswerState.ABSTAINED for case in cases], dtype=bool)
    unanswerable = np.array([not case["answerable"] for case in cases], dtype=bool)
    found = _shares(refused[None, :], unanswerable[None, :])[0]
    generator = np.random.default_rng(seed)
    drawn = []
    for begin in range(0, resamples, _AT_ONCE):
        places = generator.integers(0, len(cases), size=(min(_AT_ONCE, resamples - begin), len(cases)))
        drawn.append(_shares(refused[places], unanswerable[places]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)
    names = ("precision", "recall", "f1")
    named = zip(names, found, low, high, strict=True)
    return {name: {"mean": float(mean), "low": float(a), "high": float(b)} for name, mean, a, b in named} | {
        "wrongly_refused": int((refused & ~unanswerable).sum()),
        "wrongly_answered": int((~refused & unanswerable).sum()),
    }


def _shares(refused: Bools, unanswerable: Bools) -> Float64:
    """Rows of samples in; precision, recall and F1 of each out. A share of nothing is 0."""
    both = (refused & unanswerable).sum(axis=1)
    precision = both / np.maximum(1, refused.sum(axis=1))
    recall = both / np.maximum(1, unanswerable.sum(axis=1))
    return np.stack([precision, recall, 2 * precision * recall / np.maximum(1e-12, precision + recall)], axis=1)


def calibration(confidence: Sequence[float], answerable: Sequence[bool]) -> Body:
    """Expected calibration error over ten equal bins, and each bin: how confident, how often answerable (Naeini et al.,
    "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015)."""
    said, true = np.asarray(confidence, dtype=float), np.asarray(answerable, dtype=float)
    places = np.minimum((said * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            sure, are = float(said[inside].mean()), float(true[inside].mean())
            bins.append({"n": int(inside.sum()), "confidence": sure, "answerable": are})
    error = sum(one["n"] * abs(one["confidence"] - one["answerable"]) for one in bins) / max(1, len(said))
    return {"ece": float(error), "bins": bins}


def risk_coverage(confidence: Sequence[float], answerable: Sequence[bool]) -> list[Body]:
    """If only the most confident were answered, at each share of the questions: how many of them the pages don't answer
    (El-Yaniv & Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010)."""
    order = np.argsort([-value for value in confidence], kind="stable")
    wrong = np.cumsum([not answerable[place] for place in order])
    places = sorted({max(1, round(len(order) * share / 20)) for share in range(1, 21)})
    return [{"coverage": place / len(order), "risk": float(wrong[place - 1] / place)} for place in places]


def holds(quote: str, sentence: str) -> bool:
    """Whether a quote is, holds or is held by a gold sentence, but for punctuation and spaces."""
    one, other = plain(quote), plain(sentence)
    return min(len(one), len(other)) >= GOLD_CHARS and (one in other or other in one)


def plain(text: str) -> str:
    return " ".join(words(text))


def words(text: str) -> Iterable[str]:
    return re.findall(r"\w+", text.lower())
