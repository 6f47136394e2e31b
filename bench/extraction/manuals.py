"""Manuals as generators wrote them: how much content is kept, code and rows of tables to the letter, and what slips in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lxml import html

from bench.extraction.articles import aligned, costs
from bench.extraction.extractors import OURS, Run, run_all
from bench.extraction.generators import generator_of
from bench.extraction.measures import matched, mean, runs_of, words_of
from bench.extraction.visible_text import (
    MIN_CODE_CHARS,
    code_of,
    flat,
    path_of,
    places_of,
    rows_of,
    stands_as_code,
    stands_in,
    stored_lines,
    unmarked,
    words_under,
)
from bench.site import pages_of

MIN_WORDS = 20
KEPT_GOAL = 0.97
SHOWN_WORDS = 12


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch of a page's content that isn't kept: where it stands, how many words, the first of them."""

    path: str
    words: int
    text: str


@dataclass(frozen=True, slots=True)
class ManualPage:
    """One page. ``kept`` and ``noise``: by extractor, the share of its content that is kept, and of what is kept, the share that
    isn't content. ``code`` and ``rows``: how many there are, and how many of them Footnote keeps to the letter."""

    name: str
    generator: str
    truth: str
    runs: Mapping[str, Run]
    kept: Mapping[str, float]
    noise: Mapping[str, float]
    code: int = 0
    code_kept: int = 0
    rows: int = 0
    rows_kept: int = 0
    losses: tuple[Loss, ...] = ()
    lost_code: tuple[str, ...] = ()
    lost_rows: tuple[str, ...] = ()
    slipped_in: tuple[str, ...] = ()


@dataclass(slots=True)
class Manual:
    """The pages of one folder that were looked at, and those left out by why."""

    name: str
    pages: list[ManualPage] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def manual_folders(folder: Path) -> list[Path]:
    """The folder itself if pages lie right in it, else each folder in it that holds pages."""
    inside = sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
    if folder.is_dir() and any(one.suffix.lower() in (".html", ".htm") for one in folder.iterdir()):
        return [folder]
    return [one for one in inside if pages_of(one.resolve())]


def measure(folder: Path, extractors: tuple[str, ...], pool: Executor, *, pages: int, seed: int) -> Manual:
    """Measure pages of one manual, chosen by the seed; redirects and pages of a few words are none of them.

    Args:
        pages: how many at most.
    """
    root = folder.resolve()
    paths = pages_of(root)
    random.Random(seed).shuffle(paths)
    manual = Manual(folder.name)
    # Some are left out only when looked at, so a few more are taken at a time until there are enough.
    while paths and len(manual.pages) < pages:
        batch, paths = paths[: (need := pages - len(manual.pages))], paths[need:]
        for found in pool.map(partial(measure_page, root, extractors=extractors), batch, chunksize=4):
            if isinstance(found, str):
                manual.left_out[found] += 1
            else:
                manual.pages.append(found)
        if manual.left_out.total() > 5 * pages:
            break
    return manual


def measure_page(root: Path, page: Path, *, extractors: tuple[str, ...]) -> ManualPage | str:
    """One page's figures, or why it isn't measured."""
    body = (root / page).read_bytes()
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    if not body.strip():
        return "empty"
    tree = html.document_fromstring(body, parser=parser)
    generator = generator_of(tree)
    if generator is None:
        return "of no known generator"
    parts = generator.content_of(tree)
    chrome, either, layout = generator.chrome_of(parts), generator.either_of(parts), generator.layout_of(parts)
    is_chrome = chrome.__contains__
    wanted = words_under(parts, is_chrome=(chrome | either).__contains__)
    content = words_under(parts, is_chrome=is_chrome) if either else wanted
    if len(wanted) < MIN_WORDS:
        return f"under {MIN_WORDS} words"
    words = [word.text for word in wanted]
    runs = run_all(body, extractors)
    kept, noise, marks = {}, {}, {}
    for name, run in runs.items():
        marks[name], _ = matched(words, words_of(run.text))
        found = words_of(unmarked(run.text))
        _, stored = matched([word.text for word in content], found)
        kept[name] = mean(marks[name])
        noise[name] = 1 - mean(stored) if stored else 0.0
        if name == OURS:
            slipped_in = tuple(
                " ".join(found[start : min(end, start + SHOWN_WORDS)]) for start, end in runs_of(stored) if end - start > 3
            )
    losses = [
        Loss(path_of(wanted[start].element), end - start, " ".join(words[start : min(end, start + SHOWN_WORDS)]))
        for start, end in runs_of(marks[OURS])
    ]
    text = runs[OURS].text
    stored = stored_lines(text)
    places, table_lines = places_of(stored), [flat(line) for line in stored if line.startswith("|")]
    flat_text = flat(text)
    code, lost_code, rows, lost_rows = 0, [], 0, []
    for pre in generator.code_of(parts):
        if any(one in chrome or one in either for one in (pre, *pre.iterancestors())):
            continue
        lines = code_of(pre, is_chrome=(chrome | either).__contains__)
        if len("".join(lines)) < MIN_CODE_CHARS:
            continue
        written = [
            code_of(pre, is_chrome=left_out.__contains__, as_shown=as_shown)
            for left_out in (chrome, chrome | either)
            for as_shown in (False, True)
        ]
        code += 1
        in_cell = any(one.tag in ("td", "th") for one in pre.iterancestors())
        stands = any(stands_as_code(one, stored, places) for one in written)
        if not stands and not (in_cell and flat("\n".join(lines)) in flat_text):
            lost_code.append(f"{path_of(pre)}: {chr(10).join(lines)[:160]!r}")
    for part in parts:
        for element in part.iter("table"):
            if any(one in chrome or one in either or one in layout for one in (element, *element.iterancestors())):
                continue
            for cells in rows_of(element, is_chrome=(chrome | either).__contains__):
                rows += 1
                if not any(stands_in(cells, line) for line in table_lines):
                    lost_rows.append(f"{path_of(element)}: {' | '.join(cells)[:160]}")
    return ManualPage(
        page.as_posix(),
        generator.name,
        " ".join(words),
        runs,
        kept,
        noise,
        code,
        code - len(lost_code),
        rows,
        rows - len(lost_rows),
        tuple(losses),
        tuple(lost_code),
        tuple(lost_rows),
        slipped_in,
    )


