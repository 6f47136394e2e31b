"""Does a quote say what a sentence says? A strict lexical judgement: it errs by refusing, never by trusting.

A claim is supported by a quote if nearly all its content words stand in the quote, everything that names something exactly
(numbers, identifiers, options, proper names) does, neither negates what the other doesn't, and nobody has changed places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.evidence import Sentence
from app.roles import exchanges_roles
from corpus.analysis import english_analyzer

LEAST_WORDS = 2  # of content, and between spaces: less than that claims nothing, though the page may order it said
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
# What must be right to the letter: --read, os.path.join, f(), MAX_SIZE, NameError; a capital inside a sentence.
_EXACT = re.compile(
    r"--?\w[\w-]*|\w+(?:[._/:\\]\w+)+|\w+\(\)|\b\w*[a-z][A-Z]\w*|\b\w*_\w*|\b[A-Z][A-Z0-9]+\b|(?<=[a-z,;] )[A-Z]\w+"
)
_NEGATION = re.compile(r"\b(?:not|no|never|none|nothing|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")
_CITATION_MARK = re.compile(r"\s*\[\d+\]")


class SupportJudge:
    def __init__(self) -> None:
        self._analyzer = english_analyzer()

    def support(self, claim: str, quote: str) -> float:
        """Share of the claim's content words that the quote holds, in [0, 1]; 0 where numbers, names, negation, roles differ."""
        words = set(self._analyzer.analyze(claim))
        if min(len(words), len(claim.split())) < LEAST_WORDS or bool(_NEGATION.search(claim)) != bool(_NEGATION.search(quote)):
            return 0.0
        if not set(_NUMBER.findall(claim)) <= set(_NUMBER.findall(quote)):
            return 0.0
        if any(exact.removesuffix("()") not in quote for exact in _EXACT.findall(claim)):
            return 0.0
        if exchanges_roles(claim, quote, self._analyzer.analyze):
            return 0.0
        return len(words & set(self._analyzer.analyze(quote))) / len(words)

    def adds_to(self, question: str, claim: str) -> bool:
        """Whether a claim says anything that its question doesn't: small models like to turn a question into an answer."""
        asked, said = (set(self._analyzer.analyze(text)) for text in (question, claim))
        return not claim.rstrip().endswith(("?", "？")) and not said <= asked

    def best(self, claim: str, evidence: Sequence[Sentence]) -> tuple[Sentence | None, float]:
        """The evidence that supports a claim best; the earlier of equals, as evidence comes best first."""
        best, best_support = None, 0.0
        for sentence in evidence:
            support = self.support(claim, sentence.text)
            if support > best_support:
                best, best_support = sentence, support
        return best, best_support


def split_claims(answer: str, *, is_complete: bool = True) -> list[str]:
    """The distinct sentences of a generated answer, without citation marks that the model may have made up.

    An answer that was cut off (not ``is_complete``) loses its last sentence, unless that ends as sentences do.
    """
    text = _CITATION_MARK.sub("", answer)
    claims = [claim.strip() for line in text.splitlines() for claim in _SENTENCE_END.split(line) if claim.strip()]
    if claims and not is_complete and not _SENTENCE_END.search(claims[-1] + " "):
        claims.pop()
    return list(dict.fromkeys(claims))
