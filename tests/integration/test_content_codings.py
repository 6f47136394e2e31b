"""Content codings over the wire: what was compressed, what only claims to be, and what would fill the memory."""

import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import brotli
import pytest

from corpus.errors import IngestError, PermanentError, TransientError
from ingest.fetch import Fetcher, Response
from tests.integration.test_fetch import allowing
from tests.scripted_site import PUBLIC_IP, ScriptedSite, drip, endless_after, gzip_bomb, head, page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"text" * 1000
HTML = b"<!doctype html><p>The lamp is lit at dusk.</p>"
RAW_DEFLATE = zlib.compressobj(wbits=-15)
NOISE = random.Random(14).randbytes(3_000)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same bytes each time, as they name the tests


def quick_brotli(data: bytes) -> bytes:
    return brotli.compress(data, quality=5)


def compressed(coding: str, data: bytes) -> bytes:
    for name in coding.split(", "):
        data = {"gzip": gzipped, "deflate": zlib.compress, "br": quick_brotli, "zstd": zstd.compress}[name](data)
    return data


@pytest.fixture
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        yield site


async def fetch(site: ScriptedSite, *, max_body_bytes: int = 1_000_000, **options: Any) -> Response:
    settings = allowing(PUBLIC_IP, max_body_bytes=max_body_bytes)
    async with Fetcher(settings=settings) as fetcher:
        return await fetcher.fetch(site.url(), accept="text/html", **options)


async def failure(site: ScriptedSite, *, max_body_bytes: int = 1_000_000) -> IngestError:
    with pytest.raises(IngestError) as caught:
        await fetch(site, max_body_bytes=max_body_bytes)
    return caught.value


def asked(site: ScriptedSite) -> list[str]:
    return [request.headers["accept-encoding"] for request in site.requests]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compressed("gzip", TEXT)),
        ("x-GZIP", compressed("gzip", TEXT)),
        ("gzip", gzipped(TEXT[:1000]) + gzipped(TEXT[1000:])),
        ("gzip", compressed("gzip", TEXT) + b"\0" * 100),
        ("deflate", compressed("deflate", TEXT)),
        ("deflate", RAW_DEFLATE.compress(TEXT) + RAW_DEFLATE.flush()),
        ("br", compressed("br", TEXT)),
        ("BR", compressed("br", TEXT)),
        ("zstd", compressed("zstd", TEXT)),
        ("zstd", zstd.compress(TEXT[:1000]) + zstd.compress(TEXT[1000:])),
        ("gzip, br", compressed("gzip, br", TEXT)),
        ("gzip, gzip", compressed("gzip, gzip", TEXT)),
        ("zstd, identity, gzip", compressed("zstd, gzip", TEXT)),
        ("gzip, utf-8", compressed("gzip", TEXT)),
        ("identity", TEXT),
    ],
)
async def test_codings(site: ScriptedSite, coding: str, body: bytes) -> None:
    site.script("/", page(body, content_encoding=coding))
    assert (await fetch(site)).body == TEXT
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    "coding",
    ["UTF-8", "utf8", "iso-8859-1", "none", "binary", "8bit", "7bit", "text/html", "chunked", "*", ",", "null"],
)
async def test_names_of_no_coding_change_nothing(site: ScriptedSite, coding: str) -> None:
    site.script("/", page(HTML, content_encoding=coding))
    assert (await fetch(site)).body == HTML
    assert len(site.requests) == 1


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_compressed_data_in_single_bytes(site: ScriptedSite, coding: str) -> None:
    body = compressed(coding, b"one") + (compressed(coding, b"two") if coding != "br" else b"")
    site.script("/", drip(head(200, {"Content-Encoding": coding, "Content-Length": str(len(body))}) + body, pause_s=0))
    assert (await fetch(site)).body == (b"onetwo" if coding != "br" else b"one")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
@pytest.mark.parametrize("text", [HTML, b"Plain words, and no markup at all.", "<p>caf\xe9".encode("cp1252"), HTML * 2_000])
async def test_text_that_only_claims_to_be_compressed(site: ScriptedSite, coding: str, text: bytes) -> None:
    site.script("/", page(text, content_encoding=coding))
    assert (await fetch(site)).body == text
    assert len(site.requests) == 1


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=utf-8", "application/xhtml+xml", "text/xml"])
@pytest.mark.parametrize("said", ["", "gzip"])
async def test_gzip_that_was_not_said(site: ScriptedSite, content_type: str, said: str) -> None:
    body = compressed("gzip, gzip" if said else "gzip", HTML)
    site.script("/", page(body, content_type=content_type, content_encoding=said))
    assert (await fetch(site)).body == HTML
    site.script("/", gzip_bomb(50_000_000))
    assert (await failure(site)).reason == "too_large"


