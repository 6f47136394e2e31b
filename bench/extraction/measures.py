"""How alike two texts are, in shingles of four words. Pure: nothing here reads files or runs an extractor."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

SHINGLE_WORDS = 4
SHOWN_WORDS = 12
MOST_WORDS_BETWEEN = 4
_WORD = re.compile(r"\w+")
_UNSEEN = re.compile("[\xad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]")  # soft hyphens, zero-width characters, variation selectors


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of one page: the share of its text that is right, superfluous and missing; together 1, or all 0."""

    right: float
    superfluous: float
    missing: float

    @property
    def recall(self) -> float:
        """Of the wanted text, the share that is there; 1 where nothing is wanted."""
        return self.right / (self.right + self.missing) if self.right + self.missing else 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """Means over pages, 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def words_of(text: str) -> list[str]:
    """The words of a text, without the characters in them that nobody sees, ligatures written out."""
    return _WORD.findall(unicodedata.normalize("NFKC", _UNSEEN.sub("", text)))


def overlap(truth: str, text: str) -> Overlap:
    """Compare as article-extraction-benchmark does: shingles of four words, as multisets."""
    wanted, found = Counter(_shingles(_WORD.findall(truth))), Counter(_shingles(_WORD.findall(text)))
    right = (wanted & found).total()
    superfluous, missing = (found - wanted).total(), (wanted - found).total()
    total = right + superfluous + missing or 1
    return Overlap(right / total, superfluous / total, missing / total)


def score(overlaps: Iterable[Overlap]) -> Score:
    """Pages without any text of the kind that is asked for don't count: no precision without text, no recall without truth."""
    pages = list(overlaps)
    precisions = [p.right / (p.right + p.superfluous) for p in pages if p.right + p.superfluous]
    recalls = [p.recall for p in pages if p.right + p.missing]
    return Score(mean(precisions), mean(recalls))


def matched(wanted: Sequence[str], found: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Which words of either text stand in the other.

    First those of a shingle that both have. A mark between two words, such as a list item's number, breaks shingles, so what is
    left between two places that match is compared word by word, in order; and of what is then left, runs of fewer words than a
    shingle has are matched wherever they stand.

    Args:
        wanted: the words of one text, in order.
        found: the words of the other.

    Returns:
        For each word of ``wanted``, and for each of ``found``, whether the other text has it.
    """
    wanted_marks, found_marks = [False] * len(wanted), [False] * len(found)
    places: dict[tuple[str, ...], deque[int]] = {}
    for i, shingle in enumerate(_shingles(found)):
        places.setdefault(shingle, deque()).append(i)
    place_of: dict[int, int] = {}
    for i, shingle in enumerate(_shingles(wanted)):
        if left := places.get(shingle):
            place = left.popleft()
            for k in range(len(shingle)):
                wanted_marks[i + k] = found_marks[place + k] = True
                place_of.setdefault(i + k, place + k)
    for start, end in runs_of(wanted_marks):
        after, before = place_of.get(start - 1, -1) + 1, place_of.get(end, len(found))
        if not 0 < before - after <= MOST_WORDS_BETWEEN * (end - start):
            continue
        blocks = SequenceMatcher(None, wanted[start:end], found[after:before], autojunk=False).get_matching_blocks()
        for i, j, size in blocks:
            for k in range(size):
                if not found_marks[after + j + k]:
                    wanted_marks[start + i + k] = found_marks[after + j + k] = True
    for marks, words, other_marks, other in (
        (wanted_marks, wanted, found_marks, found),
        (found_marks, found, wanted_marks, wanted),
    ):
        spare = Counter(word for word, mark in zip(other, other_marks, strict=True) if not mark)
        for start, end in runs_of(marks):
            if end - start < SHINGLE_WORDS:
                for i in range(start, end):
                    if spare[words[i]] > 0:
                        spare[words[i]] -= 1
                        marks[i] = True
    return wanted_marks, found_marks


def differences(wanted: str, found: str) -> dict[str, list[str]]:
    """The stretches of words that only one of two texts has, the longest first, each with its length and first words."""
    one, other = words_of(wanted), words_of(found)
    kept, wanted_too = matched(one, other)
    return {"lacks": _stretches(one, kept), "has besides": _stretches(other, wanted_too)}


def runs_of(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """The half-open ranges in which no mark stands."""
    runs, start = [], None
    for i, mark in enumerate((*marks, True)):
        if mark and start is not None:
            runs.append((start, i))
            start = None
        elif not mark and start is None:
            start = i
    return runs


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _stretches(words: Sequence[str], marks: Sequence[bool]) -> list[str]:
    runs = sorted(runs_of(marks), key=lambda run: run[0] - run[1])
    return [f"({end - start}) {' '.join(words[start : min(end, start + SHOWN_WORDS)])}" for start, end in runs]


def _shingles(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)) if words]
