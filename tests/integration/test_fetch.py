"""The fetcher against a site that misbehaves, and against one that must never be reached."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corpus.errors import ForbiddenAddress, IngestError, PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest.extract.document import extract
from ingest.fetch import Fetcher, Response, parse_retry_after
from ingest.guard import GuardedBackend
from tests.scripted_site import (
    FORBIDDEN_IP,
    PUBLIC_IP,
    ScriptedSite,
    canary,
    conditional,
    cut_off_chunks,
    drip,
    drip_after,
    endless,
    endless_after,
    head,
    page,
    raw,
    redirect,
    reset,
    stall,
    stall_after,
    status,
    wrong_length,
)


class Network(httpcore2.AsyncNetworkBackend):
    """The real network beneath the guard, with a record of what was dialled.

    ``ports`` redirects port numbers, as 80 can't be listened on in a test; ``hosts`` lies about where a connection goes.
    """

    def __init__(
        self, *, ports: dict[int, int] | None = None, hosts: dict[str, str] | None = None, offline: bool = False
    ) -> None:
        self.dialled: list[str] = []
        self._ports = ports or {}
        self._hosts = hosts or {}
        self._offline = offline
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(host)
        if self._offline:
            raise httpcore2.ConnectError("offline")
        return await self._inner.connect_tcp(self._hosts.get(host, host), self._ports.get(port, port), timeout)


class Resolver:
    """Answers from a list: one list of addresses (or an error) per call, the last one for ever."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def allowing(*hosts: str, **settings: Any) -> IngestSettings:
    return IngestSettings(**{"allow_private_hosts": list(hosts), "delay_s": 0.0, "fetch_deadline_s": 20.0, **settings})


@pytest.fixture
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        yield site


@pytest.fixture
async def forbidden() -> AsyncIterator[ScriptedSite]:
    """The canary: whatever a test does with it, no connection may have reached it."""
    async with canary() as site:
        site.script("/", page(b"secret"))
        yield site
        assert site.connections == 0


async def fetch(site: ScriptedSite, path: str = "/", settings: IngestSettings | None = None, **options: Any) -> Response:
    async with Fetcher(settings=settings or allowing(PUBLIC_IP)) as fetcher:
        return await fetcher.fetch(site.url(path), accept="text/html", **options)


async def failure(site: ScriptedSite, path: str = "/", settings: IngestSettings | None = None, **options: Any) -> IngestError:
    with pytest.raises(IngestError) as caught:
        await fetch(site, path, settings, **options)
    return caught.value


# What arrives


async def test_a_page_arrives(site: ScriptedSite) -> None:
    site.script("/a?q=1", page("<h1>Ü</h1>".encode(), content_type='Text/HTML; Charset="UTF-8"', etag='"1"'))
    response = await fetch(site, "/x/../a?q=1#part")
    assert response.body == "<h1>Ü</h1>".encode()
    assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
    assert response.headers["ETag"] == '"1"'
    assert response.url == response.final_url == site.url("/a?q=1")
    assert not response.not_modified
    assert response.elapsed_s > 0


async def test_what_is_sent(site: ScriptedSite) -> None:
    site.script("/", page(b""))
    response = await fetch(site)
    assert (response.content_type, response.charset) == ("text/html", "utf-8")
    (request,) = site.requests
    assert request.method == "GET"
    assert request.headers == {
        "host": site.authority,
        "user-agent": IngestSettings().user_agent,
        "accept": "text/html",
        "accept-encoding": "gzip, deflate, br, zstd",
        "connection": "close",
    }


async def test_no_content_type_and_no_length(site: ScriptedSite) -> None:
    site.script("/", raw(head(200, {}) + b"to the end"))
    response = await fetch(site)
    assert response.body == b"to the end"
    assert response.content_type is None
    assert response.charset is None


HARBOUR = "<!doctype html><title>Harbour</title><p>The lamp is lit at dusk – by the wärden.</p>".encode()


