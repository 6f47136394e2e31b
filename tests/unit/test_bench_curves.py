"""The curves' pure parts: the picture, the table, and texts that are the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import synthetic
from bench.curves import EngineFigures, SizeFigures, plot, section
from bench.errors import BenchError
from bench.plot import HEIGHT, WIDTH, Curve, line_plot

SVG = "{http://www.w3.org/2000/svg}"


def figures(chunks: int, *, ours_ms: float, milvus_ms: float, tantivy_ms: float) -> SizeFigures:
    engines = {
        "footnote": EngineFigures(build_s=3, disk_bytes=300, memory_bytes=30, ms=[ours_ms], cpu_ms=[3.0], lexical_ms=[1.0]),
        "milvus": EngineFigures(build_s=1, disk_bytes=100, memory_bytes=10, ms=[milvus_ms], cpu_ms=[2.0]),
        "tantivy": EngineFigures(build_s=1, disk_bytes=50, memory_bytes=5, ms=[tantivy_ms], cpu_ms=[1.0]),
        "bm25s": EngineFigures(ms=[2.0]),
        "rank-bm25": EngineFigures(ms=[4.0]),
    }
    return SizeFigures(chunks, 1000, engines)


def test_the_first_stage_is_held_against_the_slower_of_the_raw_calls() -> None:
    first, best, processor, *lexical = section(figures(1000, ours_ms=12, milvus_ms=10, tantivy_ms=5)).lines[:6]
    assert first.judged == best.judged == pytest.approx(1.2)
    assert processor.judged == pytest.approx(1.5)
    assert first.verdict.endswith("met")
    assert [line.judged for line in lexical] == pytest.approx([0.2, 0.5, 0.25])
    first = section(figures(1000, ours_ms=30, milvus_ms=10, tantivy_ms=20)).lines[0]
    assert first.judged == pytest.approx(1.5)
    assert first.verdict.endswith("MISSED")


def test_build_disk_and_memory_are_held_against_both_raw_indexes_together() -> None:
    build, disk, memory = section(figures(1000, ours_ms=12, milvus_ms=10, tantivy_ms=5)).lines[6:]
    assert build.judged == pytest.approx(3 / 2)
    assert disk.judged == pytest.approx(300 / 150)
    assert memory.judged == pytest.approx(30 / 15)


def test_the_picture_is_svg_with_a_curve_and_a_name_for_each_engine() -> None:
    drawn = ElementTree.fromstring(plot([figures(n, ours_ms=n / 50, milvus_ms=n / 60, tantivy_ms=2) for n in (1000, 10_000)]))
    assert len(drawn.findall(f"{SVG}polyline")) == 6
    written = [text.text for text in drawn.findall(f"{SVG}text")]
    assert {"footnote", "milvus", "rank-bm25", "1,000", "10,000", "chunks"} <= set(written)


def test_equal_steps_are_equal_factors_and_all_is_within_the_picture() -> None:
    drawn = ElementTree.fromstring(line_plot([Curve("<a>", [(1, 1), (10, 10), (100, 100)])], title="t", x_label="x", y_label="y"))
    points = [tuple(map(float, point.split(","))) for point in drawn.find(f"{SVG}polyline").get("points").split()]  # type: ignore[union-attr]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    assert x1 < x2
    assert y1 > y2
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_texts_and_queries_are_made_of_the_sites_sentences(tmp_path: Path) -> None:
    paragraphs = "".join(f"<p>The harbour of town number {n} has {n} cranes and a tower.</p>" for n in range(120))
    (tmp_path / "page.html").write_text(f"<html lang=en><title>T</title><body><main>{paragraphs}</main></body></html>")
    sentences = synthetic.sentences_of(tmp_path)
    assert "The harbour of town number 7 has 7 cranes and a tower." in sentences
    for seed in (1, 1, 2):
        synthetic.write_texts(tmp_path / f"{seed}.jsonl", sentences, count=20, seed=seed)
    texts = list(synthetic.read_texts(tmp_path / "1.jsonl"))
    assert len(texts) == 20
    assert texts != list(synthetic.read_texts(tmp_path / "2.jsonl"))
    assert all(text.startswith("The harbour") for text in texts)
    asked = synthetic.queries(sentences, count=5, seed=1)
    assert asked == synthetic.queries(sentences, count=5, seed=1)
    assert all(any(query in sentence for sentence in sentences) for query in asked)


def test_a_site_without_enough_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>One sentence is too few to make anything of.</p>")
    with pytest.raises(BenchError, match="larger site"):
        synthetic.sentences_of(tmp_path)


def test_vectors_have_unit_length_and_are_the_same_each_time() -> None:
    vectors = synthetic.chunk_vectors(3)
    assert (vectors**2).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert (vectors == synthetic.chunk_vectors(3)).all()
    assert not (vectors == synthetic.query_vectors(3)).any()
