import contextlib
import gzip
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest.extract.sitemap
from corpus.errors import PermanentError
from ingest.extract.sitemap import MAX_SITEMAP_ENTRIES, Sitemap, SitemapUrl, parse_sitemap

NS = "http://www.sitemaps.org/schemas/sitemap/0.9"
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<urlset xmlns="{NS}" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url>
    <image:image><image:loc>https://h/picture.png</image:loc></image:image>
    <loc> https://h/a?x=1&amp;y=2 </loc>
    <lastmod>2024-05-06</lastmod>
  </url>
  <url><loc><![CDATA[https://h/b]]></loc><lastmod>2024-05-06T07:08:09+02:00</lastmod></url>
  <url><loc>https://h/c</loc><lastmod>yesterday</lastmod><priority>0.5</priority></url>
  <url><loc></loc></url>
  <url/>
</urlset>""".encode()

EXPECTED = Sitemap(
    urls=(
        SitemapUrl("https://h/a?x=1&y=2", datetime(2024, 5, 6, tzinfo=UTC)),
        SitemapUrl("https://h/b", datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))),
        SitemapUrl("https://h/c", None),
    )
)


def test_urlset() -> None:
    assert parse_sitemap(URLSET) == EXPECTED


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(URLSET),
        gzip.compress(URLSET[:50]) + gzip.compress(URLSET[50:]),
        b"\xef\xbb\xbf" + URLSET,
        b"\n\n" + URLSET,
        URLSET.replace(f' xmlns="{NS}"'.encode(), b""),
        URLSET.replace(NS.encode(), b"http://www.google.com/schemas/sitemap/0.84"),
        URLSET.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    ],
    ids=["gzip", "two gzip members", "byte order mark", "leading blank lines", "no namespace", "old namespace", "utf-16"],
)
def test_urlset_in_other_clothes(body: bytes) -> None:
    assert parse_sitemap(body) == EXPECTED


def test_index() -> None:
    one = "<sitemap><loc>https://h/1.xml</loc><lastmod>2024-05-06</lastmod></sitemap>"
    body = f"<sitemapindex xmlns='{NS}'>{one}<sitemap><loc>https://h/2.xml.gz</loc></sitemap></sitemapindex>"
    children = (SitemapUrl("https://h/1.xml", datetime(2024, 5, 6, tzinfo=UTC)), SitemapUrl("https://h/2.xml.gz"))
    assert parse_sitemap(body.encode()) == Sitemap(children=children)


def test_plain_text() -> None:
    assert parse_sitemap(b"https://h/a\r\n\r\n  HTTP://h/b\n") == Sitemap(
        urls=(SitemapUrl("https://h/a"), SitemapUrl("HTTP://h/b"))
    )


def test_empty_urlset_is_fine() -> None:
    assert parse_sitemap(f"<urlset xmlns='{NS}'/>".encode()) == Sitemap()


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE u [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]><urlset><url><loc>&j;</loc></url></urlset>"
)
EXTERNAL = b'<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/hostname">]><urlset><url><loc>&x;</loc></url></urlset>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"https://h/a\nnot a url",
        b"\x00\x01\x02",
        b"\xff\xff",
        b"<html><body>404</body></html>",
        b"<urlset><url>",
        b"<urlset>&undefined;</urlset>",
        b"<!DOCTYPE urlset><urlset/>",
        b"<!doctype html><html></html>",
        BILLION_LAUGHS,
        EXTERNAL,
        EXTERNAL.decode().encode("utf-16"),
        b'<?xml version="1.0" encoding="nonsense"?><urlset/>',
        b"<a>" * 100_000,
        gzip.compress(URLSET, mtime=0)[:-9],
        gzip.compress(URLSET, mtime=0)[:12] + b"garbage",
        b"<?xml version='1.0' encoding='cp037'?><urlset/>",
    ],
)
def test_what_is_no_sitemap_is_refused(body: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        parse_sitemap(body)
    assert caught.value.reason == "bad_sitemap"


def test_a_doctype_hidden_by_an_encoding_is_refused_by_the_parser() -> None:
    body = '<?xml version="1.0" encoding="IBM037"?>' + EXTERNAL.decode()
    with pytest.raises(PermanentError, match="neither XML"):
        parse_sitemap(body.encode("cp037"))


@pytest.mark.parametrize("body", [BILLION_LAUGHS, EXTERNAL, EXTERNAL.decode().encode("utf-16"), EXTERNAL.lower()])
def test_a_doctype_never_reaches_the_parser(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr("ingest.extract.sitemap.etree.fromstring", None)
    with pytest.raises(PermanentError, match="DOCTYPE"):
        parse_sitemap(body)


def test_entities_are_not_resolved_even_without_the_doctype_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.extract.sitemap, "_refuse_doctype_text", lambda body: None)
    with pytest.raises(PermanentError, match="DOCTYPE"):
        parse_sitemap(EXTERNAL)


def test_entry_limit() -> None:
    lines = [f"https://h/{n}" for n in range(MAX_SITEMAP_ENTRIES)]
    assert len(parse_sitemap("\n".join(lines).encode()).urls) == MAX_SITEMAP_ENTRIES
    with pytest.raises(PermanentError, match="50000"):
        parse_sitemap("\n".join([*lines, "https://h/last"]).encode())


def test_size_limit_holds_for_what_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.extract.sitemap, "MAX_SITEMAP_BYTES", len(URLSET))
    assert parse_sitemap(gzip.compress(URLSET)) == EXPECTED
    with pytest.raises(PermanentError, match="larger"):
        parse_sitemap(gzip.compress(URLSET + b"\n"))
    with pytest.raises(PermanentError, match="larger"):
        parse_sitemap(gzip.compress(bytes(10_000_000)))


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: URLSET[:300] + tail))
def test_never_crashes(body: bytes) -> None:
    with contextlib.suppress(PermanentError):
        parse_sitemap(body)