@pytest.mark.parametrize(
    ("headers", "essence", "charset"),
    [
        ("Content-Type: text/html\r\nContent-Type: text/html; charset=utf-8", "text/html", "utf-8"),
        ("Content-Type: text/plain\r\nX: y\r\ncontent-type: text/html", "text/html", None),
        ("Content-Type: text/html, text/html; charset=utf-8", "text/html", "utf-8"),
        ("Content-Type: text/html;;charset=UTF-8", "text/html", "utf-8"),
        ("Content-Type: text/html charset=utf-8", None, None),
        ("Content-Type: html", None, None),
        ("Content-Type: text", None, None),
        ("Content-Type:", None, None),
    ],
)
async def test_content_types_as_servers_send_them(
    site: ScriptedSite, headers: str, essence: str | None, charset: str | None
) -> None:
    site.script("/", raw(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + HARBOUR))
    response = await fetch(site)
    assert (response.content_type, response.charset) == (essence, charset)
    read = extract(response.body, url=response.final_url, content_type=response.content_type, charset=response.charset)
    assert read.page.text == "The lamp is lit at dusk – by the wärden."


async def test_conditional_requests(site: ScriptedSite) -> None:
    site.script("/", conditional(b"body", '"v1"'))
    assert (await fetch(site, etag='"v0"')).body == b"body"
    again = await fetch(site, etag='"v1"', last_modified="Mon, 06 May 2024 00:00:00 GMT")
    assert again.not_modified
    assert again.status == 304
    assert again.body == b""
    assert site.requests[-1].headers["if-modified-since"] == "Mon, 06 May 2024 00:00:00 GMT"


# Redirects


async def test_redirects_are_followed(site: ScriptedSite) -> None:
    site.script("/1", redirect("/2", 301))
    site.script("/2", redirect("?three x", 307))
    site.script("/2?three%20x", redirect(site.url("/4"), 308))
    site.script("/4", page(b"here"))
    response = await fetch(site, "/1")
    assert response.body == b"here"
    assert response.url == site.url("/1")
    assert response.final_url == site.url("/4")
    assert site.targets == ["/1", "/2", "/2?three%20x", "/4"]


async def test_redirects_are_counted(site: ScriptedSite) -> None:
    site.script("/", redirect("/"))
    error = await failure(site, settings=allowing(PUBLIC_IP, max_redirects=3))
    assert isinstance(error, PermanentError)
    assert error.reason == "too_many_redirects"
    assert len(site.requests) == 4


async def test_the_body_of_a_redirect_is_not_read(site: ScriptedSite) -> None:
    site.script("/", raw(head(302, {"Location": "/there", "Content-Length": "1000000000"})))
    site.script("/there", page(b"there"))
    assert (await fetch(site)).body == b"there"


async def test_redirects_can_be_refused_by_the_caller(site: ScriptedSite) -> None:
    async def admit(url: str) -> None:
        if url != site.url("/2"):
            raise PermanentError(f"{url} is out of bounds.", reason="robots_disallowed")

    site.script("/1", redirect("/2"))
    site.script("/2", redirect("/x/../3"))
    error = await failure(site, "/1", admit=admit)
    assert error.reason == "robots_disallowed"
    assert site.url("/3") in error.message
    assert site.targets == ["/1", "/2"]


async def test_a_redirect_to_nowhere(site: ScriptedSite) -> None:
    site.script("/", status(302))
    assert (await failure(site)).reason == "bad_redirect"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://{forbidden}/", "forbidden_address"),
        ("//{forbidden}/", "forbidden_address"),
        ("\\\\{forbidden}\\", "forbidden_address"),
        ("http://[::ffff:127.0.0.3]:{port}/", "forbidden_address"),
        ("http://2130706435:{port}/", "forbidden_address"),
        ("http://allowed@{forbidden}/", "userinfo"),
        ("http://site.invalid:22/", "forbidden_port"),
        ("file:///etc/passwd", "forbidden_scheme"),
        ("http://", "bad_url"),
    ],
)
async def test_redirects_pass_through_the_policy(site: ScriptedSite, forbidden: ScriptedSite, location: str, reason: str) -> None:
    site.script("/", redirect(location.format(forbidden=forbidden.authority, port=forbidden.port)))
    error = await failure(site, settings=allowing(site.authority))
    assert isinstance(error, PermanentError)
    assert error.reason == reason


