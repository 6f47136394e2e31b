"""Sitemaps (sitemaps.org protocol 0.9): XML, an index of others, RSS and Atom feeds, a plain list of URLs, and gzip of each.

Pure: bytes in, values out. The bytes are foreign: no DTD, no entities, no network, linear time, and bounds on size, depth
and number. A file with a fault is read as far as it can be, and what is wrong with it is noted, for a site must not be lost to
one bad character.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lxml import etree

from corpus.errors import IngestError, PermanentError
from ingest.decoding import BodyDecoder
from ingest.extract.sitemap_entries import FEEDS, MAX_DEPTH, ROOTS, EntryKind, read_entries

MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # unpacked; the protocol's own limit
MAX_SITEMAP_ENTRIES = 50_000  # the protocol's own limit

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_GZIP_LAYERS = 2  # a file that was packed, and packed again by what serves it
_GZIP_PIECE_BYTES = 4_096  # of a damaged file, what was unpacked before the piece with the damage is kept
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARATION = re.compile(r"""\s*<\?xml\b[^<>]{0,500}?\?>""")
_DECLARED_ENCODING = re.compile(rb"""\s*<\?xml\b[^<>]{0,500}?\bencoding\s{0,20}=\s{0,20}["']([\w.:-]{1,40})["']""")
_PROLOG_ENDS = {"<!--": "-->", "<?": "?>"}
_DOCTYPE = re.compile(r"<!doctype\s+([\w:.-]{0,100})[^\[\]<>]{0,2000}>", re.IGNORECASE)
_ROOT = re.compile(rf"<(?:[\w.-]{{1,40}}:)?(?:{'|'.join(sorted(ROOTS))})\b", re.IGNORECASE)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_START_CHARS = 4_000
_TITLE = re.compile(r"<title\b[^<>]{0,200}>([^<]{0,200})", re.IGNORECASE)
_SITEMAP_FILE = re.compile(r"\.xml(?:\.gz)?(?:[?#]|$)", re.IGNORECASE)
_URL_LINE = re.compile(r"https?://", re.IGNORECASE)
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f]")
_SPACE = re.compile(r"\s*")
_ENCODINGS = re.compile(r"(?:iso-?8859|latin|windows-|cp125|koi8|shift.?jis|euc|gb|big5)", re.IGNORECASE)  # supersets of ASCII


@dataclass(frozen=True, slots=True)
class SitemapUrl:
    """A page, or a sitemap, that a sitemap lists. ``loc`` is as written, perhaps relative to the sitemap's own address, and not
    yet checked; ``lastmod`` is aware, and None if unusable."""

    loc: str
    lastmod: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sitemap:
    """``children`` are the sitemaps that it lists. ``notes``: why the site may have more pages than those, each to be read
    after "the sitemap"; empty if the sitemap was read whole."""

    urls: tuple[SitemapUrl, ...] = ()
    children: tuple[SitemapUrl, ...] = ()
    notes: tuple[str, ...] = ()


def parse_sitemap(body: bytes) -> Sitemap:
    """Read a sitemap of any of the protocol's forms.

    Of a file with a fault, what can be read is taken: the entries beside a bad one, what came before the end of a file that was
    cut off, the first 50,000 of more, the first 50 MB.

    Raises:
        PermanentError: reason ``bad_sitemap``: not a sitemap, nothing of it can be read, or it declares entities.
    """
    notes: list[str] = []
    if len(body) > MAX_SITEMAP_BYTES:
        body = body[:MAX_SITEMAP_BYTES]
        notes.append(_TOO_LARGE)
    for _ in range(_MAX_GZIP_LAYERS):
        if body.startswith(_GZIP_MAGIC):
            body = _unpacked(body, notes)
    text = _decoded(body, notes)
    is_xml = text.lstrip().startswith("<") or (_ROOT.search(text, 0, _START_CHARS) and not _begins_with_url(text))
    return _parse_xml(text, notes) if is_xml else _parse_text(text, notes)


_DECLARES = "it has a DOCTYPE that declares something, which sitemaps don't need"
_TOO_LARGE = f"is larger than {MAX_SITEMAP_BYTES // 2**20} MB, the protocol's limit; what comes after that was not read"


