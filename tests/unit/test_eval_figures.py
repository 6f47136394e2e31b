"""Measures and intervals: against values worked out by hand, and against trec_eval itself."""

from __future__ import annotations

import math
import random

import pytest
import pytrec_eval

from footnote.evaluation import metrics, statistics

GRADES = {"a": 3, "b": 2, "c": 1, "d": 0, "e": -1}


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        (["a", "b", "c"], 1.0),
        # (1 + 3/log2(3)) / (3 + 2/log2(3) + 1/2) = 2.892789 / 4.761859
        (["c", "a"], 0.607491),
        # b at 2, a at 4: (2/log2(3) + 3/log2(5)) / 4.761859 = (1.261860 + 1.292030) / 4.761859
        (["d", "b", "x", "a"], 0.536322),
        (["d", "e", "x"], 0.0),
        ([], 0.0),
        (["x"] * 10 + ["a"], 0.0),  # the eleventh is not among ten
    ],
)
def test_ndcg_by_hand(ranking: list[str], expected: float) -> None:
    assert metrics.ndcg(ranking, GRADES, k=10) == pytest.approx(expected, abs=1e-6)


def test_ndcg_of_more_relevant_documents_than_places() -> None:
    grades = {str(number): 1 for number in range(20)}
    assert metrics.ndcg([str(number) for number in range(10)], grades, k=10) == pytest.approx(1.0)


def test_reciprocal_rank_and_recall_by_hand() -> None:
    assert metrics.reciprocal_rank(["x", "d", "c"], GRADES, k=10) == pytest.approx(1 / 3)
    assert metrics.reciprocal_rank(["x", "d", "c"], GRADES, k=2) == 0.0
    assert metrics.recall(["x", "c", "a"], GRADES, k=10) == pytest.approx(2 / 3)
    assert metrics.recall(["x", "c", "a"], GRADES, k=2) == pytest.approx(1 / 3)
    assert metrics.recall(["a"], {"a": 0}, k=10) == 0.0


def test_a_document_stands_where_its_best_chunk_does() -> None:
    assert metrics.documents(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]


def test_all_measures_equal_trec_eval() -> None:
    source = random.Random(7)
    names = {"ndcg@10": "ndcg_cut_10", "recall@10": "recall_10", "recall@100": "recall_100", "mrr@10": "recip_rank"}
    assert set(names) == set(metrics.MEASURES)
    for _ in range(60):
        ids = [f"d{number}" for number in range(source.randint(1, 250))]
        grades = {one: source.choice([-1, 0, 0, 1, 1, 2, 3]) for one in source.sample(ids, source.randint(1, len(ids)))}
        grades |= {"never found": 1}
        ranking = source.sample(ids, source.randint(1, len(ids)))
        run = {one: float(len(ranking) - place) for place, one in enumerate(ranking)}
        judge = pytrec_eval.RelevanceEvaluator({"q": grades}, {"ndcg_cut.10", "recall.10,100"})
        expected = judge.evaluate({"q": run})["q"]
        first_ten = dict(list(run.items())[:10])
        expected |= pytrec_eval.RelevanceEvaluator({"q": grades}, {"recip_rank"}).evaluate({"q": first_ten})["q"]
        measured = metrics.measured(ranking, grades)
        assert measured == pytest.approx({ours: expected[theirs] for ours, theirs in names.items()}, abs=1e-9)


def test_an_interval_has_the_width_that_theory_gives() -> None:
    source = random.Random(3)
    values = [source.gauss(0.5, 0.2) for _ in range(400)]
    mean = sum(values) / len(values)
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) / math.sqrt(len(values))
    found = statistics.estimate(values, seed=1)
    assert found.mean == pytest.approx(mean)
    assert found.n == 400
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)


def test_one_seed_gives_one_interval() -> None:
    source = random.Random(4)
    values = [source.random() for _ in range(50)]
    assert statistics.estimate(values, seed=5) == statistics.estimate(values, seed=5)
    assert statistics.estimate(values, seed=5) != statistics.estimate(values, seed=6)


def test_a_difference_is_of_pairs() -> None:
    """A small, steady gain is clear although the two means' own intervals overlap by far."""
    source = random.Random(9)
    second = [source.random() for _ in range(100)]
    first = [value + 0.01 + 0.001 * source.random() for value in second]
    found = statistics.difference(first, second, seed=1)
    assert statistics.estimate(first, seed=1).low < statistics.estimate(second, seed=1).high
    assert found.is_clear
    assert (found.wins, found.losses, found.ties) == (100, 0, 0)
    assert found.p_value == 0.0
    back = statistics.difference(second, first, seed=1)
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_differences_that_say_nothing() -> None:
    same = statistics.difference([0.5, 0.1, 0.9], [0.5, 0.1, 0.9], seed=1)
    assert (same.mean, same.wins, same.losses, same.ties, same.p_value) == (0.0, 0, 0, 3, 1.0)
    assert not same.is_clear
    balanced = statistics.difference([1.0, 0.0] * 20, [0.0, 1.0] * 20, seed=1)
    assert not balanced.is_clear
    assert (balanced.wins, balanced.losses) == (20, 20)
    assert balanced.p_value > 0.5


def test_what_can_not_be_measured() -> None:
    with pytest.raises(ValueError, match="no values"):
        statistics.estimate([], seed=1)
    with pytest.raises(ValueError, match="can't be paired"):
        statistics.difference([1.0], [], seed=1)


def test_spread() -> None:
    assert statistics.spread([float(n) for n in range(1, 102)]) == statistics.Spread(p50=51.0, p95=96.0)
