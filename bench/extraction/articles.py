"""Articles with the text that is wanted of them, and each extractor's score on a set of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.errors import BenchError
from bench.extraction.extractors import OURS, Run, run_all
from bench.extraction.measures import Overlap, Score, overlap, score
from bench.report import bytes_text

BODIES_FILE = "ground-truth.json"
EXPECTED_FILE = "expected.json.gz"


@dataclass(frozen=True, slots=True)
class ArticleSet:
    """``pages``: for each page's file, the text that is wanted of it. ``goals``: by a score's name, what it should reach."""

    name: str
    pages: Mapping[Path, str]
    goals: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Article:
    """One page: the wanted text, what each extractor made of it, and how that overlaps."""

    name: str
    truth: str
    runs: Mapping[str, Run]
    overlaps: Mapping[str, Overlap]


def read_set(folder: Path) -> ArticleSet | None:
    """The set of articles that a folder holds; None if it is none.

    Raises:
        BenchError: the file that says what is wanted can't be read.
    """
    try:
        if (bodies := folder / BODIES_FILE).is_file():
            wanted = {name: page["articleBody"] for name, page in json.loads(bodies.read_text()).items()}
            pages = {folder / "html" / f"{name}.html.gz": text for name, text in wanted.items()}
            return ArticleSet("articles with their marked body", pages, {"F1": 0.965})
        if (expected := folder / EXPECTED_FILE).is_file():
            wanted = json.loads(gzip.decompress(expected.read_bytes()))
            pages = {folder / f"{name}.html.gz": text for name, text in wanted.items()}
            return ArticleSet("pages with what Readability should keep", pages, {"recall": 0.97})
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise BenchError(f"{folder} doesn't say what is wanted of its pages: {exc!r}. Is it whole?") from exc
    return None


def measure(articles: ArticleSet, extractors: tuple[str, ...], pool: Executor) -> list[Article]:
    return list(pool.map(partial(measure_page, extractors=extractors), articles.pages.items(), chunksize=4))


def report(articles: ArticleSet, measured: Sequence[Article], extractors: Sequence[str]) -> str:
    """A line for each extractor: its scores, the pages of which it keeps nothing wanted, and what a page costs."""
    rows = [["", "F1", "precision", "recall", "none kept", "per page", "slowest", "memory, most"]]
    for name in extractors:
        scored = score_of(measured, name)
        runs = [article.runs[name] for article in measured]
        none = sum(1 for article in measured if article.truth.strip() and not article.overlaps[name].right)
        rows.append(
            [name, *(f"{figure:.4f}" for figure in (scored.f1, scored.precision, scored.recall)), str(none), *costs(runs)],
        )
    lines = [f"{articles.name}: {len(measured)} pages", *aligned(rows)]
    ours = score_of(measured, OURS)
    for what, goal in articles.goals.items():
        figure = {"F1": ours.f1, "recall": ours.recall}[what]
        lines.append(f"  goal: {what} ≥ {goal}: {'met' if figure >= goal else 'MISSED'}")
    return "\n".join(lines)


def score_of(measured: Sequence[Article], extractor: str) -> Score:
    return score(article.overlaps[extractor] for article in measured)


def worst(measured: Sequence[Article], count: int) -> list[Article]:
    """The pages with the least overlap, ours."""
    return sorted(measured, key=lambda article: article.overlaps[OURS].right)[:count]


def costs(runs: Sequence[Run]) -> list[str]:
    """Processor time of a page, on average and at most, and the most memory."""
    times_s = [run.cpu_s for run in runs] or [0.0]
    peak = max((run.peak_bytes for run in runs), default=0)
    return [f"{1000 * sum(times_s) / len(times_s):.1f} ms", f"{1000 * max(times_s):.0f} ms", bytes_text(peak)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def measure_page(page: tuple[Path, str], *, extractors: tuple[str, ...]) -> Article:
    path, truth = page
    runs = run_all(gzip.decompress(path.read_bytes()), extractors)
    return Article(path.name.partition(".")[0], truth, runs, {name: overlap(truth, run.text) for name, run in runs.items()})
