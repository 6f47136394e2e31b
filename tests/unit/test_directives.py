"""What pages tell robots: the strictest wins, and what is meant for other robots is not heard."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.directives import in_contents, in_headers

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def said(*values: str) -> set[str]:
    return set(in_headers(values, product="FootnoteBot", now=NOW)) & {"noindex", "nofollow"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], set()),
        (["all"], set()),
        (["noindex"], {"noindex"}),
        (["NoIndex , NoFollow"], {"noindex", "nofollow"}),
        (["none"], {"noindex", "nofollow"}),
        (["index, noindex"], {"noindex"}),
        (["noindex", "index"], {"noindex"}),
        (["footnotebot: noindex"], {"noindex"}),
        (["FootnoteBot: index", "noindex"], {"noindex"}),
        (["noindex", "footnotebot: all"], {"noindex"}),
        (["otherbot: noindex, nofollow"], set()),
        (["otherbot: noindex", "nofollow"], {"nofollow"}),
        (["footnotebot: nofollow", "otherbot: none"], {"nofollow"}),
        (["footnotebot2: none"], set()),
        (["max-snippet: 20, noindex"], {"noindex"}),
        (["noindexing"], set()),
    ],
)
def test_directives_of_headers(headers: list[str], expected: set[str]) -> None:
    assert said(*headers) == expected


@pytest.mark.parametrize(
    "date",
    [
        "25 Jun 2010 15:00:00 PST",
        "Fri, 25 Jun 2010 15:00:00 GMT",
        "Friday, 25-Jun-10 15:00:00 UTC",
        "2010-06-25",
        "2010-06-25T15:00:00+02:00",
        "2026-11-03T11:59:59Z",
    ],
)
def test_a_page_whose_time_is_over_is_not_indexed(date: str) -> None:
    assert said(f"unavailable_after: {date}") == {"noindex"}
    assert said(f"footnotebot: unavailable_after: {date}, nofollow") == {"noindex", "nofollow"}
    assert said(f"otherbot: unavailable_after: {date}") == set()


@pytest.mark.parametrize(
    "date", ["2026-11-03T12:00:01Z", "Sat, 25 Jun 2050 15:00:00 GMT", "soon", "", "99999999999", "2010-99-99"]
)
def test_a_time_to_come_or_none_at_all_forbids_nothing(date: str) -> None:
    assert said(f"unavailable_after: {date}") == set()
    assert said(f"nofollow, unavailable_after: {date}, noindex") == {"noindex", "nofollow"}


def test_contents_of_meta_elements_have_no_names() -> None:
    assert "noindex" in in_contents(["follow", "unavailable_after: 2010-06-25"], now=NOW)
    assert in_contents(["none"], now=NOW) >= {"noindex", "nofollow"}
