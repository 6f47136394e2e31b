import contextlib
import gzip
import random
import time
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
        gzip.compress(gzip.compress(URLSET)),
        b"\xef\xbb\xbf" + URLSET,
        b"\n\n" + URLSET,
        URLSET.replace(f' xmlns="{NS}"'.encode(), b""),
        URLSET.replace(NS.encode(), b"http://www.google.com/schemas/sitemap/0.84"),
        URLSET.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    ],
    ids=[
        "gzip",
        "two gzip members",
        "gzip in gzip",
        "byte order mark",
        "leading blank lines",
        "no namespace",
        "old namespace",
        "utf-16",
    ],
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
        b"https://h/a\nhttps://h/b\nhttps://h/\x01\x02\x03",
        b"\x00\x01\x02",
        b"\xff\xff",
        b"<urlset><url>",
        b"<urlset><url><loc>https://h/cut-off",
        b"<urlset>&undefined;</urlset>",
        b"<urlset><page>https://h/a</page></urlset>",
        b"<config><url>https://h/a</url></config>",
        BILLION_LAUGHS,
        EXTERNAL,
        EXTERNAL.decode().encode("utf-16"),
        EXTERNAL.replace(b"<!DOCTYPE", b"<!-- > --><?php ?>\n<!doctype"),
        b"<a>" * 100_000,
        gzip.compress(URLSET, mtime=0)[:12] + b"garbage",
    ],
)
def test_what_is_no_sitemap_is_refused(body: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        parse_sitemap(body)
    assert caught.value.reason == "bad_sitemap"


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>404</body></html>",
        b"<!doctype html><title>Page\n not found</title><p>No such page",
        b"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'x.dtd'><html xmlns='x'/>",
        b"<!-- cached --><HTML><a href='/rss'>feed</a></HTML>",
    ],
)
def test_a_web_page_in_place_of_a_sitemap_is_called_that(body: bytes) -> None:
    with pytest.raises(PermanentError, match="it is an HTML page") as caught:
        parse_sitemap(body)
    assert ("“Page not found”" in caught.value.message) == (b"<title>" in body)


def test_a_doctype_in_an_encoding_that_no_sitemap_has_is_not_found_at_all() -> None:
    body = '<?xml version="1.0" encoding="IBM037"?>' + EXTERNAL.decode()
    with pytest.raises(PermanentError, match="neither XML"):
        parse_sitemap(body.encode("cp037"))