# Addresses


async def test_private_hosts_are_refused_and_the_setting_named(forbidden: ScriptedSite) -> None:
    error = await failure(forbidden)
    assert isinstance(error, ForbiddenAddress)
    assert "ingest.allow_private_hosts" in error.message


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.3"],
        ["93.184.215.14", "127.0.0.3"],
        ["::ffff:127.0.0.3"],
        ["fe80::1%lo"],
        ["169.254.169.254"],
        ["nonsense"],
    ],
)
async def test_names_with_any_private_address_are_refused(forbidden: ScriptedSite, answers: list[str]) -> None:
    network = Network(ports={80: forbidden.port}, hosts=dict.fromkeys(answers, FORBIDDEN_IP))  # loopback even if the guard fails
    async with Fetcher(settings=allowing(), resolve=Resolver(answers), network=network) as fetcher:
        with pytest.raises(ForbiddenAddress, match=r"rebound\.example (\(.+\) )?is "):
            await fetcher.fetch("http://rebound.example/", accept="*/*")
    assert network.dialled == []


async def test_a_name_is_resolved_once_per_hop_and_its_answer_dialled(site: ScriptedSite, forbidden: ScriptedSite) -> None:
    """DNS rebinding: a second look at the name, by whichever layer, would find the forbidden address."""
    resolver = Resolver([PUBLIC_IP], [FORBIDDEN_IP])
    network = Network()
    site.script("/", page(b"hello"))
    site.name = "site.test"
    async with Fetcher(settings=allowing(site.authority), resolve=resolver, network=network) as fetcher:
        response = await fetcher.fetch(site.url(), accept="*/*")
    assert response.body == b"hello"
    assert resolver.asked == ["site.test"]
    assert network.dialled == [PUBLIC_IP]
    assert site.requests[0].headers["host"] == site.authority


async def test_each_hop_is_resolved_and_judged_anew(site: ScriptedSite) -> None:
    """The same name again in a redirect gets no credit from the hop before."""
    resolver = Resolver([PUBLIC_IP], ["169.254.169.254"])
    network = Network()
    site.name = "rebinding.test"
    site.script("/", redirect("/again"))
    async with Fetcher(settings=allowing("rebinding.test"), resolve=resolver, network=network) as fetcher:
        with pytest.raises(ForbiddenAddress):
            await fetcher.fetch(site.url(), accept="*/*")
    assert resolver.asked == ["rebinding.test"] * 2
    assert network.dialled == [PUBLIC_IP]


async def test_the_peer_is_compared_with_what_was_dialled() -> None:
    async with canary() as elsewhere:
        network = Network(ports={80: elsewhere.port}, hosts={"93.184.215.14": FORBIDDEN_IP})
        async with Fetcher(settings=allowing(), resolve=Resolver(["93.184.215.14"]), network=network) as fetcher:
            with pytest.raises(ForbiddenAddress, match="the connection went to"):
                await fetcher.fetch("http://hijacked.example/", accept="*/*")
        assert elsewhere.requests == []  # connected to, but told nothing


async def test_cloud_metadata_is_refused_even_from_an_allowed_name() -> None:
    network = Network(offline=True)
    async with Fetcher(settings=allowing("intranet"), resolve=Resolver(["169.254.169.254"]), network=network) as fetcher:
        with pytest.raises(ForbiddenAddress, match="cloud metadata"):
            await fetcher.fetch("http://intranet/", accept="*/*")
    assert network.dialled == []


async def test_unix_sockets_are_refused() -> None:
    backend = GuardedBackend(settings=allowing(), resolve=Resolver([]), network=Network())
    with pytest.raises(ForbiddenAddress):
        await backend.connect_unix_socket("/run/docker.sock")


