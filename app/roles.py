"""Who does what to whom: whether a claim exchanges roles that its quote gives out.

"The server calls the client" and "the client calls the server" hold the same words. Without a parser, two things are read off
their order. Around a word that both have, the words on either side change places only if the voice changes too ("the client is
called by the server"). And what stands after *from*, *to*, *before* or *after* in one doesn't stand after another of these in
the other. English only: elsewhere nothing is said against a claim.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

REACH = 2  # content words: how far on either side of what happens those are looked for who take part in it
NEAR = 3  # words: how far a form of "be" stands before a participle
_WORD = re.compile(r"\w+|[,;:.!?](?=\s)")
_BE = frozenset(["am", "are", "be", "been", "being", "get", "gets", "getting", "got", "is", "was", "were"])
_MARKS = frozenset(["after", "before", "from", "into", "onto", "over", "to", "under", "until"])

Stem = Callable[[str], Sequence[str]]
Triple = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of content. ``at`` counts all words; ``clause`` the parts that punctuation makes."""

    stem: str
    at: int
    clause: int


def exchanges_roles(claim: str, quote: str, stem: Stem) -> bool:
    """Whether a claim says with a quote's words that something else does it, or goes the other way. ``stem`` gives the stems of
    a word of content, and nothing for any other."""
    said, stands = _WORD.findall(claim.lower()), _WORD.findall(quote.lower())
    return _turned_round(_triples(said, stem), _triples(stands, stem)) or _other_way(_marked(said, stem), _marked(stands, stem))


def _turned_round(said: Mapping[Triple, bool], stands: Mapping[Triple, bool]) -> bool:
    for (first, middle, last), is_passive in said.items():
        same, turned = stands.get((first, middle, last)), stands.get((last, middle, first))
        if (same is None) != (turned is None) and (same == (not is_passive) or turned == is_passive):
            return True
    return False


def _triples(words: Sequence[str], stem: Stem) -> dict[Triple, bool]:
    """What stands before and after a word of content in its clause, and whether it is done to the first by the last. Words that
    come twice are left out: which of them is meant can't be told."""
    content, clause = [], 0
    for at, word in enumerate(words):
        clause += not word[0].isalnum()
        content += [_Word(one, at, clause) for one in stem(word)[:1]]
    often = Counter(word.stem for word in content)
    found = {}
    for place, middle in enumerate(content):
        if words[middle.at + 1 : middle.at + 2] and words[middle.at + 1] in _BE:
            continue  # "X's author is Y": it names, and nobody does it
        is_done = not _BE.isdisjoint(words[max(0, middle.at - NEAR) : middle.at])
        for first in content[max(0, place - REACH) : place]:
            for last in content[place + 1 : place + 1 + REACH]:
                if first.clause == last.clause and max(often[one.stem] for one in (first, middle, last)) == 1:
                    is_passive = is_done and "by" in words[middle.at : last.at]
                    found[first.stem, middle.stem, last.stem] = is_passive
    return found


def _marked(words: Sequence[str], stem: Stem) -> dict[str, set[str]]:
    """The first word of content after each of ``_MARKS``."""
    found: dict[str, set[str]] = {}
    for at, word in enumerate(words):
        if word in _MARKS:
            content = [one for following in words[at + 1 : at + 1 + NEAR] for one in stem(following)[:1]]
            found.setdefault(word, set()).update(content[:1])
    return found


def _other_way(said: dict[str, set[str]], stand: dict[str, set[str]]) -> bool:
    for mark, words in said.items():
        elsewhere = set().union(*(stems for other, stems in stand.items() if other != mark))
        if mark in stand and any(word in elsewhere and word not in stand[mark] for word in words):
            return True
    return False
