"""How likely it is that the pages answer a question, from how well their best evidence matches it.

A logistic curve (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) over the best sentence's evidence score. Its
two coefficients were fitted, as ``python -m bench.calibration`` does, to 595 of XQuAD-en's questions, asked with their page in
the index or with the page taken out. That is a hard case: other paragraphs of the same article stay. As many were answerable as
not; where nearly all questions are, confidence is too low, and too high where few are.

They hold for the built-in embedder. Another one's scores lie elsewhere, so its curve must be fitted (docs/answers.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """``confidence = 1 / (1 + exp(-slope * (score - middle)))``."""

    slope: float
    middle: float

    def confidence(self, score: float) -> float:
        """In [0, 1], rising with the score."""
        return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, self.slope * (score - self.middle)))))


MINILM_CALIBRATION = Calibration(slope=22.0, middle=0.570)
