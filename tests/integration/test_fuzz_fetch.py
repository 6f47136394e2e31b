"""Whatever a URL spells and whatever a server says: a page or one of our own errors, soon, and never a forbidden connection."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import zlib
from ipaddress import IPv4Address

from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corpus.errors import IngestError
from corpus.settings import IngestSettings
from ingest.fetch import Fetcher, Response
from ingest.robots import Robots
from tests.integration.test_fetch import Network
from tests.scripted_site import FORBIDDEN_IP, ScriptedSite, canary, page, raw

LONGEST_S = 20.0
NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the system's certificates would take most of the time
unhurried = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# Spellings of a forbidden address


def _digits(value: int, base: str) -> str:
    return {"decimal": f"{value}", "octal": f"0{value:o}", "hex": f"0x{value:x}", "long": f"0x{value:012X}"}[base]


@st.composite
def spelled_v4(draw: st.DrawFn) -> str:
    """The forbidden address as inet_aton reads it: one to four parts, the last of which takes what is left, in any base."""
    packed = int(IPv4Address(FORBIDDEN_IP))
    count = draw(st.integers(1, 4))
    parts = [packed >> 24 & 255, packed >> 16 & 255, packed >> 8 & 255][: count - 1]
    parts.append(packed & ((1 << 8 * (5 - count)) - 1))
    text = ".".join(_digits(part, draw(st.sampled_from(["decimal", "octal", "hex", "long"]))) for part in parts)
    return draw(st.sampled_from([text, f"{text}.", _full_width(text), "".join(f"%{ord(c):02x}" for c in text), _dotted(text)]))


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isdecimal() else c for c in text)


def _dotted(text: str) -> str:
    return text.replace(".", "\N{IDEOGRAPHIC FULL STOP}")


SPELLED_V6 = st.sampled_from(
    [
        "::ffff:127.0.0.3",
        "::ffff:7f00:3",
        "0:0:0:0:0:FFFF:7F00:0003",
        "64:ff9b::7f00:3",
        "64:ff9b:1::7f00:3",
        "::127.0.0.3",
        "2002:7f00:3::",
        "2001:0:7f00:3::",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%25lo",
        "fd00::1",
    ]
)
NAMES = st.sampled_from(
    ["localhost", "a.example", "127.0.0.3.nip.example", "localhost.", "ip6-localhost", "EXAMPLE.ORG", "xn--a"]
)
HOSTS = spelled_v4() | SPELLED_V6.map("[{}]".format) | NAMES
HOSTILE = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(
        ["http://", "HTTP:", "http:/", "http:\\\\", "https://", "//", "http://a@", "http://a.example\\@", "\thttp://"]
    ),
    HOSTS,
    st.sampled_from(["", ":80", ":080", ":443", ":0", ":65536", "\\", "@a.example", "#@a.example", "%00", "%2f"]),
    st.sampled_from(["", "/", "//", "/..//", "/?"]),
    st.text(max_size=6),
)


@given(HOSTILE)
@example("http://127.0.0.3/")
@example("http://0x7f.3/")
@unhurried
async def test_no_spelling_reaches_the_forbidden_site(url: str) -> None:
    """By a real connection: every name resolves to it, and port 80 is its own."""

    async def resolve(host: str, port: int) -> list[str]:
        return [FORBIDDEN_IP]

    async with canary() as forbidden:
        forbidden.script("/", page(b"secret"))
        settings = IngestSettings(delay_s=0.0, connect_timeout_s=2.0, fetch_deadline_s=5.0)
        network = Network(ports={80: forbidden.port, 443: forbidden.port})
        async with (
            Fetcher(settings=settings, resolve=resolve, network=network, ssl_context=NO_TRUST) as fetcher,
            asyncio.timeout(LONGEST_S),
        ):
            outcome: Response | IngestError
            try:
                outcome = await fetcher.fetch(url, accept="*/*")
            except IngestError as exc:
                outcome = exc
        assert isinstance(outcome, IngestError)
        assert network.dialled == []
        assert forbidden.connections == 0


# Whatever a server says

STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 200",
        b"HTTP/1.1 103 Early",
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 206 Partial",
        b"HTTP/1.1 302 Found",
        b"HTTP/1.1 304 Not Modified",
        b"HTTP/1.1 404 Not Found",
        b"HTTP/1.1 503 Later",
        b"HTTP/1.1 999 ?",
        b"HTTP/1.1 000 ?",
        b"HTTP/2.0 200 OK",
        b"ICY 200 OK",
        b"",
    ]
)
NUMBERS = st.sampled_from([b"0", b"5", b"-1", b"5, 5", b"5, 6", b"1e3", b"99999999999999999999", b" 5 ", b"0x5", b"\xb2"])
HEADERS = st.one_of(
    st.builds(b"Content-Length: %b".__mod__, NUMBERS),
    st.sampled_from([b"gzip", b"deflate", b"br", b"identity", b"gzip, gzip", b"GZIP", b"", b"\xff"]).map(
        b"Content-Encoding: ".__add__
    ),
    st.sampled_from([b"chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"\x0bchunked"]).map(
        b"Transfer-Encoding: ".__add__
    ),
    st.sampled_from([b"FORBIDDEN", b"/", b"//a.example", b"http://[", b"\xff\xfe", b"", b"file:///etc/passwd", b"?" * 3000]).map(
        b"Location: ".__add__
    ),
    NUMBERS.map(b"Retry-After: ".__add__),
    st.sampled_from([b"text/html; charset=", b"text/html; charset=\xff", b";;;", b""]).map(b"Content-Type: ".__add__),
    st.binary(max_size=30),
)
BODIES = st.one_of(
    st.binary(max_size=100),
    st.binary(max_size=100).map(gzip.compress),
    st.binary(max_size=100).map(zlib.compress),
    st.binary(max_size=100).map(lambda body: gzip.compress(body)[:-3] + body),
    st.binary(max_size=40).map(lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
    st.sampled_from(
        [b"5\r\nhello", b"-5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nx", b"5;x=\xff\r\nhello\r\n0\r\nA: b\r\n\r\n"]
    ),
)


def _answer(heads: list[tuple[bytes, list[bytes]]], body: bytes, newline: bytes) -> bytes:
    return b"".join(newline.join([first, *headers, b"", b""]) for first, headers in heads) + body


ANSWERS = st.binary(max_size=300) | st.builds(
    _answer,
    st.lists(st.tuples(STATUS_LINES, st.lists(HEADERS, max_size=4)), min_size=1, max_size=3),
    BODIES,
    st.sampled_from([b"\r\n", b"\n", b"\r\n\t"]),
)


@given(ANSWERS)
@example(b"HTTP/1.1 302 Found\r\nLocation: FORBIDDEN\r\n\r\n")
@example(b"HTTP/1.1 103 Early\r\nLocation: FORBIDDEN\r\n\r\nHTTP/1.1 308 Moved\r\nLocation: FORBIDDEN\r\n\r\n")
@unhurried
async def test_no_answer_is_a_crash_a_hang_or_a_way_in(answer: bytes) -> None:
    async with ScriptedSite() as site, canary() as forbidden:
        forbidden.script("/", page(b"secret"))
        answer = answer.replace(b"FORBIDDEN", f"http://{FORBIDDEN_IP}/".encode())
        site.script("/", raw(answer))
        site.script("/robots.txt", raw(answer))
        network = Network(ports={80: forbidden.port})
        settings = IngestSettings(
            allow_private_hosts=[site.authority], delay_s=0.0, fetch_deadline_s=5.0, max_body_bytes=1_000, max_crawl_delay_s=0.0
        )
        async with Fetcher(settings=settings, ssl_context=NO_TRUST, network=network) as fetcher, asyncio.timeout(LONGEST_S):
            with contextlib.suppress(IngestError):
                response = await fetcher.fetch(site.url(), accept="*/*", etag='"1"')
                assert response.status < 400
                assert len(response.body) <= 1_000
            with contextlib.suppress(IngestError):
                await Robots(settings=settings, fetcher=fetcher).allowed(site.url("/page"))
        assert forbidden.connections == 0
