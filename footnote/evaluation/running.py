"""Each question through each configuration, with the milliseconds that it took.

A ranking's head is what the service itself would make of the question, no deeper and no shallower, uncut: as many chunks as the
reranker sees. Only that is timed. For recall@100 the ranking goes on as the first stage ranks, which costs no user anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from footnote.evaluation.configurations import Configuration, Search
from footnote.evaluation.dataset import Query
from footnote.evaluation.engines import Engine
from footnote.evaluation.found import Found
from footnote.evaluation.metrics import DEPTH, documents
from footnote.evaluation.progress import Progress

LEAST_HEAD = 10
TAIL_CHUNKS = 300  # enough for 100 documents of three chunks each; more are asked for where they are not
WARM_UP = 3  # searches of each configuration before the first is timed


@dataclass(slots=True)
class Run:
    """What one configuration made of the questions, in their order. ``rankings`` of documents, ``best`` the first chunks of
    the head's documents in the same order, ``stages_ms`` by stage."""

    configuration: Configuration
    rankings: list[list[str]] = field(default_factory=list)
    best: list[list[Found]] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)


async def run_all(
    engine: Engine, queries: Sequence[Query], configurations: Sequence[Configuration], *, name: str, progress: Progress
) -> list[Run]:
    """The configurations take turns at each question, and another one begins each time: what the machine does besides, and
    what is still warm from the one before, falls on all alike."""
    runs = [Run(configuration) for configuration in configurations]
    head = min(max(LEAST_HEAD, engine.search_settings.rerank_candidates), engine.most_hits)
    for query in queries[:WARM_UP]:
        for run in runs:
            await run.configuration.search(engine, query.text, head)
    with progress.counting(f"{name}: asking", total=len(queries), unit="questions") as advance:
        for number, query in enumerate(queries):
            tails: dict[Search, list[str]] = {}
            first = number % len(runs)
            for run in (*runs[first:], *runs[:first]):
                await _ask(engine, query, run, head=head, tails=tails)
            advance(1)
    return runs


async def _ask(engine: Engine, query: Query, run: Run, *, head: int, tails: dict[Search, list[str]]) -> None:
    started = time.perf_counter()
    found = await run.configuration.search(engine, query.text, head)
    run.total_ms.append((time.perf_counter() - started) * 1000)
    for stage, spent_ms in found.timings_ms.items():
        run.stages_ms.setdefault(stage, []).append(spent_ms)
    best = {hit.document: hit for hit in reversed(found.hits)}
    ranking = documents(hit.document for hit in found.hits)
    run.best.append([best[document] for document in ranking])
    continued_by = run.configuration.continued_by
    if len(ranking) < DEPTH and continued_by not in tails:
        tails[continued_by] = await _tail(engine, query, continued_by)
    run.rankings.append(documents([*ranking, *tails.get(continued_by, ())])[:DEPTH])


async def _tail(engine: Engine, query: Query, search: Search) -> list[str]:
    """A hundred documents, or as many as there are or one search gives."""
    limit = min(TAIL_CHUNKS, engine.most_hits)
    while True:
        found = await search(engine, query.text, limit)
        ranking = documents(hit.document for hit in found.hits)
        if len(ranking) >= DEPTH or len(found.hits) < limit or limit == engine.most_hits:
            return ranking
        limit = min(2 * limit, engine.most_hits)
