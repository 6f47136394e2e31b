"""Content codings by themselves: any bytes, in any pieces."""

from __future__ import annotations

import contextlib
import gzip
import time
import zlib

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import IngestError
from ingest.decoding import BodyDecoder, content_codings

LIMIT_BYTES = 2_000
CODINGS = ("gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip", "identity")


def undone(body: bytes, coding: str, piece_bytes: int = 65_536, limit_bytes: int = LIMIT_BYTES) -> tuple[bytes, bool] | str:
    try:
        decoder = BodyDecoder(coding=coding, limit_bytes=limit_bytes)
        for start in range(0, len(body), piece_bytes):
            decoder.feed(body[start : start + piece_bytes])
            assert len(decoder.body) <= limit_bytes
            if decoder.overflowed:
                return bytes(decoder.body), True
        decoder.finish()
    except IngestError as exc:
        return exc.reason
    return bytes(decoder.body), decoder.overflowed


COMPRESSED = st.builds(
    lambda data, compress, keep: compress(data)[: keep or None],
    st.binary(max_size=500) | st.sampled_from([b"x" * 1_999, b"x" * 2_000, b"x" * 2_001, bytes(300_000)]),
    st.sampled_from([gzip.compress, zlib.compress, brotli.compress]),
    st.integers(0, 40),
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | COMPRESSED, st.sampled_from(CODINGS), st.integers(1, 50))
def test_any_bytes_in_any_pieces(body: bytes, coding: str, piece_bytes: int) -> None:
    whole, pieces = undone(body, coding), undone(body, coding, piece_bytes)
    if (
        pieces != whole
    ):  # what is too large in one coding may be found to be no data of the other first, and is refused either way
        refusals = {result if isinstance(result, str) else result[1] for result in (whole, pieces)}
        assert refusals == {"bad_encoding", True}
    if isinstance(whole, tuple):
        assert len(whole[0]) <= LIMIT_BYTES


@given(st.text(max_size=60))
def test_any_header(header: str) -> None:
    with contextlib.suppress(IngestError):
        assert len(content_codings(header)) <= 2


def test_control_characters_are_no_text() -> None:
    assert undone(b"\x01\x02\x03 words", "gzip") == "bad_encoding"


@pytest.mark.parametrize("size", [LIMIT_BYTES - 1, LIMIT_BYTES, LIMIT_BYTES + 1])
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, brotli.compress])
def test_the_limit_is_exact(compress: object, size: int) -> None:
    coding = {gzip.compress: "gzip", zlib.compress: "deflate", brotli.compress: "br"}[compress]
    assert undone(compress(b"x" * size), coding) == (b"x" * min(size, LIMIT_BYTES), size > LIMIT_BYTES)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_many_members_take_linear_time(coding: str) -> None:
    body = gzip.compress(b"") * 200_000
    body = gzip.compress(body) if coding == "gzip, gzip" else body
    started_s = time.perf_counter()
    assert undone(body, coding, piece_bytes=len(body), limit_bytes=len(body) + 10_000_000) == (b"", False)
    assert time.perf_counter() - started_s < 10
