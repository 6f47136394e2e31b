"""Which URLs may be fetched: the policy that they must pass before any name is resolved, and the scope of a crawl.

How a URL is read and spelled is said in ``corpus/urls.py``; nothing else parses one.

What is refused raises :class:`ForbiddenAddress` (``forbidden_scheme``, ``userinfo``, ``forbidden_port``,
``forbidden_address``) or, if it is no usable URL at all, :class:`PermanentError` (``bad_url``, ``url_too_long``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Self

from corpus.errors import ForbiddenAddress, PermanentError
from corpus.settings import IngestSettings
from corpus.urls import DEFAULT_PORTS, UrlParts, normalise, resolve_link, split_url
from ingest.addresses import is_cloud_metadata, is_ip_literal, special_purpose

__all__ = [
    "MAX_URL_CHARS",
    "Scope",
    "UrlParts",
    "check_address",
    "check_url",
    "is_private_allowed",
    "normalise",
    "resolve_link",
    "same_site",
    "split_url",
]

MAX_URL_CHARS = 2048

_UNSAFE = re.compile(r"[\s\\\x00-\x20\x7f-\x9f]")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


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
    if split_url(url).has_userinfo:
        raise ForbiddenAddress("URLs with user name or password are not fetched. Remove what is before the @.", reason="userinfo")
    normalised = normalise(url)
    if len(normalised) > MAX_URL_CHARS:  # percent-encoding can triple it
        raise PermanentError(f"The URL is longer than {MAX_URL_CHARS} characters once encoded.", reason="url_too_long")
    parts = split_url(normalised)
    if is_ip_literal(parts.host):
        check_address(parts.host, host=parts.host, port=parts.port, settings=settings)
    elif not _HOST_NAME.fullmatch(parts.host):
        raise PermanentError(f"{parts.host!r} is not a host name.", reason="bad_url")
    if parts.port not in DEFAULT_PORTS.values() and not is_private_allowed(parts.host, parts.port, settings):
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
    where = host if host == ip else f"{host} ({ip})"
    if is_cloud_metadata(ip):
        raise ForbiddenAddress(f"{where} is never fetched ({purpose}).", host=host, ip=ip)
    if not is_private_allowed(host, port, settings):
        raise ForbiddenAddress(
            f"{where} is not on the public internet ({purpose}). "
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


def _host_entry(entry: str) -> tuple[str, int | None]:
    """An entry of ``allow_private_hosts`` as (host, port or None for all): "h", "h:81", "::1", "[::1]:81"."""
    host, port = entry.strip().lower(), None
    if not is_ip_literal(host):
        head, colon, tail = host.rpartition(":")
        if colon and tail.isdecimal():
            host, port = head, int(tail)
    host = host.strip("[]").rstrip(".")
    return str(ip_address(host)) if is_ip_literal(host) else host, port
