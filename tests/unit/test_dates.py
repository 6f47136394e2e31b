"""What a page says of its own age, and where it says nothing that can be relied on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from ingest.extract.dates import Dates, dates_of, parse_date, parse_pdf_date

MAY = datetime(2024, 5, 6, tzinfo=UTC)
JUNE = datetime(2024, 6, 7, 8, 9, 10, tzinfo=UTC)


def told(markup: str) -> tuple[datetime | None, datetime | None]:
    dates = dates_of(html.document_fromstring(f"<html><body>{markup}<p>text</p></body></html>"))
    return dates.published_at, dates.modified_at


def linked(*nodes: object) -> str:
    return "".join(f"<script type='application/ld+json'>{json.dumps(node)}</script>" for node in nodes)


def article(published: str, modified: str | None = None, kind: object = "NewsArticle") -> dict[str, object]:
    return {"@type": kind, "datePublished": published, "dateModified": modified}


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-07T08:09:10Z",
        "2024-06-07T10:09:10+02:00",
        "2024-06-07 08:09:10.123 UTC",
        "20240607T080910Z",
        "2024-06-07T04:09:10-0400",
        "Fri, 07 Jun 2024 08:09:10 GMT",
        "2024-06-07T08:09:10",
    ],
)
def test_forms_of_a_time(text: str) -> None:
    assert parse_date(f" {text} ") == JUNE


@pytest.mark.parametrize("text", ["2024-05-06", "2024/05/06", "2024.05.06", "20240506"])
def test_forms_of_a_day(text: str) -> None:
    assert parse_date(text) == MAY


@pytest.mark.parametrize(
    "text",
    [None, "", "2024", "2024-05", "05/06/2024", "6 May", "yesterday", "2024-13-01", "2024-05-32", "1234567890", "2024-05-0612"],
)
def test_what_is_no_date(text: str | None) -> None:
    assert parse_date(text) is None


def test_pdf_dates() -> None:
    assert parse_pdf_date("D:20240607100910+02'00'") == parse_pdf_date("D:20240607080910Z") == JUNE
    assert parse_pdf_date("D:20240506") == MAY
    assert parse_pdf_date("D:2024") is parse_pdf_date("D:20241399") is parse_pdf_date("") is None


@given(st.text(max_size=70) | st.from_regex(r"D?:?\d{4}[-/]?\d{2}[-/]?\d{2}[ T]?\d{0,6}[Z+-]?\d{0,4}", fullmatch=True))
def test_any_text_gives_a_utc_time_or_none(text: str) -> None:
    for at in (parse_date(text), parse_pdf_date(text)):
        assert at is None or at.utcoffset() == timedelta()


def test_linked_data() -> None:
    both = article("2024-05-06", "2024-06-07T08:09:10Z")
    assert told(linked(both)) == (MAY, JUNE)
    assert told(linked({"@graph": [{"@type": "WebSite", "datePublished": "2001-01-01"}, both]})) == (MAY, JUNE)
    assert told(linked([{"@type": ["WebPage"], "mainEntity": article("2024-05-06", kind=["Thing", "BlogPosting"])}])) == (
        MAY,
        None,
    )
    assert told(linked(article("2024-05-06", kind="WebPage"))) == (MAY, None)


def test_linked_data_of_other_things_says_nothing() -> None:
    assert told(linked({"@type": "Event", "datePublished": "2024-05-06"})) == (None, None)
    assert told(linked({"@type": "Question", "comment": article("2024-05-06")})) == (None, None)
    assert told(linked({"@type": "ItemList", "itemListElement": [article("2024-05-06")]})) == (None, None)
    assert told(linked(article("2024-05-06"), article("2024-05-07"))) == (None, None)


@pytest.mark.parametrize(
    "broken", ["{", "[" * 100_000, '"x"', "null", '{"@type": {}, "datePublished": 3}', '{"@graph": [1, [2]]}']
)
def test_broken_linked_data_is_passed_over(broken: str) -> None:
    markup = f"<script type='application/ld+json'>{broken}</script>{linked(article('2024-05-06'))}"
    assert told(markup) == (MAY, None)


@pytest.mark.parametrize(
    "markup",
    [
        "<meta property='article:published_time' content=2024-05-06><meta property='article:modified_time' content='{}'>",
        "<meta name='DC.date.issued' content=2024-05-06><meta name='DCTERMS.modified' content='{}'>",
        "<meta name=citation_publication_date content='2024/05/06'><meta http-equiv=last-modified content='{}'>",
        "<meta itemprop=datePublished content=2024-05-06><meta itemprop=dateModified content='{}'>",
        "<time itemprop=datePublished datetime=2024-05-06>6 May</time><time itemprop=dateModified datetime='{}'></time>",
        "<time class='entry-date published' datetime=2024-05-06></time><time class=updated datetime='{}'></time>",
        "<time pubdate datetime=2024-05-06></time><time class=dt-updated datetime='{}'></time>",
    ],
)
def test_meta_and_time(markup: str) -> None:
    assert told(markup.format("2024-06-07T08:09:10Z")) == (MAY, JUNE)


def test_times_in_the_text_are_not_guessed_at() -> None:
    assert told("<time datetime=2024-05-06>the battle</time><p>Published on 6 May 2024</p>") == (None, None)
    two = "<time class=published datetime=2024-05-06></time><time class=published datetime=2024-05-07></time>"
    assert told(two) == (None, None)
    assert told("<meta name=date content='May 2024'>") == (None, None)


def test_the_better_source_wins() -> None:
    metas = "<meta property='article:published_time' content=2023-01-01><meta name=last-modified content=2023-01-02>"
    assert told(metas + linked(article("2024-05-06"))) == (MAY, datetime(2023, 1, 2, tzinfo=UTC))


def test_dates_that_cannot_be_are_dropped() -> None:
    now = datetime(2024, 6, 1, tzinfo=UTC)
    assert Dates(MAY, JUNE).before(now) == Dates(MAY, None)
    assert Dates(datetime(1970, 1, 1, tzinfo=UTC), now + timedelta(hours=20)).before(now) == Dates(
        None, now + timedelta(hours=20)
    )