async def test_proxies_of_the_environment_are_not_used(
    site: ScriptedSite, forbidden: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{forbidden.authority}")
    site.script("/", page(b"direct"))
    assert (await fetch(site)).body == b"direct"


async def test_the_next_address_is_tried(site: ScriptedSite) -> None:
    site.script("/", page(b"second"))
    site.name = "site.test"
    async with Fetcher(settings=allowing("site.test"), resolve=Resolver(["127.0.0.9", PUBLIC_IP])) as fetcher:
        assert (await fetcher.fetch(site.url(), accept="*/*")).body == b"second"


SPELLINGS = st.sampled_from(
    ["127.0.0.3", "127.3", "2130706435", "0x7f000003", "0177.0.0.3", "[::ffff:7f00:3]", "[::1]", "１２７.0.0.3", "a.example"]
)
HOSTILE_URLS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(
            ["http://", "https://", "http:", "HTTP:\\\\", "//", "ftp://", "", "http://a.example@", "http://8.8.8.8#@"]
        ),
        SPELLINGS | st.text(max_size=12) | st.ip_addresses().map(lambda ip: f"[{ip}]" if ip.version == 6 else str(ip)),
        st.sampled_from(["", ":80", ":443", ":22", ".", "%00", "\\@8.8.8.8", "@8.8.8.8", "#@8.8.8.8"]),
        st.text(max_size=8).map(lambda path: f"/{path}"),
    ),
)


@given(HOSTILE_URLS | st.just("http://a.example/"), st.lists(st.ip_addresses().map(str) | st.just("127.0.0.3"), max_size=3))
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_url_and_no_answer_leads_to_a_forbidden_address(url: str, answers: list[str]) -> None:
    network = Network(offline=True)
    no_trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with Fetcher(settings=allowing(), resolve=Resolver(answers), network=network, ssl_context=no_trust) as fetcher:
        with pytest.raises(IngestError):
            await fetcher.fetch(url, accept="*/*")
    for address in map(ip_address, network.dialled):
        assert address.is_global
        assert not address.is_multicast


# Sizes


async def test_endless_body(site: ScriptedSite) -> None:
    site.script("/", endless())
    assert (await failure(site, settings=allowing(PUBLIC_IP, max_body_bytes=1_000_000))).reason == "too_large"


async def test_endless_compressed_body_that_decodes_to_nothing(site: ScriptedSite) -> None:
    empty_blocks = b"\x00\x00\x00\xff\xff" * 13_000
    site.script("/", raw(head(200, {"Content-Encoding": "deflate"}) + empty_blocks * 100))
    assert (await failure(site, settings=allowing(PUBLIC_IP, max_body_bytes=1_000_000))).reason == "too_large"


async def test_the_cap_is_exact(site: ScriptedSite) -> None:
    site.script("/", page(b"x" * 1000))
    site.script("/gzip", page(gzip.compress(b"x" * 1000), content_encoding="gzip"))
    for path in ("/", "/gzip"):
        assert len((await fetch(site, path, max_bytes=1000)).body) == 1000
        assert (await failure(site, path, max_bytes=999)).reason == "too_large"
        assert (await fetch(site, path, max_bytes=999, truncate=True)).body == b"x" * 999


async def test_a_declared_length_over_the_cap_is_refused_unread(site: ScriptedSite) -> None:
    site.script("/", wrong_length(b"", declared=10**9))
    assert (await failure(site)).reason == "too_large"


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX-Filler: ", b"HTTP/1.1 103 Early Hints\r\nX-Filler: "],
    ids=["status line", "header", "early hints"],
)
async def test_huge_headers(site: ScriptedSite, start: bytes) -> None:
    site.script("/", raw(start + b"x" * 2_000_000))
    error = await failure(site)
    assert isinstance(error, PermanentError)
    assert error.reason == "headers_too_large"


async def test_many_headers(site: ScriptedSite) -> None:
    site.script("/", endless_after(b"HTTP/1.1 200 OK\r\n", b"X-Filler: x\r\n" * 5000))
    assert (await failure(site)).reason == "headers_too_large"


