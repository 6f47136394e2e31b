"""The pure parts of the extraction benchmarks."""

from __future__ import annotations

import pytest
from lxml import html

from bench.extraction import Overlap, Score, overlap, score
from bench.extraction import section as extraction_section
from bench.survival import Survival, expected_code, expected_rows, section, stands_in


def test_overlap_is_of_shingles_of_four_words_as_multisets() -> None:
    assert overlap("a b c d e", "a b c d e") == Overlap(1, 0, 0)
    assert overlap("a b c d e", "A, b c d e f") == Overlap(1 / 4, 2 / 4, 1 / 4)
    assert overlap("a b c d a b c d", "a b c d") == Overlap(1 / 5, 0, 4 / 5)
    assert overlap("a b", "a b") == Overlap(1, 0, 0)
    assert overlap("", "") == Overlap(0, 0, 0)


def test_score_is_f1_of_mean_precision_and_mean_recall() -> None:
    got = score([Overlap(0.5, 0.5, 0), Overlap(0.25, 0, 0.75), Overlap(0, 0, 1)])
    assert got == Score(0.75, pytest.approx((1 + 0.25 + 0) / 3))  # no text: nothing to be precise about
    assert got.f1 == pytest.approx(2 * 0.75 * 1.25 / 3 / (0.75 + 1.25 / 3))
    assert score([]).f1 == 0


def test_falling_behind_is_said() -> None:
    ahead, behind = Score(0.95, 0.95), Score(0.9, 0.9)
    for ours, theirs, verdict in ((ahead, behind, "met"), (behind, ahead, "MISSED")):
        line = extraction_section(ours, theirs, pages=2, ours_s=1, theirs_s=1).lines[0]
        assert line.verdict.endswith(verdict)


def test_what_is_expected_of_a_page() -> None:
    root = html.document_fromstring(
        "<div class=linenos><pre>1\n2\n3</pre></div><nav><pre>menu()</pre></nav><pre>\n\n  a &lt; &#8203;b\n</pre><pre>x</pre>"
        "<table><tr><th>a<th>b|c<tr><td><p>1</p><p>2</p><td>3 <b>4</b><tr><td>5<td></table><table><tr><td>one<td>row</table>"
    )
    assert expected_code(root) == ["  a < b"]
    assert expected_rows(root) == [["a", "b\\|c"], ["1 2", "3 4"]]


def test_a_row_stands_with_its_cells_in_order() -> None:
    assert stands_in(["a", "b"], "| a | x | b |")
    assert not stands_in(["b", "a"], "| a | x | b |")
    assert not stands_in(["a", "a"], "| a | b |")


def test_shares_are_added_up_and_shown() -> None:
    total = Survival()
    total.add(Survival(pages=1, code=3, code_kept=3, rows=4, rows_kept=1, parts=1))
    total.add(Survival(pages=1, code=1))
    lines = section("a site", total).lines
    assert [(line.ours, line.judged) for line in lines] == [
        ("3 of 4", 75),
        ("0 of 0", None),
        ("1 of 4", 25),
        ("0 of 0", None),
        ("0 of 1", 0),
    ]
    assert lines[0].verdict.endswith("MISSED")