@pytest.mark.parametrize("body", [BILLION_LAUGHS, EXTERNAL, EXTERNAL.decode().encode("utf-16"), EXTERNAL.lower()])
def test_a_doctype_that_declares_never_reaches_the_parser(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr("ingest.extract.sitemap.etree.fromstring", None)
    with pytest.raises(PermanentError, match="DOCTYPE"):
        parse_sitemap(body)


@pytest.mark.parametrize("body", [BILLION_LAUGHS, EXTERNAL])
def test_the_parser_refuses_a_doctype_even_without_that_check(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(ingest.extract.sitemap, "_without_declarations", lambda text: text.replace('<?xml version="1.0"?>', ""))
    with pytest.raises(PermanentError, match="DOCTYPE"):
        parse_sitemap(body)


def test_a_doctype_that_declares_nothing_is_passed_over() -> None:
    doctype = b'<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://h/rss-0.91.dtd">\n'
    body = (
        b'<?xml version="1.0"?>\n'
        + doctype
        + b"<rss version='0.91'><channel><item><link>https://h/a</link></item></channel></rss>"
    )
    assert parse_sitemap(body) == Sitemap(urls=(SitemapUrl("https://h/a"),), notes=(FEED,))
    assert parse_sitemap(b"<!DOCTYPE urlset SYSTEM 'sitemap.dtd'><urlset/>") == Sitemap()


# What has a fault is read as far as it can be, and said to be incomplete

MALFORMED = "isn't well-formed ({}); what could be read of it was taken"
FEED = "is a feed, which lists only a site's newest pages"
NAMELESS = "has 1 entries without an address"
HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{NS}">\n'
B = "<url><loc>https://h/b</loc></url>\n"


def locs(body: str | bytes) -> tuple[list[str], tuple[str, ...]]:
    sitemap = parse_sitemap(body.encode() if isinstance(body, str) else body)
    assert not sitemap.children
    return [url.loc for url in sitemap.urls], sitemap.notes


@pytest.mark.parametrize(
    ("fault", "line", "first"),
    [
        ("<url><loc>https://h/a?x=1&lang=en&copy=2</loc></url>", 3, "https://h/a?x=1&lang=en&copy=2"),
        ("<url><loc>https://h/a?x=1&amp;y=2&z=3</loc></url>", 3, "https://h/a?x=1&y=2&z=3"),
        ("<url><loc>https://h/tr&egrave;s&#233;</loc></url>", 3, "https://h/trèsé"),
        ("<url><loc>https://h/a</loc><priority>&nbsp;</priority></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a</loc>\n<changefreq>\x0b</changefreq></url>", 4, "https://h/a"),
        ("<url><loc>https://h/\x01a</loc></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a&#11;</loc></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a</loc><xhtml:link rel='alternate' hreflang='de' href='https://h/de'/></url>", 3, "https://h/a"),
        ("<url><image:image><image:loc>https://h/i.png</image:loc></image:image><loc>https://h/a</loc></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a</loc><priority>0.5</url>", 3, "https://h/a"),
        ("<url><loc>https://h/a</url>", 3, "https://h/a"),
        ("<url><loc>https://h/a<loc></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a</loc>", 5, "https://h/a"),
        ("<url><lastmod>2024-05-06<loc>https://h/a</loc></url>", 3, "https://h/a"),
        ("</url><url><loc>https://h/a</loc></url></url>", 3, "https://h/a"),
        ("<url><loc>https://h/a?x<y</loc></url>", 3, "https://h/a?x<y"),
        ("<url id=1><loc>https://h/a</loc></url>", 3, "https://h/a"),
        ("<url><loc><![CDATA[https://h/a?b&c]]></loc><x>&</x></url>", 3, "https://h/a?b&c"),
        ("<!-- a -- b --><url><loc>https://h/a</loc></url>", 3, "https://h/a"),
    ],
)
def test_one_fault_does_not_lose_the_rest(fault: str, line: int, first: str) -> None:
    found, notes = locs(HEAD + fault + "\n" + B + "</urlset>")
    assert found == [first, "https://h/b"]
    assert notes == (MALFORMED.format(f"line {line}"),)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (HEAD + B + "<url><loc>https://h/cut", 4),
        (HEAD + B + "<url><loc>https://h/cut</lo", 4),
        (HEAD + B + "<url><lastm", 4),
        (HEAD + B, 4),
        (HEAD + B + "<!-- never closed <url><loc>https://h/no</loc></url>", 4),
        (HEAD + B + "</urlset>\n<!-- cached --><script>x(1 < 2 && 3)</script>", 5),
        (HEAD + B + "</urlset>\nServed by cache 7", 5),
        (HEAD + "</urlset>\n" + HEAD + B + "</urlset>", 4),
        ("<br />\n<b>Warning</b>: something in <b>/index.php</b>\n" + HEAD + B + "</urlset>", 2),
        ("Notice: undefined index\n" + HEAD + B + "</urlset>", 1),
        ("<sm:urlset><sm:url><sm:loc>https://h/b</sm:loc></sm:url></sm:urlset>", 1),
    ],
)
def test_files_that_are_cut_off_or_have_more_around_them(body: str, line: int) -> None:
    assert locs(body) == (["https://h/b"], (MALFORMED.format(f"line {line}"),))


@pytest.mark.parametrize(
    ("declared", "encoding", "notes"),
    [
        ("ISO-8859-1", "latin-1", ()),
        ("windows-1252", "cp1252", ()),
        ("windows-1251", "utf-8", ()),
        ("UTF-16", "utf-8", ()),
        ("utf8mb4", "utf-8", ()),
        ("UTF-8", "latin-1", (MALFORMED.format("line 3: not UTF-8"),)),
        ("unicode_escape", "latin-1", (MALFORMED.format("line 3: not UTF-8"),)),
    ],
)
def test_encodings_and_their_labels(declared: str, encoding: str, notes: tuple[str, ...]) -> None:
    body = HEAD.replace("UTF-8", declared) + "<url><loc>https://h/caf\xe9</loc></url></urlset>"
    assert locs(body.encode(encoding)) == (["https://h/café"], notes)