@pytest.mark.parametrize("code", [100, 102, 103])
async def test_a_flood_of_informational_answers(site: ScriptedSite, code: int) -> None:
    site.script("/", endless_after(b"", b"HTTP/1.1 %d Wait\r\nLink: x\r\n\r\n" % code * 2000))
    assert (await failure(site)).reason == "headers_too_large"


async def test_the_header_cap_is_exact(site: ScriptedSite) -> None:
    informational = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    answer = informational + head(200, {"Content-Length": "5", "X-Filler": "x" * 3000})
    site.script("/", raw(answer + b"hello"))
    assert (await fetch(site, settings=allowing(PUBLIC_IP, max_header_bytes=len(answer)))).body == b"hello"
    error = await failure(site, settings=allowing(PUBLIC_IP, max_header_bytes=len(answer) - 1))
    assert error.reason == "headers_too_large"


async def test_chunks_that_are_all_framing(site: ScriptedSite) -> None:
    chunk = b"1;" + b"x" * 4000 + b"\r\ny\r\n"
    site.script("/", endless_after(head(200, {"Transfer-Encoding": "chunked"}), chunk * 20))
    error = await failure(site, settings=allowing(PUBLIC_IP, max_body_bytes=100_000))
    assert error.reason == "too_large"


async def test_trailers_without_end(site: ScriptedSite) -> None:
    start = head(200, {"Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n0\r\n"
    site.script("/", endless_after(start, b"X-Filler: x\r\n" * 5000))
    error = await failure(site, settings=allowing(PUBLIC_IP, max_body_bytes=100_000))
    assert error.reason in ("too_large", "truncated")


# Truncation, time and failure


@pytest.mark.parametrize(
    "reply",
    [
        wrong_length(b"half", declared=8),
        cut_off_chunks(b"half"),
        reset(after=head(200, {"Content-Length": "8"}) + b"half"),
        page(gzip.compress(b"text" * 1000)[:-4], content_encoding="gzip"),
    ],
    ids=["short of Content-Length", "no last chunk", "reset", "gzip without its end"],
)
async def test_half_a_body_is_never_returned(site: ScriptedSite, reply: Any) -> None:
    site.script("/", reply)
    error = await failure(site)
    assert isinstance(error, TransientError)
    assert error.reason == "truncated"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (raw(b""), "bad_response"),
        (status(101), "bad_response"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "bad_response"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "bad_response"),
        (reset(), "connection_lost"),
    ],
)
async def test_answers_that_are_none(site: ScriptedSite, reply: Any, reason: str) -> None:
    site.script("/", reply)
    error = await failure(site)
    assert isinstance(error, TransientError)
    assert error.reason == reason


@pytest.mark.parametrize(
    "reply",
    [stall(), drip(head(200, {}) + b"x" * 1000, pause_s=0.05), drip(head(302, {"Location": "/"}), pause_s=0.005)],
    ids=["stall", "dripping body", "dripping redirects"],
)
async def test_the_deadline_covers_the_whole_fetch(site: ScriptedSite, reply: Any) -> None:
    site.script("/", reply)
    async with asyncio.timeout(5):
        error = await failure(site, settings=allowing(PUBLIC_IP, fetch_deadline_s=0.5, max_redirects=20))
    assert isinstance(error, TransientError)
    assert error.reason == "timeout"


@pytest.mark.parametrize(
    "start",
    [head(200, {"Content-Type": "text/html"}), b"HTTP/1.1 200 OK\r\nX-Drip: ", b""],
    ids=["body", "headers", "status line"],
)
async def test_a_drip_is_given_up_long_before_the_deadline(site: ScriptedSite, start: bytes) -> None:
    site.script("/", drip_after(start, b"H" * 100_000, pause_s=0.02))
    settings = allowing(PUBLIC_IP, min_rate_bytes_s=1_000, min_rate_window_s=0.3, fetch_deadline_s=200.0)
    async with asyncio.timeout(20):
        error = await failure(site, settings=settings)
    assert isinstance(error, TransientError)
    assert error.reason == "too_slow"


