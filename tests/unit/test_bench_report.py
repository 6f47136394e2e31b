"""The benchmark's pure parts: percentiles, goals, the table, and what it reads from a log or makes of stored chunks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.generation import LEAST_PAIRS, Pair, long_enough
from bench.report import (
    BEFORE_STAGES,
    Goal,
    Line,
    Section,
    bytes_text,
    median,
    percentile,
    ratio,
    stages_of_log,
    table,
    tokens_per_s,
    tokens_per_s_of_all,
)
from bench.stored import StoredChunk, fragment, queries_from, questions_from

LOG = """\
Footnote listens on http://127.0.0.1:18123 — starting…
2026-11-22T00:22:46.880Z INFO app.state: opening the data directory
2026-11-22T00:22:47.380Z INFO app.state: loading the embedder
2026-11-22T00:22:55.000Z INFO corpus.opening: corpus open: 0 pages, 0 chunks
2026-11-22T00:22:56.380Z INFO app.state: ready
Ready in 10.0 s: http://127.0.0.1:18123 (0 pages, 0 chunks)
"""
BEGAN_AT_S = 1795306964.88  # 2026-11-22T00:22:44.880Z


def pair(tokens: int, *, ours_per_s: float = 20.0, bare_per_s: float = 25.0) -> Pair:
    ours, bare = (tuple(1 + i / pace for i in range(tokens)) for pace in (ours_per_s, bare_per_s))
    return Pair(ours_first_s=1.0, bare_first_s=1.0, ours_arrivals_s=ours, bare_arrivals_s=bare, same_text=True)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.95, 3.85)])
def test_percentiles_lie_between_neighbours(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == pytest.approx(expected)


def test_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.95) == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentiles_stay_within_the_values(values: list[float], share: float) -> None:
    assert min(values) <= percentile(values, share) <= max(values) or percentile(values, share) == pytest.approx(max(values))
    assert percentile(values, 0.5) == median(values)


@pytest.mark.parametrize(
    ("goal", "figure", "met"),
    [
        (Goal("at most", 1.2), 1.2, True),
        (Goal("at most", 1.2), 1.21, False),
        (Goal("at least", 0.95), 0.95, True),
        (Goal("at least", 0.95), 0.947, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: Goal, figure: float, met: bool) -> None:
    assert goal.is_met(figure) is met
    assert ("met" in Line("x", "y", judged=figure, goal=goal).verdict) is met


def test_a_goal_without_a_figure_is_neither_met_nor_missed() -> None:
    assert Line("x", "y", goal=Goal("at most", 15.0, " s")).verdict == "≤ 15 s: not measured"


def test_a_missed_goal_is_not_rounded_into_a_met_one() -> None:
    line = Line("x", "y", judged=0.947, goal=Goal("at least", 0.95))
    assert (line.ratio_text, line.verdict) == ("0.947", "≥ 0.95: MISSED")


def test_the_tables_columns_are_aligned() -> None:
    sections = [
        Section("One", [Line("short", "1 ms", "2 ms", 0.5, Goal("at most", 1.3))], ("a note",)),
        Section("Two", [Line("a longer name", "1000 ms", "2 ms", 500.0)]),
    ]
    lines = table(sections).splitlines()
    head, first, second = lines[0], next(x for x in lines if "short" in x), next(x for x in lines if "longer" in x)
    assert head.index("beside it") == first.index("2 ms") == second.index("2 ms")
    assert head.index("ratio") == first.index("0.5") == second.index("500")
    assert "    a note" in lines
    assert all(line == line.rstrip() for line in lines)


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(1.0, 0.0) is None
    assert ratio(3.0, 2.0) == 1.5


def test_the_pace_leaves_out_the_wait_for_the_first_token() -> None:
    assert tokens_per_s([5.0, 5.1, 5.2, 5.3]) == pytest.approx(10.0)
    assert tokens_per_s([5.0]) == tokens_per_s([]) == tokens_per_s([5.0, 5.0]) == 0.0


def test_short_answers_measure_the_pace_together() -> None:
    assert tokens_per_s_of_all([[1.0, 1.1, 1.2], [9.0, 9.2], [4.0], []]) == pytest.approx(3 / 0.4)
    assert tokens_per_s_of_all([]) == tokens_per_s_of_all([[1.0]]) == 0.0


def test_stages_are_read_from_the_services_log() -> None:
    stages = stages_of_log(LOG, began_at_s=BEGAN_AT_S)
    assert stages == pytest.approx({BEFORE_STAGES: 2.0, "opening the data directory": 0.5, "loading the embedder": 9.0})
    assert list(stages) == [BEFORE_STAGES, "opening the data directory", "loading the embedder"]


def test_a_log_without_stages_gives_none() -> None:
    assert stages_of_log("nothing of the kind\n", began_at_s=0.0) == {}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (43_000, "43 kB"), (1_100_000_000, "1.1 GB")]
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_long_answers_measure_the_pace_where_there_are_enough() -> None:
    long, short = [pair(40)] * LEAST_PAIRS, [pair(10)] * 9
    assert long_enough(long + short) == (32, long)
    assert long_enough(long[1:] + short) == (8, long[1:] + short)
    assert long_enough([]) == (8, [])


def test_a_pair_is_judged_by_its_pace() -> None:
    assert pair(40, ours_per_s=20.0, bare_per_s=25.0).ratio == pytest.approx(0.8)
    assert pair(1).ratio == 0.0


CHUNKS = [
    StoredChunk(f"e{i}", f"The setting number {i} decides how often a failed upload is tried.", f"Part {i}") for i in range(9)
]


def test_queries_are_the_same_for_the_same_seed() -> None:
    assert queries_from(CHUNKS, count=6, seed=1) == queries_from(CHUNKS, count=6, seed=1)
    assert queries_from(CHUNKS, count=6, seed=1) != queries_from(CHUNKS, count=6, seed=2)
    assert all(question.endswith("?") for question in questions_from(CHUNKS, count=6, seed=1))


@pytest.mark.parametrize("count", [1, 9, 20])
def test_there_are_as_many_queries_as_asked_for(count: int) -> None:
    assert len(queries_from(CHUNKS, count=count, seed=1)) == count


def test_no_chunks_give_no_queries() -> None:
    assert queries_from([], count=3, seed=1) == []


@given(st.text(), st.integers())
def test_a_fragment_is_never_empty(text: str, seed: int) -> None:
    assert fragment(text, random.Random(seed)).strip()