def _unpacked(body: bytes, notes: list[str]) -> bytes:
    decoder = BodyDecoder(coding="gzip", limit_bytes=MAX_SITEMAP_BYTES)
    try:
        for start in range(0, len(body), _GZIP_PIECE_BYTES):
            decoder.feed(body[start : start + _GZIP_PIECE_BYTES])
            if decoder.overflowed:
                notes.append(_TOO_LARGE)
                break
        else:
            decoder.finish()
    except IngestError as exc:
        if not decoder.body:
            raise _bad(f"it does not unpack ({exc.message})") from exc
        notes.append("is damaged or cut off in its gzip data; what could be unpacked of it was taken")
    return bytes(decoder.body)


def _decoded(body: bytes, notes: list[str]) -> str:
    """UTF-8, as the protocol has it, or UTF-16; else what the XML declaration says; else UTF-8 whose bad bytes are read as
    windows-1252. NULs and byte order marks go."""
    encoding = next((name for bom, name in _BOMS if body.startswith(bom)), None) or _utf_16_without_mark(body)
    if encoding is not None:
        return _without_nulls(body.decode(encoding, errors="replace"))
    try:
        return _without_nulls(body.decode("utf-8"))
    except UnicodeDecodeError as exc:
        line = body.count(b"\n", 0, exc.start) + 1
        is_cut = exc.end == len(body) and exc.reason == "unexpected end of data"
    if not is_cut:
        if (declared := _declared_encoding(body)) is not None:
            try:
                return _without_nulls(body.decode(declared))
            except UnicodeError:
                pass  # the label is wrong as well
        notes.append(_malformed(f"line {line}: not UTF-8"))
    return _without_nulls(body.decode("utf-8", errors="footnote-windows-1252"))


def _without_nulls(text: str) -> str:
    return text.replace("\0", "").lstrip("\ufeff")


def _utf_16_without_mark(body: bytes) -> str | None:
    """Of ASCII in UTF-16, every other byte is NUL."""
    start = body[:4]
    if len(start) < 4 or start.count(0) != 2:
        return None
    return "utf-16-le" if start[1] == start[3] == 0 else "utf-16-be" if start[0] == start[2] == 0 else None


def _declared_encoding(body: bytes) -> str | None:
    found = _DECLARED_ENCODING.match(body)
    label = found[1].decode("ascii") if found else ""
    try:
        return codecs.lookup(label).name if _ENCODINGS.match(label) else None
    except LookupError:
        return None


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error("footnote-windows-1252", _as_windows_1252)


# XML


def _parse_xml(text: str, notes: list[str]) -> Sitemap:
    if not _ROOT.search(text, 0, _START_CHARS) and _HTML.search(text, 0, _START_CHARS):  # what sites answer that have none
        title = _TITLE.search(text, 0, _START_CHARS)
        called = f" (“{' '.join(title[1].split())}”)" if title and title[1].strip() else ""
        raise _bad(f"it is an HTML page{called}")
    text = _without_declarations(text)
    fault = _first_fault(text)
    collected = read_entries(text, max_entries=MAX_SITEMAP_ENTRIES)
    if fault and not collected.is_truncated:
        if not collected.entries:
            raise _bad(f"it is not well-formed XML ({fault}), and no address can be read from it")
        notes.append(_malformed(fault))
    if collected.root not in ROOTS:
        if not collected.entries:
            raise _bad(f"its root is <{collected.root}>, not <urlset>, <sitemapindex>, <rss> or <feed>")
        notes.append(f"has the root <{collected.root}>, which is no sitemap's")
    is_feed = collected.root in FEEDS
    if not collected.entries and not collected.nameless and collected.elements > 1 and not is_feed:
        raise _bad("it isn't empty, but holds none of the entries that sitemaps have (<url>, <sitemap>)")
    if collected.is_too_deep:
        notes.append(f"has elements nested deeper than {MAX_DEPTH}; what comes after them was not read")
    if collected.is_truncated:
        notes.append(_too_many(MAX_SITEMAP_ENTRIES))
    if collected.nameless:
        notes.append(f"has {collected.nameless} entries without an address")
    if is_feed:
        notes.append("is a feed, which lists only a site's newest pages")
    listed: dict[EntryKind, list[SitemapUrl]] = {EntryKind.PAGE: [], EntryKind.SITEMAP: []}
    for entry in collected.entries:
        is_sitemap = collected.root == "sitemapindex" and _SITEMAP_FILE.search(entry.loc)  # whatever the index calls it
        listed[EntryKind.SITEMAP if is_sitemap else entry.kind].append(SitemapUrl(entry.loc, _moment(entry.lastmod)))
    return Sitemap(tuple(listed[EntryKind.PAGE]), tuple(listed[EntryKind.SITEMAP]), tuple(notes))


