"""URLs: one spelling for each, the policy they must pass before any name is resolved, and the scope of a crawl.

Parsing is ada's (the WHATWG parser of Node.js), so that Footnote reads a URL exactly as a browser would: dot segments,
IDNA, full-width digits, and IPv4 written in decimal, octal, hex or short form are all gone before a host is judged.
A second reading of the same URL by another parser is how guards are slipped past, so nothing else here parses one.

What is refused raises :class:`ForbiddenAddress` (``forbidden_scheme``, ``userinfo``, ``forbidden_port``,
``forbidden_address``) or, if it is no usable URL at all, :class:`PermanentError` (``bad_url``, ``url_too_long``).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Self

import ada_url

from corpus.errors import ForbiddenAddress, PermanentError
from corpus.settings import IngestSettings
from ingest.addresses import is_cloud_metadata, is_ip_literal, special_purpose

MAX_URL_CHARS = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")  # RFC 3986, section 2.3
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT_TRIPLET = re.compile(r"%([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[\s\\\x00-\x20\x7f-\x9f]")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class UrlParts:
    """The parts of a normalised URL. ``host`` is without brackets, ``authority`` is what the Host header says."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


def normalise(url: str) -> str:
    """The one spelling of an http or https URL: equal results mean the same page (RFC 3986, section 6.2.2).

    Scheme and host in lower case, IDNA in punycode, no default port, no fragment, no dot segments, no final dot of the
    host, percent-encoding only where needed and in upper case, "/" for an empty path. The query stays as it is.
    Idempotent.

    Raises:
        PermanentError: not a URL. ForbiddenAddress: another scheme.
    """
    return _spelled(_parsed(url))


def resolve_link(base: str, reference: str) -> str:
    """``reference`` (a link or a Location header) against ``base``, normalised. Raises as :func:`normalise` does."""
    return _spelled(_parsed(reference, base))


def split_url(url: str) -> UrlParts:
    """The parts of ``url``. Raises as :func:`normalise` does."""
    parsed = _parsed(url)
    scheme = parsed.protocol.removesuffix(":")
    return UrlParts(
        scheme=scheme,
        host=parsed.hostname.strip("[]"),
        port=int(parsed.port or _DEFAULT_PORTS[scheme]),
        authority=parsed.host,
        target=parsed.pathname + parsed.search,
    )


def check_url(url: str, settings: IngestSettings) -> str:
    """The URL policy: ``url``, normalised, if it may be fetched as far as can be told without resolving its host.

    Raises:
        ForbiddenAddress, PermanentError: see the module's docstring for the reasons.
    """
    if len(url) > MAX_URL_CHARS:
        raise PermanentError(f"The URL is {len(url)} characters long; {MAX_URL_CHARS} is the limit.", reason="url_too_long")
    if _UNSAFE.search(url):
        raise PermanentError(
            f"{url!r} holds white space, a control character or a backslash. Percent-encode it.", reason="bad_url"
        )
    parsed = _parsed(url)
    if parsed.username or parsed.password:
        raise ForbiddenAddress("URLs with user name or password are not fetched. Remove what is before the @.", reason="userinfo")
    normalised = _spelled(parsed)
    if len(normalised) > MAX_URL_CHARS:  # percent-encoding can triple it
        raise PermanentError(f"The URL is longer than {MAX_URL_CHARS} characters once encoded.", reason="url_too_long")
    parts = split_url(normalised)
    if is_ip_literal(parts.host):
        check_address(parts.host, host=parts.host, port=parts.port, settings=settings)
    elif not _HOST_NAME.fullmatch(parts.host):
        raise PermanentError(f"{parts.host!r} is not a host name.", reason="bad_url")
    if parts.port not in _DEFAULT_PORTS.values() and not is_private_allowed(parts.host, parts.port, settings):
        raise ForbiddenAddress(
            f"Port {parts.port} of {parts.host} is not fetched: only 80 and 443 are. "
            f"If you mean it, add {parts.authority!r} to ingest.allow_private_hosts.",
            reason="forbidden_port",
        )
    return normalised


def check_address(ip: str, *, host: str, port: int, settings: IngestSettings) -> None:
    """Refuse ``ip``, which ``host`` is or resolves to, unless it is public or ``host`` may be private.

    Cloud metadata is refused even then: whoever lists an intranet's host doesn't mean to hand out credentials.

    Raises:
        ForbiddenAddress: reason ``forbidden_address``.
    """
    purpose = special_purpose(ip)
    if purpose is None:
        return
    if is_cloud_metadata(ip):
        raise ForbiddenAddress(f"{host} is {ip} ({purpose}), which is never fetched.", host=host, ip=ip)
    if not is_private_allowed(host, port, settings):
        raise ForbiddenAddress(
            f"{host} is {ip} ({purpose}), which is not on the public internet. "
            f"If it is a host of yours, add {host!r} to ingest.allow_private_hosts.",
            host=host,
            ip=ip,
        )


