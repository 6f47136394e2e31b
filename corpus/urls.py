"""URLs: one spelling for each, and those that an address may stand for which somebody pasted.

Parsing is ada's (the WHATWG parser of Node.js), so that Footnote reads a URL exactly as a browser would: dot segments,
IDNA, full-width digits, and IPv4 written in decimal, octal, hex or short form are all gone before a host is judged.
A second reading of the same URL by another parser is how guards are slipped past, so nothing else that fetches parses one.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import ada_url

from corpus.errors import ForbiddenAddress, PermanentError

DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")  # RFC 3986, section 2.3
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT_TRIPLET = re.compile(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class UrlParts:
    """The parts of a normalised URL. ``host`` is without brackets, ``authority`` is what the Host header says."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str
    has_userinfo: bool = False

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
        port=int(parsed.port or DEFAULT_PORTS[scheme]),
        authority=parsed.host,
        target=parsed.pathname + parsed.search,
        has_userinfo=bool(parsed.username or parsed.password),
    )


def spellings(address: str) -> list[str]:
    """The URLs that a page may be stored under which somebody means by ``address``, the likeliest first.

    An address is pasted from where it was shown: with a fragment (a citation's is ``#:~:text=…``), in another spelling, with
    or without the final slash, between angle brackets, or without a scheme. The last is the address as it was given.
    """
    raw = address.strip()
    bare = raw[1:-1].strip() if raw.startswith("<") and raw.endswith(">") else raw
    found: list[str] = []
    for candidate in (bare, f"https://{bare.lstrip('/')}", f"http://{bare.lstrip('/')}"):
        try:
            found.append(normalise(candidate))
        except PermanentError:
            continue
        if candidate == bare:
            break
    for url in list(found):
        path, question_mark, query = url.partition("?")
        found.append((path.removesuffix("/") if path.endswith("/") else f"{path}/") + question_mark + query)
    return list(dict.fromkeys([*found, raw.partition("#")[0], raw, address]))


def spelled(url: str) -> str:
    """The one spelling of a URL or of the beginning of one; what can't be read as a URL stays as it is."""
    try:
        return normalise(url)
    except PermanentError:
        return url


def _parsed(url: str, base: str | None = None) -> ada_url.URL:
    try:
        parsed = ada_url.URL(url, base)
    except ValueError as exc:
        raise PermanentError(f"{url!r} is not a URL. Write it like https://example.com/page.", reason="bad_url") from exc
    if parsed.protocol.removesuffix(":") not in DEFAULT_PORTS:
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
