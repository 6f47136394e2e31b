"""Sitemaps (sitemaps.org protocol 0.9): XML, an index of others, gzip of either, or a plain list of URLs.

Pure: bytes in, values out. The bytes are foreign: no DTD, no entities, no network, and bounds on size and number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from corpus.errors import IngestError, PermanentError
from ingest.decoding import BodyDecoder

MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # unpacked; the protocol's own limit
MAX_SITEMAP_ENTRIES = 50_000  # the protocol's own limit

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class SitemapUrl:
    """A page, or a sitemap, that a sitemap lists. ``loc`` is as written and not yet checked; ``lastmod`` is aware, and None
    if unusable."""

    loc: str
    lastmod: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sitemap:
    """``children`` are the sitemaps that an index lists; one of the two is empty."""

    urls: tuple[SitemapUrl, ...] = ()
    children: tuple[SitemapUrl, ...] = ()


def parse_sitemap(body: bytes) -> Sitemap:
    """Read a sitemap of any of the protocol's forms.

    Raises:
        PermanentError: reason ``bad_sitemap``: not a sitemap, has a DOCTYPE, or is beyond the protocol's limits.
    """
    body = _unpacked(body).removeprefix(b"\xef\xbb\xbf").lstrip()
    sitemap = _parse_xml(body) if _looks_like_xml(body) else _parse_text(body)
    entries = len(sitemap.urls) + len(sitemap.children)
    if entries > MAX_SITEMAP_ENTRIES:
        raise _bad(f"it lists {entries} entries; {MAX_SITEMAP_ENTRIES} is the protocol's limit")
    return sitemap


def _unpacked(body: bytes) -> bytes:
    decoder = BodyDecoder(coding="gzip" if body.startswith(_GZIP_MAGIC) else "identity", limit_bytes=MAX_SITEMAP_BYTES)
    try:
        decoder.feed(body)
        if not decoder.overflowed:
            decoder.finish()
    except IngestError as exc:
        raise _bad(f"it does not unpack ({exc.message})") from exc
    if decoder.overflowed:
        raise _bad(f"it is larger than {MAX_SITEMAP_BYTES} bytes")
    return bytes(decoder.body)


def _looks_like_xml(body: bytes) -> bool:
    return body.startswith((b"<", b"\xff\xfe", b"\xfe\xff", b"\0<"))  # the last three: UTF-16


def _parse_xml(body: bytes) -> Sitemap:
    _refuse_doctype_text(body)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise _bad(f"it is not well-formed XML ({exc})") from exc
    if root.getroottree().docinfo.internalDTD is not None:  # hidden by an encoding
        raise _bad("it has a DOCTYPE, which sitemaps don't need")
    match etree.QName(root).localname:
        case "urlset":
            return Sitemap(urls=_entries(root, "url"))
        case "sitemapindex":
            return Sitemap(children=_entries(root, "sitemap"))
        case other:
            raise _bad(f"its root is <{other}>, not <urlset> or <sitemapindex>")


def _refuse_doctype_text(body: bytes) -> None:
    """Before parsing, so that no entity is ever declared. Dropping NULs finds the word in UTF-16 as well."""
    if b"<!doctype" in body.replace(b"\0", b"").lower():
        raise _bad("it has a DOCTYPE, which sitemaps don't need")


def _entries(root: etree._Element, name: str) -> tuple[SitemapUrl, ...]:
    """The entries that have a location. Any namespace will do: sites misspell it, and extensions sit a level deeper."""
    found = ((entry, _text(entry, "loc")) for entry in root.iterchildren(f"{{*}}{name}"))
    return tuple(SitemapUrl(loc, _lastmod(entry)) for entry, loc in found if loc)


def _text(entry: etree._Element, name: str) -> str:
    return (entry.findtext(f"{{*}}{name}") or "").strip()


def _lastmod(entry: etree._Element) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(entry, "lastmod"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_text(body: bytes) -> Sitemap:
    try:
        lines = [line.strip() for line in body.decode("utf-8").splitlines()]
    except UnicodeDecodeError as exc:
        raise _bad("it is neither XML nor UTF-8 text") from exc
    locations = [line for line in lines if line]
    if not locations or not all(line.lower().startswith(("http://", "https://")) for line in locations):
        raise _bad("it is neither XML nor a list of URLs")
    return Sitemap(urls=tuple(SitemapUrl(loc) for loc in locations))


def _bad(why: str) -> PermanentError:
    return PermanentError(f"The sitemap can't be used: {why}. Name another one, or the pages themselves.", reason="bad_sitemap")
