"""The fetcher: the one seam through which bytes from outside come in.

One fetch is a chain of hops. Each hop passes the URL policy (``ingest/urls``), takes its turn at its host
(``ingest/politeness``), connects through the address guard (``ingest/guard``) on a connection of its own, and is read
under a cap (``ingest/decoding``). httpx2's connection pool, httpcore2, is used directly: it follows no redirect, reads
no proxy from the environment, keeps no cookie and decodes nothing, so each of those is decided here or not at all.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpcore2
from httpx2 import Headers

from corpus.errors import IngestError, PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest.content_type import ContentType, parse_content_type
from ingest.decoding import ACCEPT_ENCODING, GZIP_MAGIC, MAX_CODINGS, BodyDecoder
from ingest.guard import GuardedBackend, Resolve, SystemResolver
from ingest.metering import Meter, MeteredStream
from ingest.politeness import Pacing, Politeness
from ingest.urls import UrlParts, check_url, resolve_link, split_url

_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT_STATUS = {408, 425, 429}  # and every 5xx
_OVERLOADED_STATUS = {429, 503}
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Response:
    """What a URL answered. ``body`` is decoded and complete, or empty if ``not_modified``.

    ``url`` is as asked for and normalised, ``final_url`` where the redirects ended. ``content_type`` is in lower case
    and without parameters, ``charset`` as declared by the server; None where it said nothing valid. ``elapsed_s`` counts the
    network's time, not the wait for a turn.
    """

    url: str
    final_url: str
    status: int
    headers: Headers
    body: bytes
    not_modified: bool
    elapsed_s: float

    @property
    def content_type(self) -> str | None:
        return self._content_type.essence

    @property
    def charset(self) -> str | None:
        return self._content_type.charset

    @property
    def _content_type(self) -> ContentType:
        return parse_content_type(self.headers.get("content-type", ""))


@dataclass(slots=True)
class _Request:
    """What is asked of every hop, and the seconds that they took so far."""

    headers: list[tuple[str, str]]
    limit_bytes: int
    truncate: bool
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Hop:
    status: int
    headers: Headers
    body: bytes = b""
    location: str | None = None


class Fetcher:
    """Fetches URLs; an async context manager, shared by everything in a worker.

    Args:
        resolve: how names become addresses; the system's resolver if None.
        network: what lies beneath the address guard, for tests; asyncio's sockets if None.
        ssl_context: how certificates are judged; the system's trust store if None.
        clock, sleep: seconds of monotonic time, and how to wait for some.
        politeness: whose turns count; this process' own if None.
        now: the time of day, which dates in Retry-After are measured against.
    """

    def __init__(
        self,
        *,
        settings: IngestSettings,
        resolve: Resolve | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        politeness: Pacing | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.politeness: Pacing = politeness or Politeness(
            delay_s=settings.delay_s, max_delay_s=settings.max_crawl_delay_s, clock=clock, sleep=sleep
        )
        self._settings = settings
        self._clock = clock
        self._now = now
        self._system_resolver = SystemResolver()
        self._guard = GuardedBackend(
            settings=settings,
            resolve=resolve or self._system_resolver,
            network=network or httpcore2.AnyIOBackend(),
        )
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),  # once: left out, it is read anew for each connection
            network_backend=self._guard,
            max_connections=None,  # politeness allows one per host, and the worker bounds the hosts
            # Every hop resolves, vets and connects anew. A reused connection would save a handshake per page, and
            # would let the tail of one answer be read as the head of the next.
            max_keepalive_connections=0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.aclose()
        self._system_resolver.close()

    async def fetch(
        self,
        url: str,
        *,
        accept: str,
        etag: str | None = None,
        last_modified: str | None = None,
        max_bytes: int | None = None,
        truncate: bool = False,
        admit: Callable[[str], Awaitable[None]] | None = None,
    ) -> Response:
        """GET ``url``, following redirects.

        Args:
            accept: the Accept header.
            etag, last_modified: validators of the copy already held; with them the answer may be ``not_modified``.
            max_bytes: cap on the body, as received and as decoded; default: the settings' ``max_body_bytes``.
            truncate: return the first ``max_bytes`` of a larger body instead of refusing it.
            admit: asked before a redirect is followed, with its normalised target; raises to refuse it. That is where
                robots.txt and the scope of a crawl get their say, as this class knows neither.

        Raises:
            ForbiddenAddress: the URL policy or the address guard said no, at any hop; see ``ingest/urls``.
            PermanentError: ``http_404`` and the like, ``no_such_host``, ``bad_certificate``, ``too_large``,
                ``headers_too_large``, ``too_many_redirects``, ``bad_redirect``, ``https_downgrade``, ``bad_encoding``,
                ``bad_url``.
            TransientError: ``timeout``, ``too_slow``, ``dns_failed``, ``connect_failed``, ``connection_lost``, ``truncated``,
                ``wrong_length``, ``bad_response``, ``http_503`` and the like.
        """
        request = _Request(
            headers=self._request_headers(accept, etag, last_modified),
            limit_bytes=self._settings.max_body_bytes if max_bytes is None else max_bytes,
            truncate=truncate,
        )
        first = current = check_url(url, self._settings)
        for _ in range(self._settings.max_redirects + 1):
            parts = split_url(current)
            hop = await self._decodable_hop(parts, request)
            if hop.status == 304 and not (etag or last_modified):
                raise PermanentError(f"{current} answered “not modified” to who has no copy.", reason="http_304")
            if hop.location is None:
                return Response(first, current, hop.status, hop.headers, hop.body, hop.status == 304, request.elapsed_s)
            current = self._redirected(current, hop.location)
            if admit is not None:
                await admit(current)
        raise PermanentError(f"{first} redirects more than {self._settings.max_redirects} times.", reason="too_many_redirects")

    async def vet(self, url: str) -> None:
        """Refuse what :meth:`fetch` would refuse before it connects: the URL policy, then the addresses of the host.

        Raises:
            ForbiddenAddress, PermanentError, TransientError: as :meth:`fetch`.
        """
        parts = split_url(check_url(url, self._settings))
        await self._guard.vet(parts.host, parts.port)

    def _request_headers(self, accept: str, etag: str | None, last_modified: str | None) -> list[tuple[str, str]]:
        headers = [
            ("User-Agent", self._settings.user_agent),
            ("Accept", accept),
            ("Connection", "close"),
        ]
        # Validators come from a server's mouth: one that isn't ASCII can't be sent, and the page is fetched anew.
        if etag and etag.isascii():
            headers.append(("If-None-Match", etag))
        if last_modified and last_modified.isascii():
            headers.append(("If-Modified-Since", last_modified))
        return headers

    def _redirected(self, current: str, location: str) -> str:
        target = check_url(resolve_link(current, location), self._settings)
        if current.startswith("https:") and target.startswith("http:"):
            raise PermanentError(
                f"{current} redirects to plain http, which is not followed from https.", reason="https_downgrade"
            )
        return target

    async def _decodable_hop(self, parts: UrlParts, request: _Request) -> _Hop:
        """One hop; asked for once more, without any coding, if the answer can't be decoded."""
        try:
            return await self._paced_hop(parts, request, ACCEPT_ENCODING)
        except PermanentError as exc:
            if exc.reason != "bad_encoding":
                raise
            return await self._paced_hop(parts, request, "identity")

    async def _paced_hop(self, parts: UrlParts, request: _Request, accept_encoding: str) -> _Hop:
        async with self.politeness.turn(parts.host):
            started_s = self._clock()
            try:
                return await self._hop(parts, request, accept_encoding)
            finally:
                request.elapsed_s += self._clock() - started_s

    async def _hop(self, parts: UrlParts, request: _Request, accept_encoding: str) -> _Hop:
        """One request and its answer; every failure of the network beneath becomes one of ours."""
        where = parts.origin + parts.target
        started_s = self._clock()
        try:
            async with (
                asyncio.timeout(self._settings.fetch_deadline_s - request.elapsed_s),
                self._pool.stream(
                    "GET",
                    httpcore2.URL(
                        scheme=parts.scheme.encode(), host=parts.host.encode(), port=parts.port, target=parts.target.encode()
                    ),
                    headers=[("Host", parts.authority), *request.headers, ("Accept-Encoding", accept_encoding)],
                    extensions={"timeout": {"connect": self._settings.connect_timeout_s}},  # of the TLS handshake
                ) as answer,
            ):
                is_overloaded = answer.status in _OVERLOADED_STATUS
                self.politeness.answered(parts.host, answer_s=self._clock() - started_s, is_overloaded=is_overloaded)
                return await self._receive(answer, parts.host, where, request)
        except (TimeoutError, httpcore2.TimeoutException) as exc:
            self.politeness.answered(parts.host, answer_s=self._clock() - started_s, is_overloaded=True)
            raise TransientError(f"{where} did not answer in time. It is tried again later.", reason="timeout") from exc
        except httpcore2.ConnectError as exc:
            raise _connect_failure(exc, where) from exc
        except httpcore2.NetworkError as exc:
            raise TransientError(f"{where}: the connection was lost. It is tried again later.", reason="connection_lost") from exc
        except httpcore2.ProtocolError as exc:
            raise TransientError(
                f"{where} broke the rules of HTTP ({exc}). It is tried again later.", reason="bad_response"
            ) from exc

    async def _receive(self, answer: httpcore2.Response, host: str, where: str, request: _Request) -> _Hop:
        headers = Headers(answer.headers)
        if answer.status in _REDIRECTS:
            location = headers.get("location")
            if not location:
                raise PermanentError(f"{where} redirects to nowhere (HTTP {answer.status}).", reason="bad_redirect")
            return _Hop(answer.status, headers, location=location)  # its body is never read
        if answer.status == 304:
            return _Hop(answer.status, headers)
        if not 200 <= answer.status < 300 or answer.status == 206:  # no range was asked for
            raise self._refusal(answer.status, headers, host, where)
        body = await _read_body(answer, headers, _meter(answer), where, request)
        return _Hop(answer.status, headers, body)

    def _refusal(self, status: int, headers: Headers, host: str, where: str) -> IngestError:
        reason = f"http_{status}"
        if status < 500 and status not in _TRANSIENT_STATUS:
            return PermanentError(f"{where} answered HTTP {status}. Check the URL in a browser.", reason=reason)
        retry_after_s = parse_retry_after(headers.get("retry-after", ""), now=self._now())
        if retry_after_s is not None:
            self.politeness.hold_off(host, min(retry_after_s, self._settings.max_crawl_delay_s))
        return TransientError(
            f"{where} answered HTTP {status}. It is tried again later.", reason=reason, retry_after_s=retry_after_s
        )


