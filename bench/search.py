"""Search: /v1/search over HTTP, beside the sum of the bare libraries' times for the same query on a copy of the same data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.clean_process import WAIT_POLICIES, CleanProcess, together
from bench.http import Api, Body
from bench.machine import OtherLoad
from bench.report import Goal, Line, Section, median, p50_p95, percentile, ratio
from corpus.settings import Settings

LOAD_TIMEOUT_S = 180.0
QUERY_TIMEOUT_S = 60.0
BUDGET_S = 120.0
WARM_UPS = 3
BARE = ("encode", "milvus", "tantivy", "sum", "milvus_unfiltered")
FIRST_STAGE = ("embed", "dense", "lexical", "fusion", "lookup")
GOAL = Goal("at most", 1.3)


@dataclass(slots=True)
class SearchFigures:
    """Milliseconds, one for each query. ``bare_ms``: by OpenMP's wait policy, then by library. ``stages_ms``: what the service
    says of itself. ``outside_ms``: what of a search lies outside its stages: HTTP, JSON, and the look at the index's epoch
    before it."""

    queries: int = 0
    plain_ms: list[float] = field(default_factory=list)
    reranked_ms: list[float] = field(default_factory=list)
    bare_ms: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {policy: {name: [] for name in BARE} for policy in WAIT_POLICIES}
    )
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*FIRST_STAGE, "rerank")})
    outside_ms: list[float] = field(default_factory=list)
    indexed: dict[str, int] = field(default_factory=dict)
    other_cores: float = 0.0

    @property
    def better_policy(self) -> str:
        """Under which policy the bare libraries were the faster."""
        return min(self.bare_ms, key=lambda policy: median(self.bare_ms[policy]["sum"]))


def measure(url: str, queries: Sequence[str], *, settings: Settings, folder: str, copies: Sequence[Path]) -> SearchFigures:
    """Each query goes to the service and to the bare libraries in turn, so that other load hits both alike.

    ``copies``: of the folders with Milvus Lite's and tantivy's data, one for each wait policy.
    """
    figures = SearchFigures()
    device = None if settings.index.device == "auto" else settings.index.device
    with ExitStack() as stack:
        api = stack.enter_context(Api(url))
        bare = {
            name: stack.enter_context(CleanProcess("bench.bare_search", environment=policy))
            for name, policy in WAIT_POLICIES.items()
        }

        def load(process: CleanProcess, copy: Path) -> None:
            paths = {"vectors": str(copy / "vectors.db"), "lexical": str(copy / "lexical")}
            figures.indexed = process.call("load", timeout_s=LOAD_TIMEOUT_S, folder=folder, device=device, **paths)

        together(*(partial(load, process, copy) for process, copy in zip(bare.values(), copies, strict=True)))

        def ask_bare(policy: str, text: str) -> Body:
            where = "collection_id == 1"  # the default collection, which the crawl wrote to
            limit = settings.search.candidates
            return bare[policy].call("search", timeout_s=QUERY_TIMEOUT_S, text=text, limit=limit, filter=where)

        for text in queries[:WARM_UPS]:
            _search(api, text, rerank=False)
            _search(api, text, rerank=True)
            for policy in bare:
                ask_bare(policy, text)
        deadline = time.monotonic() + BUDGET_S
        with OtherLoad() as other:
            for text in queries:
                figures.plain_ms.append(_search(api, text, rerank=False)[0])
                for policy in bare:
                    for name, took_ms in ask_bare(policy, text).items():
                        figures.bare_ms[policy][name].append(took_ms)
                figures.reranked_ms.append(_search(api, text, rerank=True)[0])
                _note_stages(figures, *_search(api, text, rerank=True, explain=True))
                figures.queries += 1
                if time.monotonic() > deadline:
                    break
        figures.other_cores = other.cores
    return figures


def section(figures: SearchFigures) -> Section:
    bare_ms = figures.bare_ms[figures.better_policy]
    plain, reranked, bare = median(figures.plain_ms), median(figures.reranked_ms), median(bare_ms["sum"])
    parts = ", ".join(f"{name} {median(bare_ms[name]):.1f}" for name in ("encode", "milvus", "tantivy"))
    unfiltered = median(bare_ms["milvus_unfiltered"])
    stages = ", ".join(f"{name} {median(values):.1f}" for name, values in figures.stages_ms.items())
    plain_p95, bare_p95 = percentile(figures.plain_ms, 0.95), percentile(bare_ms["sum"], 0.95)
    return Section(
        "Search, hybrid (p50 / p95)",
        [
            Line("not reranked", p50_p95(figures.plain_ms), p50_p95(bare_ms["sum"]), ratio(plain, bare), GOAL),
            Line("  its p95", f"{plain_p95:.1f} ms", f"{bare_p95:.1f} ms", ratio(plain_p95, bare_p95)),
            Line(
                "reranked",
                p50_p95(figures.reranked_ms),
                p50_p95(bare_ms["sum"]),
                ratio(reranked, bare),
            ),
        ],
        (
            f"{figures.queries} queries over {figures.indexed['vectors']} chunks, service and bare libraries in turn.",
            f"Bare, ms (OpenMP's waiting: {figures.better_policy}): {parts}; Milvus without the filter {unfiltered:.1f}.",
            f"Service's stages, ms (dense and lexical side by side): {stages}; outside of them {median(figures.outside_ms):.1f}.",
            f"Cores busy with something else: {figures.other_cores:.1f}.",
        ),
    )


def _search(api: Api, text: str, *, rerank: bool, explain: bool = False) -> tuple[float, Body]:
    began = time.perf_counter()
    body = api.post("/v1/search", {"query": text, "rerank": rerank, "explain": explain})
    return (time.perf_counter() - began) * 1000, body


def _note_stages(figures: SearchFigures, took_ms: float, body: Body) -> None:
    stages = body["timings_ms"]
    for name, values in figures.stages_ms.items():
        if name in stages:
            values.append(stages[name])
    side_by_side = max(stages.get("dense", 0.0), stages.get("lexical", 0.0))
    in_turn = sum(stages.get(name, 0.0) for name in ("embed", "fusion", "lookup", "rerank"))
    figures.outside_ms.append(took_ms - side_by_side - in_turn)
