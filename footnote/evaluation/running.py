"""Each question through each configuration, with the milliseconds that it took.

A ranking's head is what the service itself would make of the question, no deeper and no shallower, uncut: as many chunks as the
reranker sees. Only that is timed. For recall@100 the ranking goes on as the first stage ranks, which costs no user anything.
"""

from __future__ import annotations

import asyncio
import math
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
TAIL_MARGIN = 1.3  # found documents have more chunks than others; where it isn't enough, twice as many are asked for
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
            first = number % len(runs)
            for run in (*runs[first:], *runs[:first]):
                await _ask(engine, query, run, head=head)
            await _continue(engine, query, runs)
            advance(1)
    return runs


async def _ask(engine: Engine, query: Query, run: Run, *, head: int) -> None:
    started = time.perf_counter()
    found = await run.configuration.search(engine, query.text, head)
    run.total_ms.append((time.perf_counter() - started) * 1000)
    for stage, spent_ms in found.timings_ms.items():
        run.stages_ms.setdefault(stage, []).append(spent_ms)
    best = {hit.document: hit for hit in reversed(found.hits)}
    ranking = documents(hit.document for hit in found.hits)
    run.rankings.append(ranking)
    run.best.append([best[document] for document in ranking])


async def _continue(engine: Engine, query: Query, runs: Sequence[Run]) -> None:
    """Let the last ranking of each run go on to ``DEPTH``. Side by side, for nobody looks at the clock."""
    wanted = list(dict.fromkeys(run.configuration.continued_by for run in runs if len(run.rankings[-1]) < DEPTH))
    tails = dict(zip(wanted, await asyncio.gather(*(_tail(engine, query, search) for search in wanted)), strict=True))
    for run in runs:
        tail = tails.get(run.configuration.continued_by, ())
        run.rankings[-1] = documents([*run.rankings[-1], *tail])[:DEPTH]


async def _tail(engine: Engine, query: Query, search: Search) -> list[str]:
    """A hundred documents, or as many as there are or one search gives."""
    limit = engine.most_hits
    if engine.chunks_per_document is not None:
        limit = min(limit, math.ceil(DEPTH * engine.chunks_per_document * TAIL_MARGIN))
    while True:
        found = await search(engine, query.text, limit)
        ranking = documents(hit.document for hit in found.hits)
        if len(ranking) >= DEPTH or len(found.hits) < limit or limit == engine.most_hits:
            return ranking
        limit = min(2 * limit, engine.most_hits)
