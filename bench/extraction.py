"""``python -m bench.extraction DIR``: the text that we take from article pages, beside trafilatura's, against what people marked.

DIR is a checkout of scrapinghub/article-extraction-benchmark, or its ``ground-truth.json`` and ``html/*.html.gz``. The score is
that benchmark's own: shingles of four words as multisets; precision and recall per page, then their means, then F1 of these.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import trafilatura

from bench.report import Goal, Line, Section, table
from corpus.errors import PermanentError
from ingest.extract.document import extract

SHINGLE_WORDS = 4
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of one page: the share of its text that is right, superfluous and missing; together 1, or all 0."""

    right: float
    superfluous: float
    missing: float


@dataclass(frozen=True, slots=True)
class Score:
    """Means over pages, 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Article:
    """One page's name, what each extractor made of it, and how long they took."""

    name: str
    truth: str
    ours: str
    theirs: str
    ours_s: float
    theirs_s: float


def overlap(truth: str, text: str) -> Overlap:
    wanted, found = _shingles(truth), _shingles(text)
    right = (wanted & found).total()
    superfluous, missing = (found - wanted).total(), (wanted - found).total()
    total = right + superfluous + missing or 1
    return Overlap(right / total, superfluous / total, missing / total)


def score(overlaps: Iterable[Overlap]) -> Score:
    """Pages without any text of the kind that is asked for don't count: no precision without text, no recall without truth."""
    pages = list(overlaps)
    precisions = [p.right / (p.right + p.superfluous) for p in pages if p.right + p.superfluous]
    recalls = [p.right / (p.right + p.missing) for p in pages if p.right + p.missing]
    return Score(_mean(precisions), _mean(recalls))


def section(ours: Score, theirs: Score, *, pages: int, ours_s: float, theirs_s: float) -> Section:
    """``…_s``: seconds of processor time over all pages."""
    return Section(
        f"extraction of {pages} articles, beside trafilatura",
        [
            Line("F1", _figure(ours.f1), _figure(theirs.f1), ours.f1 - theirs.f1, Goal("at least", -0.0005)),
            Line("precision", _figure(ours.precision), _figure(theirs.precision)),
            Line("recall", _figure(ours.recall), _figure(theirs.recall)),
            Line("per page", f"{1000 * ours_s / pages:.0f} ms", f"{1000 * theirs_s / pages:.0f} ms"),
        ],
        ["the ratio column holds the difference of F1"],
    )


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)) if words)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _figure(value: float) -> str:
    return f"{value:.4f}"


def read_article(path: Path, truth: str) -> Article:
    body = gzip.decompress(path.read_bytes())
    began = time.process_time()
    try:
        ours = extract(body, url="http://site.test/", content_type="text/html", charset=None).page.text
    except PermanentError:
        ours = ""
    between = time.process_time()
    theirs = trafilatura.extract(body, include_comments=False) or ""
    ended = time.process_time()
    return Article(path.name.partition(".")[0], truth, ours, theirs, between - began, ended - between)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.extraction", description="Measure the extraction of articles.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="holds ground-truth.json and html/*.html.gz")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="name the N pages where trafilatura is most ahead")
    arguments = parser.parse_args()
    try:
        truths = json.loads((arguments.folder / "ground-truth.json").read_text())
    except (OSError, ValueError) as exc:
        print(f"{arguments.folder} holds no ground-truth.json that can be read: {exc}", file=sys.stderr)
        return 1
    paths = [arguments.folder / "html" / f"{name}.html.gz" for name in truths]
    with ProcessPoolExecutor() as pool:
        articles = list(pool.map(read_article, paths, [truth["articleBody"] for truth in truths.values()], chunksize=8))
    ours = [overlap(article.truth, article.ours) for article in articles]
    theirs = [overlap(article.truth, article.theirs) for article in articles]
    summary = section(
        score(ours),
        score(theirs),
        pages=len(articles),
        ours_s=sum(article.ours_s for article in articles),
        theirs_s=sum(article.theirs_s for article in articles),
    )
    print(table([summary]))
    behind = sorted(zip(articles, ours, theirs, strict=True), key=lambda three: three[1].right - three[2].right)
    for article, our, their in behind[: arguments.worst]:
        print(
            f"{article.name}: superfluous {our.superfluous:.2f} ({their.superfluous:.2f}), "
            f"missing {our.missing:.2f} ({their.missing:.2f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