def parse_retry_after(value: str, *, now: datetime) -> float | None:
    """Seconds to wait from a Retry-After header, a number or a date (RFC 9110, section 10.2.3); None if it is neither."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _meter(answer: httpcore2.Response) -> Meter:
    stream = answer.extensions["network_stream"]
    if not isinstance(stream, MeteredStream):  # then the address guard isn't on the path either
        raise RuntimeError(f"The connection was not made by the address guard but is a {type(stream).__name__}.")
    return stream.meter


async def _read_body(answer: httpcore2.Response, headers: Headers, meter: Meter, where: str, request: _Request) -> bytes:
    limit_bytes = request.limit_bytes
    decoder = BodyDecoder(coding=headers.get("content-encoding", ""), limit_bytes=limit_bytes)
    too_large = PermanentError(
        f"{where} is larger than {limit_bytes} bytes. Raise ingest.max_body_bytes if it is worth it.", reason="too_large"
    )
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes and not request.truncate:
        raise too_large
    meter.head_ended(limit_bytes=limit_bytes)
    try:
        async with aclosing(answer.aiter_stream()) as pieces:
            async for piece in pieces:
                decoder.feed(piece)
                if decoder.overflowed:
                    break
    except (httpcore2.RemoteProtocolError, httpcore2.ReadError) as exc:  # fewer bytes than promised, or no last chunk
        raise TransientError(f"The body of {where} was cut off ({exc}). It is tried again later.", reason="truncated") from exc
    if not decoder.overflowed:
        decoder.finish()
        if declared and "transfer-encoding" not in headers and meter.has_surplus(decoder.received_bytes):
            message = f"{where} sent more than its Content-Length says, so what it says can't be all. It is tried again later."
            raise TransientError(message, reason="wrong_length")
        decoder = _without_unsaid_gzip(decoder, headers, limit_bytes)
    if decoder.overflowed and not request.truncate:
        raise too_large
    return bytes(decoder.body)


def _without_unsaid_gzip(decoder: BodyDecoder, headers: Headers, limit_bytes: int) -> BodyDecoder:
    """The body, decoded once more if it is a gzip stream that is said to be text: servers compress files that already were. One
    that is damaged or ends too early stays as it is, for of a sitemap what can be unpacked is read."""
    essence = parse_content_type(headers.get("content-type", "")).essence or ""
    if not (essence.startswith("text/") or essence.endswith("xml")) or not decoder.body.startswith(GZIP_MAGIC):
        return decoder
    if len(decoder.codings) == MAX_CODINGS:
        return decoder
    inner = BodyDecoder(coding="gzip", limit_bytes=limit_bytes)
    try:
        inner.feed(bytes(decoder.body))
        if not inner.overflowed:
            inner.finish()
    except IngestError:
        return decoder
    return inner


def _connect_failure(exc: httpcore2.ConnectError, where: str) -> IngestError:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PermanentError(
                f"The certificate of {where} is not valid: {cause.verify_message}. "
                "For a private certificate authority, name its file in SSL_CERT_FILE.",
                reason="bad_certificate",
            )
        cause = cause.__cause__ or cause.__context__
    return TransientError(f"{where} could not be connected to ({exc}). It is tried again later.", reason="connect_failed")