async def test_an_answer_that_stops_in_its_midst_is_given_up(site: ScriptedSite) -> None:
    site.script("/", stall_after(head(200, {"Content-Length": "1000000"}) + b"x" * 500_000))
    settings = allowing(PUBLIC_IP, min_rate_bytes_s=1_000, min_rate_window_s=0.2, fetch_deadline_s=200.0)
    async with asyncio.timeout(20):
        assert (await failure(site, settings=settings)).reason == "too_slow"


async def test_a_server_may_think_before_it_answers(site: ScriptedSite) -> None:
    async def late(request: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await page(b"thought through")(request, writer)

    site.script("/", late)
    settings = allowing(PUBLIC_IP, min_rate_bytes_s=1_000, min_rate_window_s=0.1)
    assert (await fetch(site, settings=settings)).body == b"thought through"


@pytest.mark.parametrize(
    ("sent", "passes"), [(b"hello", True), (b"hello\r\n", True), (b"hello!", False), (b"hello<p>more", False)]
)
async def test_more_than_the_declared_length_is_a_failure(site: ScriptedSite, sent: bytes, passes: bool) -> None:
    """A page cut at a Content-Length that counts characters, say, must not be indexed as if it were whole."""
    informational = b"HTTP/1.1 100 Continue\r\n\r\n"
    site.script("/", raw(informational + head(200, {"Content-Length": "5"}) + sent))
    if passes:
        assert (await fetch(site)).body == b"hello"
    else:
        error = await failure(site)
        assert isinstance(error, TransientError)
        assert error.reason == "wrong_length"


async def test_slow_dns_has_a_deadline_of_its_own() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with Fetcher(settings=allowing(connect_timeout_s=0.1), resolve=never) as fetcher:
        with pytest.raises(TransientError) as caught:
            await fetcher.fetch("http://slow.example/", accept="*/*")
    assert caught.value.reason == "dns_failed"


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), PermanentError, "no_such_host"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), TransientError, "dns_failed"),
        (OSError("no network"), TransientError, "dns_failed"),
        ([], PermanentError, "no_such_host"),
    ],
)
async def test_names_that_do_not_resolve(answer: Any, kind: type[IngestError], reason: str) -> None:
    async with Fetcher(settings=allowing(), resolve=Resolver(answer)) as fetcher:
        with pytest.raises(kind) as caught:
            await fetcher.fetch("http://nowhere.example/", accept="*/*")
    assert caught.value.reason == reason


async def test_the_system_resolver_is_guarded_too(forbidden: ScriptedSite) -> None:
    async with Fetcher(settings=allowing(), network=Network(ports={80: forbidden.port})) as fetcher:
        with pytest.raises(ForbiddenAddress):
            await fetcher.fetch("http://localhost/", accept="*/*")


async def test_nothing_listens(site: ScriptedSite) -> None:
    async with Fetcher(settings=allowing(PUBLIC_IP)) as fetcher:
        with pytest.raises(TransientError) as caught:
            await fetcher.fetch(f"http://{PUBLIC_IP}:1/", accept="*/*")
    assert caught.value.reason == "connect_failed"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 418, 451, 206, 300, 304])
async def test_permanent_statuses(site: ScriptedSite, code: int) -> None:
    site.script("/", status(code))
    error = await failure(site)
    assert isinstance(error, PermanentError)
    assert error.reason == f"http_{code}"


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_transient_statuses(site: ScriptedSite, code: int) -> None:
    site.script("/", status(code))
    error = await failure(site)
    assert isinstance(error, TransientError)
    assert error.reason == f"http_{code}"
    assert error.retry_after_s is None


async def test_retry_after_is_told_and_kept(site: ScriptedSite) -> None:
    pauses: list[float] = []
    now_s = 0.0

    async def sleep(wait_s: float) -> None:
        nonlocal now_s
        pauses.append(wait_s)
        now_s += wait_s

    site.script("/", status(503, retry_after="120"), page(b"back"))
    settings = allowing(PUBLIC_IP, max_crawl_delay_s=30)
    async with Fetcher(settings=settings, clock=lambda: now_s, sleep=sleep) as fetcher:
        with pytest.raises(TransientError) as caught:
            await fetcher.fetch(site.url(), accept="*/*")
        assert caught.value.retry_after_s == 120
        assert (await fetcher.fetch(site.url(), accept="*/*")).body == b"back"
    assert pauses == [30]


