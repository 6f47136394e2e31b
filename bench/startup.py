"""Start-up: from the process's start until /readyz says 200, and where that time goes."""

from __future__ import annotations

from bench.report import Goal, Line, Section
from bench.service import StartTimes

GOAL = Goal("at most", 15.0, " s")


def section(first: StartTimes, second: StartTimes) -> Section:
    stages = list(dict.fromkeys([*first.stages, *second.stages]))
    return Section(
        "Start-up",
        [
            Line("first start, data directory empty", f"{first.ready_s:.1f} s", f"processor {first.cpu_s:.1f} s"),
            Line("second start, with data", f"{second.ready_s:.1f} s", f"processor {second.cpu_s:.1f} s", second.ready_s, GOAL),
            *(
                Line(f"  {stage}", f"{second.stages.get(stage, 0.0):.1f} s", f"first start: {first.stages.get(stage, 0.0):.1f} s")
                for stage in stages
            ),
        ],
        (
            "A stage also waits for what loads beside it: the language model, from the start on.",
            f"Cores busy elsewhere: {first.other_cores:.1f} in the first start, {second.other_cores:.1f} in this one.",
        ),
    )