def is_private_allowed(host: str, port: int, settings: IngestSettings) -> bool:
    """Whether ``settings.allow_private_hosts`` names this host, on every port or on this one."""
    return any(host == name and only_port in (None, port) for name, only_port in map(_host_entry, settings.allow_private_hosts))


def same_site(url: str, other: str) -> bool:
    """Whether two normalised URLs are of one site: the same host and port, with or without "www." before the name.

    Sites redirect the one name to the other, and whoever owns a name owns what lies under it. Nothing else is taken for
    the same: other subdomains may be other people's (user.github.io), and which names those are, only a list could say.
    """
    return _site(split_url(url).authority) == _site(split_url(other).authority)


def _site(authority: str) -> str:
    return authority.removeprefix("www.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which links a crawl follows. Pure: made once per job from its start URLs.

    ``roots`` are (authority, path prefix) pairs; http and https count as the same site, and so do a name and the same with
    "www." before it (:func:`same_site`). ``include`` and ``exclude`` are
    shell globs matched, case and all, against the whole normalised URL: ``*`` matches across slashes, ``?`` any one
    character (a literal one is ``[?]``). With ``include`` a URL must match one of them; ``exclude`` wins.
    """

    roots: tuple[tuple[str, str], ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_depth: int

    @classmethod
    def of(
        cls,
        start_urls: Iterable[str],
        *,
        max_depth: int,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        prefix: str | None = None,
    ) -> Self:
        """The scope of a crawl: each start URL's host, and its path up to the last slash (or ``prefix``, where given).

        From https://h/docs/index.html that is https://h/docs/; from https://h/docs, all of https://h/.
        """
        parts = [split_url(normalise(url)) for url in start_urls]
        roots = dict.fromkeys((_site(p.authority), prefix or p.path[: p.path.rindex("/") + 1]) for p in parts)
        return cls(roots=tuple(roots), include=tuple(include), exclude=tuple(exclude), max_depth=max_depth)

    def admits(self, url: str, depth: int) -> str | None:
        """None if the normalised ``url``, ``depth`` links away from a start URL, is in scope, else why it is not:
        ``other_host``, ``outside_prefix``, ``excluded``, ``not_included`` or ``too_deep``."""
        parts = split_url(url)
        prefixes = [prefix for authority, prefix in self.roots if authority == _site(parts.authority)]
        if not prefixes:
            return "other_host"
        if not parts.path.startswith(tuple(prefixes)):
            return "outside_prefix"
        if _matches_any(url, self.exclude):
            return "excluded"
        if self.include and not _matches_any(url, self.include):
            return "not_included"
        return "too_deep" if depth > self.max_depth else None


def _matches_any(url: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(url, pattern) for pattern in patterns)


def _parsed(url: str, base: str | None = None) -> ada_url.URL:
    try:
        parsed = ada_url.URL(url, base)
    except ValueError as exc:
        raise PermanentError(f"{url!r} is not a URL. Write it like https://example.com/page.", reason="bad_url") from exc
    if parsed.protocol.removesuffix(":") not in _DEFAULT_PORTS:
        raise ForbiddenAddress(f"Only http and https are fetched, not {parsed.protocol}", reason="forbidden_scheme")
    return parsed


def _spelled(parsed: ada_url.URL) -> str:
    parsed.hash = ""
    if name := parsed.hostname.rstrip("."):  # "h." and "h" are one host; RFC 1034, section 3.1
        parsed.hostname = name
    # WHATWG parsing leaves percent-encoding as written; section 6.2.2.2 of RFC 3986 says which spellings are one.
    # A "%" that encodes nothing is encoded first, lest decoding its neighbours make a triplet of it.
    return _PERCENT_TRIPLET.sub(_spelled_triplet, _STRAY_PERCENT.sub("%25", parsed.href))


def _spelled_triplet(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _host_entry(entry: str) -> tuple[str, int | None]:
    """An entry of ``allow_private_hosts`` as (host, port or None for all): "h", "h:81", "::1", "[::1]:81"."""
    host, port = entry.strip().lower(), None
    if not is_ip_literal(host):
        head, colon, tail = host.rpartition(":")
        if colon and tail.isdecimal():
            host, port = head, int(tail)
    host = host.strip("[]").rstrip(".")
    return str(ip_address(host)) if is_ip_literal(host) else host, port