@pytest.mark.parametrize(
    ("reply", "pause_s"),
    [(page(b""), 5.25), (status(404), 5.25), (status(503), 1.0), (status(429), 1.0), (page(b"", content_encoding="br"), 5.25)],
)
async def test_the_pace_follows_the_host(site: ScriptedSite, reply: Any, pause_s: float) -> None:
    now_s = 0.0
    pauses: list[float] = []

    async def sleep(wait_s: float) -> None:
        nonlocal now_s
        pauses.append(wait_s)
        now_s += wait_s

    async def two_seconds_later(request: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal now_s
        now_s += 2.0
        await reply(request, writer)

    site.script("/", two_seconds_later, page(b""))
    async with Fetcher(settings=allowing(PUBLIC_IP, delay_s=0.5), clock=lambda: now_s, sleep=sleep) as fetcher:
        with contextlib.suppress(IngestError):
            await fetcher.fetch(site.url(), accept="*/*")
        await fetcher.fetch(site.url(), accept="*/*")
        assert fetcher.politeness.delay_for(PUBLIC_IP) >= 0.5
    assert sum(pauses) == max(0.0, pause_s - 2.0)


async def test_a_host_that_does_not_answer_is_given_time(site: ScriptedSite) -> None:
    site.script("/", stall())
    async with Fetcher(settings=allowing(PUBLIC_IP, delay_s=0.1, fetch_deadline_s=0.2)) as fetcher:
        with pytest.raises(TransientError):
            await fetcher.fetch(site.url(), accept="*/*")
        assert fetcher.politeness.delay_for(PUBLIC_IP) == 1.0


NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 06 May 2024 12:00:30 GMT", 30.0),
        ("Mon, 06 May 2024 11:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("9" * 5000, None),
        ("soon", None),
        ("", None),
    ],
)
def test_parse_retry_after(value: str, wait_s: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == wait_s


@given(st.text() | st.datetimes().map(lambda moment: f"{moment:%a, %d %b %Y %H:%M:%S} +99999"))
def test_parse_retry_after_never_crashes(value: str) -> None:
    wait_s = parse_retry_after(value, now=NOW)
    assert wait_s is None or 0 <= wait_s < timedelta(days=4_000_000).total_seconds()


# Manners


async def test_one_request_per_host_at_a_time_and_spaced(site: ScriptedSite) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def answer(request: Any, writer: asyncio.StreamWriter) -> None:
        times.append(loop.time())
        await page(b"x")(request, writer)

    site.script("/", answer)
    async with Fetcher(settings=allowing(PUBLIC_IP, delay_s=0.1)) as fetcher:
        await asyncio.gather(*(fetcher.fetch(site.url(), accept="*/*") for _ in range(4)))
    assert all(later - earlier > 0.08 for earlier, later in pairwise(times))


async def test_one_connection_per_host_at_a_time(site: ScriptedSite) -> None:
    open_now, most = 0, 0

    async def answer(request: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.01)
        await page(b"x")(request, writer)
        open_now -= 1

    site.script("/", answer)
    async with Fetcher(settings=allowing(PUBLIC_IP)) as fetcher:
        await asyncio.gather(*(fetcher.fetch(site.url(), accept="*/*") for _ in range(8)))
    assert (most, site.connections) == (1, 8)


async def test_hosts_do_not_wait_for_each_other(site: ScriptedSite) -> None:
    arrived = asyncio.Event()

    async def waiting(request: Any, writer: asyncio.StreamWriter) -> None:
        await arrived.wait()
        await page(b"x")(request, writer)

    async def freeing(request: Any, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await page(b"x")(request, writer)

    site.script("/waits", waiting)
    site.script("/frees", freeing)
    addresses = [f"http://a.test:{site.port}/waits", f"http://b.test:{site.port}/frees"]
    async with Fetcher(settings=allowing("a.test", "b.test"), resolve=Resolver([PUBLIC_IP])) as fetcher, asyncio.timeout(10):
        await asyncio.gather(*(fetcher.fetch(url, accept="*/*") for url in addresses))


async def test_cancelling_a_fetch_frees_its_host(site: ScriptedSite) -> None:
    asked = asyncio.Event()

    async def never(request: Any, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await stall()(request, writer)

    site.script("/", never)
    site.script("/next", page(b"next"))
    async with Fetcher(settings=allowing(PUBLIC_IP)) as fetcher:
        task = asyncio.create_task(fetcher.fetch(site.url(), accept="*/*"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            assert (await fetcher.fetch(site.url("/next"), accept="*/*")).body == b"next"


async def test_every_request_has_a_connection_of_its_own(site: ScriptedSite) -> None:
    """Else the tail of a too long answer would be read as the next answer."""

    async def too_much(request: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, {"Content-Length": "1"}) + b"1" + head(200, {"Content-Length": "4"}) + b"evil")
        await stall()(request, writer)

    site.script("/1", too_much)
    site.script("/2", page(b"good"))
    async with Fetcher(settings=allowing(PUBLIC_IP)) as fetcher:
        with pytest.raises(TransientError, match="more than its Content-Length"):
            await fetcher.fetch(site.url("/1"), accept="*/*")
        assert (await fetcher.fetch(site.url("/2"), accept="*/*")).body == b"good"
    assert site.connections == 2


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for site.test, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=site.test"
    try:
        subprocess.run(
            [*command.split(), "-addext", "subjectAltName=DNS:site.test", "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return folder


TlsSite = tuple[ScriptedSite, list[str | None], Callable[..., Fetcher]]


@pytest.fixture
async def tls(certificate: Path) -> AsyncIterator[TlsSite]:
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    def fetcher(ssl_context: ssl.SSLContext | None = trusting) -> Fetcher:
        return Fetcher(
            settings=allowing("site.test", "other.test", PUBLIC_IP), resolve=Resolver([PUBLIC_IP]), ssl_context=ssl_context
        )

    async with ScriptedSite(name="site.test", ssl_context=server) as site:
        site.script("/", page(b"sealed"))
        yield site, names, fetcher


async def test_tls_is_for_the_name_though_the_address_is_dialled(tls: TlsSite) -> None:
    site, names, make_fetcher = tls
    async with make_fetcher() as fetcher:
        assert (await fetcher.fetch(site.url(), accept="*/*")).body == b"sealed"
    assert names == ["site.test"]
    assert site.requests[0].headers["host"] == site.authority


async def test_certificates_for_another_name_or_unknown_are_refused(tls: TlsSite) -> None:
    site, _, make_fetcher = tls
    async with make_fetcher() as fetcher, make_fetcher(None) as sceptic:
        for refusing, url in ((fetcher, site.url().replace("site.test", "other.test")), (sceptic, site.url())):
            with pytest.raises(PermanentError) as caught:
                await refusing.fetch(url, accept="*/*")
            assert caught.value.reason == "bad_certificate"
    assert site.requests == []


async def test_https_does_not_fall_back_to_http(tls: TlsSite) -> None:
    sealed, _, make_fetcher = tls
    async with ScriptedSite() as plain, make_fetcher() as fetcher:
        sealed.script("/", redirect(plain.url()))
        with pytest.raises(PermanentError) as caught:
            await fetcher.fetch(sealed.url(), accept="*/*")
        assert plain.connections == 0
    assert caught.value.reason == "https_downgrade"


async def test_http_may_be_sent_to_https(tls: TlsSite) -> None:
    sealed, _, make_fetcher = tls
    async with ScriptedSite() as plain, make_fetcher() as fetcher:
        plain.script("/", redirect(sealed.url()))
        assert (await fetcher.fetch(plain.url(), accept="*/*")).body == b"sealed"