class _HasDoctype(Exception):
    pass


class _Nothing:
    """What the parser builds, which is asked for its verdict alone."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """lxml comes here before anything is declared."""
        raise _HasDoctype

    def close(self) -> None: ...


def _first_fault(text: str) -> str:
    """Where a file isn't well-formed; "" if it is."""
    parser = etree.XMLParser(
        target=_Nothing(),  # type: ignore[arg-type]  # the stubs want it to take tags and text
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
    )
    try:
        etree.fromstring(text.encode("utf-8", errors="replace"), parser)
    except _HasDoctype as exc:
        raise _bad(_DECLARES) from exc
    except etree.XMLSyntaxError as exc:
        return f"line {exc.lineno or 1}"
    return next((f"line {error.line}" for error in parser.error_log), "")  # an undeclared prefix


def _without_declarations(text: str) -> str:
    """The text without XML declaration and DOCTYPE, at their place as many line ends: it is no longer in the encoding that the
    one names, and the other never reaches the parser, so that no entity is ever declared.

    Raises: PermanentError, if the DOCTYPE declares anything itself.
    """
    declaration = _DECLARATION.match(text)
    if declaration:
        text = "\n" * declaration[0].count("\n") + text[declaration.end() :]
    at = 0
    while True:  # as XML's prolog: white space, comments, processing instructions
        at = _skipped(text, at)
        kind = next((kind for kind in _PROLOG_ENDS if text.startswith(kind, at)), None)
        if kind is None:
            break
        end = text.find(_PROLOG_ENDS[kind], at + len(kind))
        if end < 0:
            return text
        at = end + len(_PROLOG_ENDS[kind])
    if text[at : at + 9].lower() != "<!doctype":
        return text
    doctype = _DOCTYPE.match(text, at)
    if doctype is None:
        raise _bad(_DECLARES)
    return text[:at] + "\n" * doctype[0].count("\n") + text[doctype.end() :]


def _skipped(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _moment(written: str) -> datetime | None:
    """A date of W3C Datetime (sitemaps, Atom) or RFC 822 (RSS)."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime) if written else ():
        try:
            moment = parse(written)
        except (ValueError, OverflowError, IndexError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


# Text


def _begins_with_url(text: str) -> bool:
    lines = (line.strip() for line in text[:_START_CHARS].splitlines())
    return bool(_URL_LINE.match(next((line for line in lines if line and not line.startswith("#")), "")))


def _parse_text(text: str, notes: list[str]) -> Sitemap:
    """One address a line. Lines that begin with "#" are comments; others that hold none are left out, if they are few."""
    whole = text.splitlines()[: -1 if _TOO_LARGE in notes else None]  # the last of a file that was cut isn't
    lines = [line for line in map(str.strip, whole) if line and not line.startswith("#")]
    locations = [line.partition("\t")[0].rstrip() for line in lines if _URL_LINE.match(line)]
    others = len(lines) - len(locations)
    if others >= len(locations) or _NOT_TEXT.search(text[:_START_CHARS]):
        raise _bad("it is neither XML nor a list of URLs")
    if others:
        notes.append(f"has {others} lines that are no addresses, which were left out")
    if len(locations) > MAX_SITEMAP_ENTRIES:
        notes.append(_too_many(MAX_SITEMAP_ENTRIES))
    return Sitemap(urls=tuple(SitemapUrl(loc) for loc in locations[:MAX_SITEMAP_ENTRIES]), notes=tuple(notes))


def _malformed(where: str) -> str:
    return f"isn't well-formed ({where}); what could be read of it was taken"


def _too_many(limit: int) -> str:
    return f"lists more than {limit} entries, the protocol's limit; the first {limit} were taken"


def _bad(why: str) -> PermanentError:
    return PermanentError(f"The sitemap can't be used: {why}. Name another one, or the pages themselves.", reason="bad_sitemap")