def test_latin_1_bytes_among_utf_8() -> None:
    body = HEAD.encode() + "<url><loc>https://h/ü</loc></url>".encode() + b"<url><loc>https://h/\xe9</loc></url></urlset>"
    assert locs(body)[0] == ["https://h/ü", "https://h/é"]


def test_what_is_nested_deeper_than_any_sitemap_is_the_end_of_it() -> None:
    deep = "<a>" * 70 + "</a>" * 70
    note = "has elements nested deeper than 64; what comes after them was not read"
    assert locs(f"<urlset>{B}{deep}{B}</urlset>") == (["https://h/b"], (note,))


def test_entries_without_address_are_noted() -> None:
    assert locs(f"<urlset>{B}<url><loc> </loc></url></urlset>") == (["https://h/b"], (NAMELESS,))


@pytest.mark.parametrize("root", ["urlset", "sitemapindex", "URLSET", "sitemaps"])
def test_pages_and_sitemaps_are_found_under_either_root(root: str) -> None:
    sitemap = parse_sitemap(f"<{root}>{B}<sitemap><loc>https://h/c.xml</loc></sitemap></{root}>".encode())
    assert (sitemap.urls, sitemap.children) == ((SitemapUrl("https://h/b"),), (SitemapUrl("https://h/c.xml"),))
    assert bool(sitemap.notes) == (root == "sitemaps")


def test_an_index_may_call_its_sitemaps_pages() -> None:
    listed = "".join(f"<url><loc>https://h/{name}</loc></url>" for name in ("1.xml", "2.XML.gz?x", "page", "a.xml.html"))
    sitemap = parse_sitemap(f"<sitemapindex>{listed}</sitemapindex>".encode())
    assert [child.loc for child in sitemap.children] == ["https://h/1.xml", "https://h/2.XML.gz?x"]
    assert [url.loc for url in sitemap.urls] == ["https://h/page", "https://h/a.xml.html"]
    assert locs(f"<urlset>{listed}</urlset>")[0][0] == "https://h/1.xml"


RSS = """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>
  <title>News</title><link>https://h/</link><atom:link rel="self" href="https://h/feed"/>
  <image><url>https://h/logo.png</url><link>https://h/</link></image>
  <item><title>A</title><atom:link href="https://h/atom"/><link>https://h/a</link><guid isPermaLink="false">17</guid>
    <pubDate>Mon, 06 May 2024 07:08:09 GMT</pubDate><description><![CDATA[<!DOCTYPE html><link>https://h/no</link>]]></description></item>
  <item><guid>https://h/b</guid></item>
  <item><guid isPermaLink="false">https://h/no</guid><title>none</title></item>
</channel></rss>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
  xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://h/"><link>https://h/</link></channel>
  <item rdf:about="https://h/a"><link>https://h/a</link><dc:date>2024-05-06T07:08:09Z</dc:date></item></rdf:RDF>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://h/blog/"><link rel="self" href="feed"/>
  <entry xml:base="2024/"><source><link href="https://h/no"/></source><link rel="enclosure" href="x.mp3"/>
    <link title='a "> b' href="a"/><updated>2024-05-06T07:08:09Z</updated>
    <content type="xhtml"><div><link href="/no"/></div></content></entry>
  <entry><title type="xhtml"><div>B</div></title><link rel="alternate" type="text/html" href="/b"/><link href="/second"/></entry>
</feed>"""
MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "urls", "notes"),
    [
        (RSS, (SitemapUrl("https://h/a", MOMENT), SitemapUrl("https://h/b")), (NAMELESS, FEED)),
        (RDF, (SitemapUrl("https://h/a", MOMENT),), (FEED,)),
        (ATOM, (SitemapUrl("https://h/blog/2024/a", MOMENT), SitemapUrl("https://h/b")), (FEED,)),
        (ATOM.replace("https://h/blog/", "blog/"), (SitemapUrl("blog/2024/a", MOMENT), SitemapUrl("/b")), (FEED,)),
        (ATOM.replace("</feed>", ""), (SitemapUrl("https://h/blog/2024/a", MOMENT), SitemapUrl("https://h/b")), None),
        ('<feed xmlns="http://www.w3.org/2005/Atom"><title>no entry yet</title></feed>', (), (FEED,)),
    ],
    ids=["rss", "rdf", "atom", "relative base", "cut off", "empty"],
)
def test_feeds(body: str, urls: tuple[SitemapUrl, ...], notes: tuple[str, ...] | None) -> None:
    sitemap = parse_sitemap(body.encode())
    assert sitemap.urls == urls
    assert sitemap.notes == notes if notes is not None else MALFORMED.format("line 6") in sitemap.notes


