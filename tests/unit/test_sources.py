"""Which jobs are of the same source."""

from __future__ import annotations

from typing import Any

import pytest

from corpus.model import IngestMode
from corpus.sources import JobSpec, source_id

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
