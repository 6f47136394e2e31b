"""How likely it is that the pages answer a question, from how well their best evidence matches it.

A logistic curve (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) over the best sentence's evidence score. Its
two coefficients were fitted, as ``python -m bench.calibration`` does, to questions of XQuAD, each asked with its page in the
index and with the page taken out. That is a hard case: other paragraphs of the same article stay. As many were answerable as
not; where nearly all questions are, confidence is too low, and too high where few are.

Scores of two embedders are spread differently, so each has a curve of its own: the built-in one (600 cases in English), and
multilingual-e5-small. That one's scores lie higher in Chinese than in German and English (150 cases each), so it has one curve
for scripts with spaces between words and one for those without. Any other embedder is judged
by the built-in one's, which is wrong, and said in ``/readyz`` (docs/answers.md tells how to fit one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from corpus.analysis import has_no_spaces
from corpus.weights import E5, MINILM


@dataclass(frozen=True, slots=True)
class Calibration:
    """``confidence = 1 / (1 + exp(-slope * (score - middle)))``."""

    slope: float
    middle: float

    def confidence(self, score: float) -> float:
        """In [0, 1], rising with the score."""
        return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, self.slope * (score - self.middle)))))


MINILM_CALIBRATION = Calibration(slope=23.7, middle=0.565)
E5_CALIBRATION = Calibration(slope=52.0, middle=0.826)
E5_UNSPACED_CALIBRATION = Calibration(slope=78.0, middle=0.858)

CALIBRATED = frozenset({MINILM, E5})  # embedders


def calibration_for(embedder: str, question: str) -> Calibration:
    """The curve for an embedder's scores of a question; the built-in one's, if it isn't ``CALIBRATED``."""
    if embedder != E5:
        return MINILM_CALIBRATION
    return E5_UNSPACED_CALIBRATION if has_no_spaces(question) else E5_CALIBRATION
