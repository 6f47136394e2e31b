"""What a page says about itself: title, language, canonical address, directives for robots, links."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import ada_url
import py3langid
from lxml.html import HtmlElement

from corpus.model import BlockKind, PageText
from ingest.directives import in_contents
from ingest.extract.html.inline import flat_text
from ingest.extract.html.tree import parse_tree
from ingest.extract.html.words import words_of
from ingest.extract.page_text import one_line

MAX_LINKS = 20_000
MAX_URL_CHARS = 2_000
MAX_TITLE_CHARS = 300
_MAX_DECLARED_CHARS = 2_000  # each heading is looked for in it
MAX_NOTICE_WORDS = 30  # "Your browser shows no frames. Go on to the table of contents."
_DETECTION_CHARS = 4_000
_MIN_DETECTION_CHARS = 20
_TITLE_SEPARATOR = re.compile(r"\s+[|·•»–—-]\s+|\s*::\s*")
_LANGUAGE_TAG = re.compile(r"^([a-z]{2,3})(?:[-_]|$)", re.IGNORECASE)
_LETTER_RUN = re.compile(r"[^\W\d_]{2,}")
_LEADING = {"a": "href", "area": "href", "frame": "src", "iframe": "src", "link": "href"}  # elements that lead on to a page
_SEQUENCE = frozenset(("next", "prev", "previous"))  # what <link rel=…> says of the pages before and after
_REFRESH = re.compile(
    r"""\s*(?:(?P<delay_s>\d+)[\d.]*|\.[\d.]*)\s*[;,\s]\s*(?:url\s*=\s*)?(?P<quote>["']?)(?P<url>.*)""", re.IGNORECASE | re.DOTALL
)
MAX_REFRESH_DELAY_S = 10  # longer ones reload a page that is meant to be read


def title_of(root: HtmlElement) -> str:
    """The page's own name, without the site's.

    A first-rank heading that the declared title (``og:title``, else ``<title>``) also bears is the name; without one, the
    declared title is cut at the site's name where the page declares that, too, or where its header shows that as a heading.
    """
    titles = (_meta(root, "og:title"), one_line(root.findtext(".//head/title") or ""))
    declared = [title[:_MAX_DECLARED_CHARS] for title in titles if title]
    parts = _TITLE_SEPARATOR.split(declared[0]) if declared else []
    innermost = [h for h in root.iter("h1") if next(h.iterdescendants("h1"), None) is None]
    # A heading in the page's header, or one that is a link, that is the last of several parts of the title is the site's name
    # (Node.js' manual, Django's).
    last = parts[-1].casefold() if len(parts) > 1 else ""
    sites = {t for h in innermost if (t := _heading_text(h)).casefold() == last and _may_name_site(h)}
    headings = [t for t in map(_heading_text, innermost) if t and t not in sites]
    for heading in headings:
        if declared and heading.casefold() in declared[0].casefold():
            return heading[:MAX_TITLE_CHARS]
    if not declared:
        return next(iter(headings), "")[:MAX_TITLE_CHARS]
    title = declared[0]
    if last and (sites or last == _meta(root, "og:site_name").casefold()):
        title = title[: title.rindex(parts[-1])].rstrip(" |·•»–—-:")
    return title[:MAX_TITLE_CHARS]


def _may_name_site(heading: HtmlElement) -> bool:
    if any(one_line(flat_text(link)) == one_line(flat_text(heading)) for link in heading.iterdescendants("a")):
        return True
    above = next(heading.iterancestors("header", "main", "article"), None)
    return above is not None and above.tag == "header" and next(above.iterancestors("main", "article"), None) is None


def title_of_text(page: PageText) -> str:
    """What to call a document that names no title: its first heading, or else its first line."""
    if page.title:
        return page.title
    headings = (page.text[b.start : b.end].lstrip("# ") for b in page.blocks if b.kind is BlockKind.HEADING)
    return next(headings, page.text.partition("\n")[0])[:MAX_TITLE_CHARS]


def language_of(root: HtmlElement | None, text: str) -> str | None:
    """The declared primary language subtag (BCP 47, lower case), else what the text reads as; None for too little text."""
    declared = _declared_language(root) if root is not None else ""
    if subtag := language_subtag(declared):
        return subtag
    words = " ".join(_LETTER_RUN.findall(text[:_DETECTION_CHARS]))
    return str(py3langid.classify(words)[0]) if len(words) >= _MIN_DETECTION_CHARS else None


def language_subtag(tag: str) -> str | None:
    """The primary subtag of a language tag (BCP 47), in lower case; None if it is none."""
    found = _LANGUAGE_TAG.match(tag.strip())
    return found[1].lower() if found else None


def _declared_language(root: HtmlElement) -> str:
    by_element: str | None = root.get("lang") or root.get("xml:lang")
    if by_element:
        return by_element
    metas = (m.get("content", "") for m in root.iter("meta") if m.get("http-equiv", "").lower() == "content-language")
    return next(metas, "")


def base_url_of(root: HtmlElement, url: str) -> str:
    base = next((b.get("href") for b in root.iter("base") if b.get("href")), None)
    return (_absolute(url, base) if base else None) or url


def canonical_of(root: HtmlElement, base_url: str) -> str | None:
    for link in root.iter("link"):
        if "canonical" in link.get("rel", "").lower().split() and link.get("href"):
            return _absolute(base_url, link.get("href"))
    return None


def links_of(root: HtmlElement, base_url: str) -> tuple[str, ...]:
    """Absolute http(s) links in document order, without fragments, repeats, and those marked ``rel=nofollow``: anchors, image
    maps, frames, and the pages that ``<link>`` calls the next and the one before."""
    links: dict[str, None] = {}
    for element in root.iter(*_LEADING):
        href = element.get(_LEADING[element.tag])
        rel = element.get("rel", "").lower().split()
        if not href or "nofollow" in rel or (element.tag == "link" and _SEQUENCE.isdisjoint(rel)):
            continue
        if link := _absolute(base_url, href):
            links[link] = None
            if len(links) >= MAX_LINKS:
                break
    return tuple(links)


def is_frameset(root: HtmlElement) -> bool:
    """Whether the document has frames in the place of a body. What it has in ``<noframes>``, if that is more than a notice,
    becomes its body."""
    if root.find("frameset") is None:
        return False
    body = root.find("body")
    for element in root.iter("noframes"):  # its content is text to browsers that know frames
        content = parse_tree(element.text or "").root.find("body")
        if content is not None and body is not None and len(words_of(flat_text(content))) > MAX_NOTICE_WORDS:
            root.replace(body, content)
            break
    return True


def robots_directives(root: HtmlElement, bot_name: str) -> frozenset[str]:
    """Directives of ``<meta name=robots>`` and of the one naming the bot; ``none`` stands for noindex and nofollow."""
    names = {"robots", bot_name.lower()}
    metas = (meta for meta in root.iter("meta") if meta.get("name", "").strip().lower() in names)
    return in_contents((meta.get("content", "") for meta in metas), now=datetime.now(UTC))


def refresh_of(root: HtmlElement, base_url: str, url: str) -> str | None:
    """Where ``<meta http-equiv=refresh>`` leads, as :func:`refresh_target` reads it.

    What stands in ``<noscript>`` is for another reader.
    """
    for meta in root.iter("meta"):
        if meta.get("http-equiv", "").strip().lower() != "refresh" or next(meta.iterancestors("noscript"), None) is not None:
            continue
        if link := refresh_target(meta.get("content", ""), base_url, url):
            return link
    return None


def refresh_target(value: str, base_url: str, url: str) -> str | None:
    """Where a ``Refresh`` header or its ``<meta>`` leads: an absolute http(s) address other than the page's own.

    Read as browsers do (HTML, "shared declarative refresh steps").
    """
    found = _REFRESH.fullmatch(value[: 2 * MAX_URL_CHARS])
    if not found or int(found["delay_s"][:9] or 0) > MAX_REFRESH_DELAY_S:
        return None
    target = found["url"].split(found["quote"])[0] if found["quote"] else found["url"]
    link = _absolute(base_url, target) if target.strip() else None
    return link if link != _absolute(url, "") else None


def _absolute(base_url: str, href: str) -> str | None:
    """Read as browsers do (WHATWG URL Standard): white space around it and line ends in it don't count, "\\" is "/"."""
    if len(href) > MAX_URL_CHARS:
        return None
    try:
        link = ada_url.join_url(base_url, href).partition("#")[0]
    except ValueError:  # such as an unclosed IPv6 bracket, or a relative link on a page whose own address is none
        return None
    return link if link.startswith(("http://", "https://")) else None


def _meta(root: HtmlElement, name: str) -> str:
    for meta in root.iter("meta"):
        if name in (meta.get("property"), meta.get("name")):
            return one_line(meta.get("content", ""))
    return ""


def _heading_text(heading: HtmlElement) -> str:
    return one_line(flat_text(heading)).rstrip("¶#").rstrip()
