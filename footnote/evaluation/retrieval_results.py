"""From rankings to figures: the JSON body of a retrieval evaluation, which the table and the HTML report are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from footnote.evaluation.dataset import Dataset, Document, Judgement
from footnote.evaluation.metrics import MAIN_MEASURE, MEASURES, measured
from footnote.evaluation.running import Run
from footnote.evaluation.statistics import difference, estimate, spread

Body = dict[str, Any]

RANKING_KEPT = 10
SHOWN = 3  # first documents of each ranking whose texts are kept
TEXT_CHARS = 420


def set_bodies(dataset: Dataset, runs: Sequence[Run], *, facts: Body, seed: int, resamples: int) -> list[Body]:
    """One body for each way in which the set is judged. ``facts`` are of the index and go into each."""
    asked = dataset.answerable()
    bodies = []
    for judgement in dataset.judgements:
        places = [place for place, query in enumerate(asked) if judgement.answers(query.id)]
        if places:
            bodies.append(_body(dataset, judgement, runs, places, facts=facts, seed=seed, resamples=resamples))
    return bodies


def _body(
    dataset: Dataset, judgement: Judgement, runs: Sequence[Run], places: Sequence[int], *, facts: Body, seed: int, resamples: int
) -> Body:
    asked = dataset.answerable()
    rankings = {
        run.configuration.name: [judgement.counted(asked[place].id, run.rankings[place]) for place in places] for run in runs
    }
    values = {
        name: [measured(ranking, judgement.grades(asked[place].id)) for place, ranking in zip(places, found, strict=True)]
        for name, found in rankings.items()
    }

    def column(name: str, measure: str) -> list[float]:
        return [one[measure] for one in values[name]]

    return {
        "name": dataset.label(judgement),
        "split": dataset.split,
        "files": dict(dataset.files),
        "documents": len(dataset.documents) or None,
        "queries": len(places),
        "queries_without_relevant_documents": len(dataset.queries) - len(places),
        **facts,
        "configurations": [
            {
                "name": run.configuration.name,
                "title": run.configuration.title,
                "measures": {
                    measure: asdict(estimate(column(run.configuration.name, measure), seed=seed, resamples=resamples))
                    for measure in MEASURES
                },
                "ms": asdict(spread(run.total_ms)),
                "stages_ms": {stage: asdict(spread(spent)) for stage, spent in run.stages_ms.items()},
            }
            for run in runs
        ],
        "differences": [
            {
                "first": first.configuration.name,
                "second": second.configuration.name,
                "measure": MAIN_MEASURE,
                **asdict(
                    difference(
                        column(first.configuration.name, MAIN_MEASURE),
                        column(second.configuration.name, MAIN_MEASURE),
                        seed=seed,
                        resamples=resamples,
                    )
                ),
            }
            for second, first in combinations(runs, 2)
        ],
        "by_query": [
            {
                "id": asked[place].id,
                "text": asked[place].text,
                "relevant": {one: grade for one, grade in judgement.grades(asked[place].id).items() if grade > 0},
                "found": {
                    name: {"ranking": rankings[name][row][:RANKING_KEPT], "measures": values[name][row]} for name in rankings
                },
            }
            for row, place in enumerate(places)
        ],
        "texts": _texts(dataset, judgement, runs, places, rankings),
    }


def _texts(
    dataset: Dataset,
    judgement: Judgement,
    runs: Sequence[Run],
    places: Sequence[int],
    rankings: Mapping[str, Sequence[list[str]]],
) -> dict[str, Body]:
    """Titles and beginnings of the documents that a reader of the figures will want to see: what stands first, and what
    should."""
    asked = dataset.answerable()
    shown = {one for found in rankings.values() for ranking in found for one in ranking[:SHOWN]}
    shown |= {one for place in places for one, grade in judgement.grades(asked[place].id).items() if grade > 0}
    texts = {document.id: _text(document.title, document.text) for document in _among(dataset.documents, shown)}
    for run in runs:  # of a service's pages only what was found is known
        for place in places:
            for hit in run.best[place]:
                if hit.document in shown and hit.document not in texts:
                    texts[hit.document] = _text(hit.title, hit.text)
    return texts


def _among(documents: Sequence[Document], wanted: set[str]) -> list[Document]:
    return [document for document in documents if document.id in wanted]


def _text(title: str, text: str) -> Body:
    flat = " ".join(text.split())
    return {"title": " ".join(title.split()), "text": flat if len(flat) <= TEXT_CHARS else f"{flat[: TEXT_CHARS - 1]}…"}
