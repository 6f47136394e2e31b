"""The accounts of one connection, with a clock of its own."""

from typing import Any

import pytest

from corpus.errors import IngestError
from corpus.settings import IngestSettings
from ingest.metering import FRAMING_SLACK_BYTES, Meter

HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\nLink: x\n\n"


def meter(**settings: Any) -> Meter:
    return Meter(settings=IngestSettings(**{"min_rate_bytes_s": 10, "min_rate_window_s": 10.0, **settings}))


def test_the_room_for_headers_and_then_for_the_body() -> None:
    counted = meter(max_header_bytes=1_000)
    counted.received(HEAD, 0.0)
    assert counted.room_bytes() == 1_000 - len(HEAD)
    counted.head_ended(limit_bytes=500)
    assert counted.room_bytes() == 1_000 + FRAMING_SLACK_BYTES
    counted.received(b"x" * (1_000 + FRAMING_SLACK_BYTES), 1.0)
    with pytest.raises(IngestError) as caught:
        counted.room_bytes()
    assert caught.value.reason == "too_large"


def test_headers_without_end() -> None:
    counted = meter(max_header_bytes=1_000)
    counted.received(b"x" * 1_000, 0.0)
    with pytest.raises(IngestError) as caught:
        counted.room_bytes()
    assert caught.value.reason == "headers_too_large"


def test_patience_begins_with_the_first_byte() -> None:
    counted = meter()
    assert counted.patience_s(1e9) is None
    counted.received(b"H", 100.0)
    assert counted.patience_s(100.0) == 10.0
    assert counted.patience_s(109.0) == 1.0
    assert counted.patience_s(111.0) == 0.0


def test_a_window_that_brought_enough_gives_the_next_one() -> None:
    counted = meter()
    counted.received(b"x" * 100, 0.0)
    assert counted.patience_s(5.0) == 15.0
    counted.received(b"x", 12.0)  # the second window begins
    assert counted.patience_s(12.0) == 10.0
    with pytest.raises(IngestError) as caught:
        counted.received(b"x", 22.0)  # one byte in ten seconds
    assert caught.value.reason == "too_slow"


def test_the_end_is_never_too_late() -> None:
    counted = meter()
    counted.received(HEAD, 0.0)
    counted.received(b"", 11.0)


def test_a_rate_of_zero_waits() -> None:
    counted = meter(min_rate_bytes_s=0)
    counted.received(b"x", 0.0)
    assert counted.patience_s(1e9) is None


@pytest.mark.parametrize("before", [b"", HINTS, HINTS * 3, b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize(
    ("sent", "surplus"),
    [(b"", False), (b"hell", False), (b"hello", False), (b"hello\r\n", False), (b"hello\r\n<", True), (b"hello" + HEAD, True)],
)
def test_surplus(before: bytes, sent: bytes, surplus: bool) -> None:
    counted = meter()
    counted.received(before + HEAD + sent, 0.0)
    counted.head_ended(limit_bytes=100)
    assert counted.has_surplus(5) is surplus


def test_surplus_over_several_reads() -> None:
    counted = meter()
    counted.received(HEAD, 0.0)
    counted.head_ended(limit_bytes=100)
    for piece in (b"hel", b"lo<", b"\r\n"):
        counted.received(piece, 0.0)
    assert counted.has_surplus(5)