async def test_a_gzip_file_stays_one(site: ScriptedSite) -> None:
    body = compressed("gzip", HTML)
    site.script("/", page(body, content_type="application/gzip"))
    assert (await fetch(site)).body == body


# What can't be decoded is asked for once more, and only once


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("compress", b"\x1f\x9d\x90"),
        ("x-compress", b"\x1f\x9d\x90"),
        ("gzip, gzip, gzip", compressed("gzip, gzip, gzip", TEXT)),
        ("gzip, dcz", NOISE),
        ("gzip", NOISE),
        ("gzip", compressed("gzip", TEXT)[:10] + NOISE),
        ("deflate", b"\x07" + NOISE),
        ("br", b"\xff" + NOISE),
        ("zstd", NOISE),
        ("gzip", compressed("br", HTML)),
        ("gzip, br", compressed("br", NOISE)),
    ],
)
async def test_what_cannot_be_decoded_is_asked_for_without_coding(site: ScriptedSite, coding: str, body: bytes) -> None:
    site.script("/", page(body, content_encoding=coding), page(HTML))
    assert (await fetch(site)).body == HTML
    assert asked(site) == ["gzip, deflate, br, zstd", "identity"]
    site.script("/", page(body, content_encoding=coding))
    error = await failure(site)
    assert isinstance(error, PermanentError)
    assert error.reason == "bad_encoding"
    assert len(site.requests) == 4


async def test_the_second_request_waits_for_its_turn_and_passes_the_guard(site: ScriptedSite) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    site.script("/", page(b"\x1f\x9d\x90", content_encoding="compress"), page(HTML))
    settings = allowing(PUBLIC_IP, delay_s=7)
    async with Fetcher(settings=settings, clock=lambda: 0.0, sleep=sleep) as fetcher:
        vetted: list[str] = []
        vet = fetcher._guard.vet

        async def watched(host: str, port: int) -> Any:
            vetted.append(host)
            return await vet(host, port)

        fetcher._guard.vet = watched  # type: ignore[method-assign]
        assert (await fetcher.fetch(site.url(), accept="*/*")).body == HTML
    assert pauses == [7]
    assert vetted == [PUBLIC_IP, PUBLIC_IP]


# Bombs


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, br", "zstd, br", "br, zstd"])
async def test_bombs(site: ScriptedSite, coding: str) -> None:
    site.script("/", page(compressed(coding, bytes(50_000_000)), content_encoding=coding))
    tracemalloc.start()
    try:
        error = await failure(site)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, PermanentError)
    assert error.reason == "too_large"
    assert peak_bytes < 10_000_000
    assert len(site.requests) == 1
    assert (await fetch(site, truncate=True)).body == bytes(1_000_000)


async def test_a_bomb_between_two_codings(site: ScriptedSite) -> None:
    """The outer coding holds many times the limit of inner data that itself comes to nothing."""
    empty_members = gzipped(b"") * 500_000
    site.script("/", page(compressed("gzip", empty_members), content_encoding="gzip, gzip"))
    assert (await failure(site)).reason == "too_large"


async def test_empty_frames_without_end(site: ScriptedSite) -> None:
    site.script("/", endless_after(head(200, {"Content-Encoding": "zstd"}), zstd.compress(b"") * 5_000))
    assert (await failure(site, max_body_bytes=200_000)).reason == "too_large"


async def test_a_zstd_window_beyond_the_rule_for_the_web(site: ScriptedSite) -> None:
    writer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    body = writer.compress(bytes(140_000_000)) + writer.flush()
    site.script("/", page(body, content_encoding="zstd"))
    assert (await failure(site, max_body_bytes=200_000_000)).reason == "bad_encoding"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
async def test_half_of_it(site: ScriptedSite, coding: str) -> None:
    body = compressed(coding, NOISE)
    site.script("/", page(body[: len(body) // 2], content_encoding=coding))
    error = await failure(site)
    assert isinstance(error, TransientError)
    assert error.reason == "truncated"
