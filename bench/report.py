"""From figures to the table that is printed. Pure: nothing here measures, reads files or looks at a clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

_STAGE = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z) INFO app\.state: (.+)$", re.MULTILINE)
BEFORE_STAGES = "starting Python, imports"
MAX_STAGE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep. Missing it is said, and fails nothing."""

    bound: Literal["at most", "at least"]
    value: float
    unit: str = ""

    def is_met(self, figure: float) -> bool:
        return figure <= self.value if self.bound == "at most" else figure >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.bound == 'at most' else '≥'} {self.value:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. ``judged`` is the figure that the goal is about, in the goal's unit."""

    what: str
    ours: str
    beside: str = ""
    judged: float | None = None
    goal: Goal | None = None

    @property
    def ratio_text(self) -> str:
        return "" if self.judged is None else f"{self.judged:.3g}{self.goal.unit if self.goal else ''}"

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        if self.judged is None:
            return f"{self.goal}: not measured"
        return f"{self.goal}: {'met' if self.goal.is_met(self.judged) else 'MISSED'}"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: Sequence[Line]
    notes: Sequence[str] = ()


def table(sections: Sequence[Section]) -> str:
    """Aligned columns: what, Footnote's figure, the bare libraries', the judged figure, the goal."""
    head = ("", "Footnote", "beside it", "ratio", "goal")
    rows = [[_cells(line) for line in section.lines] for section in sections]
    widths = [max(len(row[i]) for row in [head, *(row for part in rows for row in part)]) for i in range(len(head))]
    lines = [_row(head, widths)]
    for section, part in zip(sections, rows, strict=True):
        lines += ["", section.title, *(_row(row, widths) for row in part), *(f"    {note}" for note in section.notes)]
    return "\n".join(lines)


def percentile(values: Iterable[float], share: float) -> float:
    """The ``share`` quantile (0 to 1), linear between neighbours; 0 without values."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values: Iterable[float]) -> float:
    return percentile(values, 0.5)


def ratio(ours: float, bare: float) -> float | None:
    """None where there is nothing to divide by."""
    return ours / bare if bare > 0 else None


def tokens_per_s(arrivals_s: Sequence[float]) -> float:
    """The pace of generation from when each piece came. The first one ends the prompt's work and is no part of it."""
    if len(arrivals_s) < 2 or arrivals_s[-1] <= arrivals_s[0]:
        return 0.0
    return (len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0])


def tokens_per_s_of_all(answers: Iterable[Sequence[float]]) -> float:
    """The pace over several answers, each weighing as much as it is long: short ones measure it together."""
    spans = [(len(arrivals_s) - 1, arrivals_s[-1] - arrivals_s[0]) for arrivals_s in answers if len(arrivals_s) > 1]
    took_s = sum(span_s for _, span_s in spans)
    return sum(tokens for tokens, _ in spans) / took_s if took_s > 0 else 0.0


def stages_of_log(log: str, *, began_at_s: float) -> dict[str, float]:
    """Seconds of each stage of a start, in order, from the service's log. ``began_at_s``: the process's start, Unix time.

    Empty if the log tells no stages.
    """
    marks = [(datetime.fromisoformat(at).timestamp(), stage) for at, stage in _STAGE.findall(log)]
    stages: dict[str, float] = {}
    for (at_s, stage), (next_at_s, _) in zip([(began_at_s, BEFORE_STAGES), *marks], marks, strict=False):
        name = stage[:MAX_STAGE_CHARS]
        stages[name] = stages.get(name, 0.0) + next_at_s - at_s
    return stages


def bytes_text(count: float) -> str:
    """``1.5 MB``: decimal units, two significant digits or more."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def p50_p95(values_ms: Sequence[float]) -> str:
    return f"{percentile(values_ms, 0.5):.1f} / {percentile(values_ms, 0.95):.1f} ms"


def _cells(line: Line) -> tuple[str, ...]:
    return (f"  {line.what}", line.ours, line.beside, line.ratio_text, line.verdict)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
