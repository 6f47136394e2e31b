"""``footnote eval retrieval``: test sets, or one's own questions about one's own pages, through every configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from corpus.settings import Settings
from footnote.client import Client
from footnote.evaluation import reproduction
from footnote.evaluation.configurations import chosen, default_of
from footnote.evaluation.dataset import Dataset, Judgement
from footnote.evaluation.engines import Engine, IndexEngine, ServiceEngine
from footnote.evaluation.index import index_folder, open_filled_index
from footnote.evaluation.progress import Progress
from footnote.evaluation.retrieval_results import Body, set_bodies
from footnote.evaluation.running import run_all
from footnote.evaluation.statistics import RESAMPLES

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, besides the sets: ``configurations`` None for all that can be run."""

    configurations: Sequence[str] | None = None
    seed: int = 0
    resamples: int = RESAMPLES


async def evaluate_datasets(
    datasets: Sequence[Dataset], *, plan: Plan, settings: Settings, keep: Path | None, progress: Progress
) -> Body:
    """Index each set's documents, unless ``keep`` holds them already, and ask its questions.

    Raises: InvalidInput, StartupError, StorageFull.
    """
    sets: list[Body] = []
    left_out: dict[str, str] = {}
    default = ""
    with ExitStack() as stack:
        kept_in = keep or Path(stack.enter_context(TemporaryDirectory(prefix="footnote-eval-")))
        for dataset in datasets:
            folder = index_folder(dataset, kept_in)
            async with open_filled_index(dataset, settings=settings, folder=folder, progress=progress) as index:
                engine = IndexEngine(index, documents=dataset.documents, settings=settings.search)
                facts = {"index": {"stamp": index.stamp, **asdict(index.filling)}}
                default = default_of(engine)
                bodies, left_out = await _measure(dataset, engine, plan=plan, facts=facts, progress=progress)
                sets += bodies
    return _report(sets, left_out, default=default, plan=plan, settings=settings)


async def evaluate_service(
    dataset: Dataset, client: Client, *, collection: str, plan: Plan, settings: Settings, progress: Progress
) -> Body:
    """Ask a service one's own questions. It is only searched, nothing of it is changed.

    Raises: FootnoteError, as the service did.
    """
    with progress.waiting("looking up the expected pages"):
        dataset, missing = _with_indexed_urls(dataset, client, collection=collection)
    engine = ServiceEngine(client, collection=collection, settings=settings.search)
    facts = {"service": client.base_url, "collection": collection, "expected_urls_not_indexed": missing}
    bodies, left_out = await _measure(dataset, engine, plan=plan, facts=facts, progress=progress)
    return _report(bodies, left_out, default=default_of(engine), plan=plan, settings=settings)


async def _measure(
    dataset: Dataset, engine: Engine, *, plan: Plan, facts: Mapping[str, Any], progress: Progress
) -> tuple[list[Body], dict[str, str]]:
    configurations, left_out = chosen(plan.configurations, engine)
    runs = await run_all(engine, dataset.answerable(), configurations, name=dataset.name, progress=progress)
    with progress.waiting(f"{dataset.name}: resampling"):
        return set_bodies(dataset, runs, facts=dict(facts), seed=plan.seed, resamples=plan.resamples), left_out


def _report(sets: Sequence[Body], left_out: Mapping[str, str], *, default: str, plan: Plan, settings: Settings) -> Body:
    return {
        "evaluation": "retrieval",
        "format": FORMAT,
        **reproduction.facts(settings, seed=plan.seed, resamples=plan.resamples),
        "default": default,
        "left_out": dict(left_out),
        "sets": list(sets),
    }


def _with_indexed_urls(dataset: Dataset, client: Client, *, collection: str) -> tuple[Dataset, list[str]]:
    """The expected URLs as the index spells them, and those that it doesn't know, which stay and can't be found."""
    qrels = dataset.judgements[0].qrels
    spelled: dict[str, str] = {}
    missing: list[str] = []
    for url in dict.fromkeys(url for grades in qrels.values() for url in grades):
        page, _ = client.page_at(url, collection=collection)
        spelled[url] = page["url"] if page else url
        if page is None:
            missing.append(url)
    found = {query: {spelled[url]: grade for url, grade in grades.items()} for query, grades in qrels.items()}
    return replace(dataset, judgements=[Judgement("", found)]), missing
