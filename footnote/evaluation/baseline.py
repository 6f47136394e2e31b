"""rank-bm25: the BM25 that everybody knows, over whole documents, as a baseline.

Lower-cased words and nothing else: no stemming, no stop words, as its own documentation shows it. It is a development
dependency, so it may not be there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from footnote.evaluation.dataset import Document
from footnote.evaluation.found import Found, Ranked

_WORD = re.compile(r"\w+")


def is_installed() -> bool:
    return find_spec("rank_bm25") is not None


class RankBm25:
    def __init__(self, documents: Sequence[Document]) -> None:
        from rank_bm25 import BM25Okapi

        self._documents = documents
        self._index = BM25Okapi([_words(f"{one.title} {one.text}") or [""] for one in documents])

    def search(self, text: str, *, limit: int) -> Ranked:
        """At most ``limit`` documents that share a word with the question; ties in the documents' order."""
        started = time.perf_counter()
        scores = self._index.get_scores(_words(text))
        best = np.argsort(-scores, kind="stable")[:limit]
        hits = [
            Found(one.id, one.id, one.title, one.text) for one in (self._documents[place] for place in best if scores[place] > 0)
        ]
        return Ranked(hits, {"lexical": (time.perf_counter() - started) * 1000})


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