def report(manuals: Sequence[Manual], extractors: Sequence[str]) -> str:
    """A line a manual: what is kept on average, at the least, how many pages stay under the goal, code, rows and noise."""
    others = [name for name in extractors if name != OURS]
    rows = [
        [
            "",
            "generator",
            "pages",
            "kept",
            "least",
            f"< {KEPT_GOAL}",
            "code",
            "rows",
            "noise",
            "per page",
            "slowest",
            "memory, most",
        ]
        + [f"{name}: kept, noise" for name in others]
    ]
    for manual in manuals:
        if not manual.pages:
            continue
        kept = [page.kept[OURS] for page in manual.pages]
        rows.append(
            [
                manual.name,
                Counter(page.generator for page in manual.pages).most_common(1)[0][0],
                str(len(kept)),
                f"{_mean_kept(manual, OURS):.4f}",
                f"{min(kept):.3f}",
                str(sum(share < KEPT_GOAL for share in kept)),
                _of(sum(page.code_kept for page in manual.pages), sum(page.code for page in manual.pages)),
                _of(sum(page.rows_kept for page in manual.pages), sum(page.rows for page in manual.pages)),
                f"{_mean_noise(manual, OURS):.4f}",
                *costs([page.runs[OURS] for page in manual.pages]),
                *(f"{_mean_kept(manual, name):.3f}, {_mean_noise(manual, name):.3f}" for name in others),
            ]
        )
    return "\n".join(aligned(rows))


def failures(manual: Manual, count: int) -> str:
    """The worst pages with what they lack, the code and rows that are lost, and what slipped in."""
    lines = []
    faulty = (page for page in manual.pages if page.kept[OURS] < 1 or page.lost_code or page.lost_rows)
    for page in sorted(faulty, key=lambda page: page.kept[OURS])[:count]:
        lines.append(f"{manual.name}/{page.name}: kept {page.kept[OURS]:.3f}, noise {page.noise[OURS]:.3f}")
        for loss in sorted(page.losses, key=lambda loss: -loss.words)[:5]:
            lines.append(f"    lost {loss.words} words at {loss.path}: {loss.text}")
        lines += [f"    code: {lost}" for lost in page.lost_code[:3]]
        lines += [f"    row: {lost}" for lost in page.lost_rows[:3]]
        lines += [f"    slipped in: {text}" for text in page.slipped_in[:3]]
    return "\n".join(lines)


def losses_by_path(manual: Manual, count: int) -> str:
    """Where the words are lost, over all pages: the paths that lose most, each with a sample."""
    words: Counter[str] = Counter()
    pages: dict[str, set[str]] = {}
    samples: dict[str, str] = {}
    for page in manual.pages:
        for loss in page.losses:
            words[loss.path] += loss.words
            pages.setdefault(loss.path, set()).add(page.name)
            samples.setdefault(loss.path, f"{loss.text} ({page.name})")
    return "\n".join(
        f"  {number} words on {len(pages[path])} pages at {path}: {samples[path]}" for path, number in words.most_common(count)
    )


def _mean_kept(manual: Manual, extractor: str) -> float:
    return mean([page.kept[extractor] for page in manual.pages])


def _mean_noise(manual: Manual, extractor: str) -> float:
    return mean([page.noise[extractor] for page in manual.pages])


def _of(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else "–"
