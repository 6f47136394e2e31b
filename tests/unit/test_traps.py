"""Links that never end, and the parameters that make many URLs of one page."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import PermanentError
from corpus.settings import IngestSettings
from ingest.traps import REASONS, Traps, clean_link
from ingest.urls import MAX_URL_CHARS, normalise


def traps(**limits: Any) -> Traps:
    return Traps(settings=IngestSettings(**limits))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h/a/b/a/b", None),
        ("http://h/a/b/a/b/a/b", "repeated_segments"),
        ("http://h/x/a/b/a/b/a/b/y?q=1", "repeated_segments"),
        ("http://h/a/a", None),
        ("http://h/a/a/a", "repeated_segments"),
        ("http://h/page/2/page/3/page/4", None),
        ("http://h/2024/1/1/1", None),
        ("http://h//a//a//a", "repeated_segments"),
        ("http://h/" + "/".join(map(str, range(32))), None),
        ("http://h/" + "/".join(map(str, range(33))), "too_many_segments"),
        ("http://h/" + "a" * (MAX_URL_CHARS - 9), None),
        ("http://h/" + "a" * (MAX_URL_CHARS - 8), "url_too_long"),
        ("http://h/?a/a/a/a", None),
    ],
)
def test_shapes(url: str, reason: str | None) -> None:
    assert traps().refuses(url) == reason


def test_the_limits_are_the_settings() -> None:
    assert traps(max_repeated_segments=3).refuses("http://h/a/a/a") is None
    assert traps(max_path_segments=2).refuses("http://h/a/b/c") == "too_many_segments"


def test_query_variants() -> None:
    found = traps(max_query_variants=2)
    assert [found.refuses(f"http://h/a?n={n}") for n in range(3)] == [None, None, "query_variants"]
    assert found.refuses("http://h/a?n=1") is None  # known, and no new variant
    assert found.refuses("http://h/a") is None
    assert found.refuses("http://h/b?n=9") is None
    assert found.refuses("http://other/a?n=9") is None


@pytest.mark.parametrize(
    "dated", ["/events/{}/{:02}/", "/events/{}-{:02}-07", "/c/{}/{}/5?view=week", "/{}.{:02}.html", "/cal/{}-W{:02}"]
)
def test_calendars(dated: str) -> None:
    found = traps(max_date_variants=24)
    months = [dated.format(year, month) for year in (2025, 2026, 2027) for month in range(1, 13)]
    assert [found.refuses(f"http://h{path}") for path in months] == [None] * 24 + ["date_variants"] * 12


def test_articles_that_only_carry_a_date_are_no_calendar() -> None:
    found = traps(max_date_variants=1)
    assert [found.refuses(f"http://h/2026/05/06/article-{n}") for n in range(5)] == [None] * 5
    assert [found.refuses(f"http://h/v{n}/2026-123456") for n in range(5)] == [None] * 5


def test_host_budget() -> None:
    found = traps(max_pages_per_host=2)
    assert [found.refuses(f"http://a/{n}") for n in range(3)] == [None, None, "host_budget"]
    assert found.refuses("http://b/") is None


def test_what_is_refused_counts_for_nothing() -> None:
    found = traps(max_query_variants=1, max_pages_per_host=3)
    assert [found.refuses(f"http://h/a?{n}") for n in range(5)] == [None] + ["query_variants"] * 4
    assert [found.refuses(f"http://h/{n}") for n in range(3)] == [None, None, "host_budget"]


def test_a_new_process_goes_on_counting() -> None:
    found = traps(max_query_variants=2)
    for url in ("http://h/a?1", "http://h/a?2"):
        found.remember(url)
    assert found.refuses("http://h/a?3") == "query_variants"
    found.remember("http://h/a?3", "query_variants")
    assert [found.tells("query_variants", limit=3) for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("http://h/a?utm_source=x&id=3&UTM_Medium=y&fbclid=z", "http://h/a?id=3"),
        ("http://h/a?gclid=x", "http://h/a"),
        ("http://h/a?b=%2F&a&a=", "http://h/a?b=%2F&a&a="),
        ("http://h/a?PHPSESSID=x&q=1", "http://h/a?q=1"),
        ("http://h/a;jsessionid=0A1B.node?q=1", "http://h/a?q=1"),
        ("http://h/a;jsessionid=0A1B/b", "http://h/a/b"),
        ("http://h/a?sid=17", "http://h/a?sid=17"),
        ("http://h/a?sid=0123456789abcdef0123", "http://h/a"),
        ("http://h/a?s=internationalisation", "http://h/a?s=internationalisation"),
        ("http://h/a?utmost=1&ref=2&source=3", "http://h/a?utmost=1&ref=2&source=3"),
        ("http://h/?", "http://h/"),
    ],
)
def test_clean_link(url: str, cleaned: str) -> None:
    assert clean_link(url) == cleaned
    assert clean_link(cleaned) == cleaned


@given(st.text(max_size=80), st.sampled_from(["http://h/", "http://h/?utm_source=", "http://h/a;jsessionid=", "http://h/2024/1"]))
def test_never_crashes(text: str, before: str) -> None:
    try:
        url = normalise(before + text)
    except PermanentError:
        return
    cleaned = clean_link(url)
    assert normalise(cleaned) == cleaned == clean_link(cleaned)
    reason = traps().refuses(cleaned)
    assert reason is None or REASONS[reason]