def test_text_with_other_lines() -> None:
    body = "# all pages\r\nhttps://h/a\r\n\r\nhttps://h/b\t2024-05-06\r\n# end"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"):
        assert locs(body.encode(encoding)) == (["https://h/a", "https://h/b"], ())
    assert locs(gzip.compress(body.replace("\r\n", "\r").encode()))[0] == ["https://h/a", "https://h/b"]
    others = ("has 2 lines that are no addresses, which were left out",)
    assert locs("All our pages:\nhttps://h/a\nhttps://h/b\nmailto:me@h\nhttps://h/c") == (
        ["https://h/a", "https://h/b", "https://h/c"],
        others,
    )


def test_the_first_entries_of_too_many() -> None:
    lines = [f"https://h/{n}" for n in range(MAX_SITEMAP_ENTRIES)]
    too_many = ("lists more than 50000 entries, the protocol's limit; the first 50000 were taken",)
    for more, notes in (([], ()), (["https://h/last"], too_many)):
        assert locs("\n".join([*lines, *more])) == (lines, notes)
        entries = "".join(f"<url><loc>{line}</loc></url>" for line in [*lines, *more])
        assert locs(f"<urlset>{entries}</urlset>") == (lines, notes)


def test_what_comes_after_the_size_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.extract.sitemap, "MAX_SITEMAP_BYTES", len(URLSET))
    assert parse_sitemap(gzip.compress(URLSET)) == EXPECTED
    longer = URLSET.replace(b"</urlset>", b"<url><loc>https://h/d</loc></url></urlset>")
    for body in (longer, gzip.compress(longer)):
        found, notes = locs(body)
        assert found == [url.loc for url in EXPECTED.urls]
        assert "is larger than" in notes[0]
    assert locs(b"https://h/1\n" * 1000)[0] == ["https://h/1"] * ((len(URLSET) - 1) // 12)
    with pytest.raises(PermanentError):
        parse_sitemap(gzip.compress(bytes(10_000_000)))


def test_an_entry_of_atom_without_a_link() -> None:
    entries = "<entry><id>https://h/a</id></entry><entry><id>tag:h,2024:b</id></entry>"
    entries += "<entry><id>https://h/id</id><link href='https://h/c'/></entry>"
    sitemap = parse_sitemap(f"<feed xmlns='http://www.w3.org/2005/Atom'><id>https://h/feed</id>{entries}</feed>".encode())
    assert [url.loc for url in sitemap.urls] == ["https://h/a", "https://h/c"]


def test_gzip_that_is_cut_off_or_damaged() -> None:
    entries = [f"https://h/{random.Random(n).random()}" for n in range(5_000)]
    whole = f"<urlset>{''.join(f'<url><loc>{entry}</loc></url>' for entry in entries)}</urlset>".encode()
    packed = gzip.compress(whole)
    for body in (packed[: len(packed) // 2], packed[: len(packed) // 2] + b"\xff" * 1_000):
        found, notes = locs(body)
        assert len(found) > 1_000
        assert found == entries[: len(found)]
        assert notes[0] == "is damaged or cut off in its gzip data; what could be unpacked of it was taken"
    assert locs(packed[:-4])[0] == entries


@pytest.mark.parametrize(
    "piece",
    [
        "<a>",
        "</a>",
        "<url>",
        "<url><loc>",
        "<",
        "<!--",
        "<![CDATA[",
        "<url a",
        "<loc a='",
        "<link x=\"y'",
        "&",
        "&amp;",
        "<?x ",
        "]]>",
    ],
)
def test_no_text_takes_more_than_linear_time(piece: str) -> None:
    body = (HEAD + "<x>&</x>" + piece * (1_000_000 // len(piece))).encode()
    started_s = time.perf_counter()
    with contextlib.suppress(PermanentError):
        parse_sitemap(body)
    assert time.perf_counter() - started_s < 10.0


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: URLSET[:300] + tail))
def test_never_crashes(body: bytes) -> None:
    with contextlib.suppress(PermanentError):
        parse_sitemap(body)
