"""``footnote eval answers``: whether answers hold, and whether what the pages don't answer is refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from corpus.settings import Settings
from footnote.evaluation import reproduction
from footnote.evaluation.answer_figures import Body, figures
from footnote.evaluation.answer_runs import ask_all, examination
from footnote.evaluation.answer_set import AnswerSet
from footnote.evaluation.index import index_folder
from footnote.evaluation.progress import Progress
from footnote.evaluation.statistics import RESAMPLES

FORMAT = 1


async def evaluate_answers(
    answer_sets: Sequence[AnswerSet],
    *,
    settings: Settings,
    keep: Path | None,
    progress: Progress,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Body:
    """Index each set's documents, unless ``keep`` holds them already, and ask its questions.

    Raises: InvalidInput, StartupError, StorageFull.
    """
    sets: list[Body] = []
    with ExitStack() as stack:
        kept_in = keep or Path(stack.enter_context(TemporaryDirectory(prefix="footnote-eval-")))
        for answer_set in answer_sets:
            dataset = answer_set.dataset
            folder = index_folder(dataset, kept_in)
            async with examination(answer_set, settings=settings, folder=folder, progress=progress) as (index, exam, model):
                asked = await ask_all(exam, answer_set.cases, name=dataset.name, progress=progress)
                facts = {"model": model, "index": {"stamp": index.stamp, **asdict(index.filling)}}
            with progress.waiting(f"{dataset.name}: resampling"):
                found = figures(asked, seed=seed, resamples=resamples)
            sets.append(
                {"name": dataset.name, "files": dict(dataset.files), "documents": len(dataset.documents), **facts, **found}
            )
    made = reproduction.facts(settings, seed=seed, resamples=resamples)
    made["settings"]["answer"] = settings.answer.model_dump(mode="json")
    made["settings"]["llm"] = settings.llm.model_dump(mode="json", include={"engine", "model", "max_answer_tokens"})
    return {"evaluation": "answers", "format": FORMAT, **made, "sets": sets}
