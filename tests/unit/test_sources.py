"""Which jobs are of the same source, and how often one can be run."""

from __future__ import annotations

from typing import Any

import pytest

from corpus.errors import InvalidInput
from corpus.model import IngestMode
from corpus.sources import JobSpec, every_seconds, source_id

SPEC = JobSpec(urls=["https://a.example/", "https://b.example/x"], include=["*/docs/*", "*/api/*"], max_pages=10, max_depth=2)


@pytest.mark.parametrize(
    "changed",
    [
        {"max_pages": 1},
        {"prune": True},
        {"max_depth": 1},
        {"urls": ["https://b.example/x", "https://a.example/"]},
        {"urls": ["https://a.example", "HTTPS://B.example:443/y/../x#part", "https://a.example/"]},
        {"include": ["*/api/*", "*/docs/*", "*/api/*"]},
    ],
)
def test_what_does_not_make_another_source(changed: dict[str, Any]) -> None:
    assert source_id(1, SPEC.model_copy(update=changed)) == source_id(1, SPEC)


@pytest.mark.parametrize(
    "changed",
    [
        {"urls": ["https://a.example/"]},
        {"urls": ["https://a.example/?", "https://b.example/x"]},
        {"mode": IngestMode.CRAWL},
        {"include": []},
        {"include": [], "exclude": ["*/docs/*", "*/api/*"]},
        {"urls": ["no url", "https://b.example/x"]},
    ],
)
def test_what_makes_another_source(changed: dict[str, Any]) -> None:
    assert source_id(1, SPEC.model_copy(update=changed)) != source_id(1, SPEC)
    assert source_id(2, SPEC) != source_id(1, SPEC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("15m", 900),
        (900, 900),
        ("900", 900),
        ("90m", 5400),
        (" 12H ", 43_200),
        ("1d", 86_400),
        ("2 w", 1_209_600),
        ("366d", 31_622_400),
    ],
)
def test_intervals(value: str | int, seconds: int) -> None:
    assert every_seconds(value) == seconds


@pytest.mark.parametrize("value", ["", "14m", 899, "367d", "1y", "d", "-1d", "1.5d", "1d 2h", "0", "9" * 30, "١d", "every day"])
def test_what_is_no_interval(value: str | int) -> None:
    with pytest.raises(InvalidInput, match="15m"):
        every_seconds(value)
