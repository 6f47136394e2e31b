"""Tells what surrounds a page's content by what it is called: tags, ARIA roles, and the names that sites give."""

from __future__ import annotations

import re
from functools import lru_cache

from lxml.html import HtmlElement

from ingest.extract.html.elements import names_of, word_set

NAVIGATION = "navigation"
PAGE_HEADER = "page header"
PAGE_FOOTER = "page footer"
SIDE_COLUMN = "side column"
DIALOG = "dialog"

_BY_TAG = {"nav": NAVIGATION, "header": PAGE_HEADER, "footer": PAGE_FOOTER, "aside": SIDE_COLUMN}
_BY_ROLE = {
    "navigation": NAVIGATION,
    "menu": NAVIGATION,
    "menubar": NAVIGATION,
    "toolbar": NAVIGATION,
    "tablist": NAVIGATION,
    "search": "search form",
    "banner": PAGE_HEADER,
    "contentinfo": PAGE_FOOTER,
    "complementary": SIDE_COLUMN,
    "dialog": DIALOG,
    "alertdialog": DIALOG,
}
# Exact class or id names of documentation generators' navigation: Sphinx, DocBook, MkDocs, MediaWiki, Docusaurus, Javadoc …
_NAVIGATION_NAMES = word_set(
    "navheader navfooter sphinxsidebar sphinxsidebarwrapper related mw-indicators catlinks noprint printfooter navbox "
    "vertical-navbox sidebar-nav breadcrumb breadcrumbs md-sidebar md-nav md-source-file md-tabs md-footer theme-doc-toc-mobile "
    "theme-doc-toc-desktop theme-doc-breadcrumbs theme-doc-footer pagination-nav prev-next-area prev-next-bottom cookie-banner "
    "cookie-consent table-of-contents toc-wrapper sidebartoc wy-nav-side wy-breadcrumbs rst-footer-buttons bd-sidebar bd-toc "
    "toc-drawer toc-sticky page-nav page-edit topnav bottomnav subnav topNav bottomNav subNav nav-path navpath side-nav "
    "nav-wide-wrapper nav-chapters search-results"
)
_NAVIGATION_ENDS = ("navbar", "navbox")
_NOTES = re.compile(
    r"admonition|callout|note|warning|tip|caution|aside|important|hint|info|example|sidebar|pullquote|footnote", re.IGNORECASE
)

# Words in classes and ids of what is beside an article on the pages of newspapers, magazines and blogs: those that mean nothing
# else, and those that a part of the content may bear, too.
_SURE_BOILERPLATE = word_set(
    "share sharing shares sharedaddy socials relatedposts newsletter newsletters subscribe subscription signup advert adverts "
    "advertisement advertising outbrain taboola comment comments commenting disqus respond breadcrumb breadcrumbs pagination "
    "cookie cookies consent gdpr masthead promoted sponsored"
)
_BOILERPLATE = _SURE_BOILERPLATE | word_set(
    "related recommend recommended recommendation recommendations promo promos promotion sponsor ad ads popular trending byline "
    "bylines bio authorbio pager nav navigation menu sidebar footer popup modal login signin teaser teasers gallery slideshow "
    "carousel enhancement timestamp dateline credits copyright disclaimer donate donation follow toolbar tags tag taglist "
    "categories likes rating"
)
_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def chrome_reason(element: HtmlElement, *, in_content: bool) -> str | None:
    """Why an element is no content, by its tag, role or name; None if these don't say so.

    Args:
        in_content: it stands in the element that the page marks as its content (``main``, ``article``, a generator's name).
            There, headers, footers and asides are the author's, and only judged as other parts are.
    """
    tag = element.tag
    reason = _BY_TAG.get(tag)
    if reason is not None and (tag == "nav" or not in_content):
        is_note = tag == "aside" and _NOTES.search(element.get("class", ""))
        return None if is_note else reason
    if not element.attrib:
        return None
    if reason is None and (role := _BY_ROLE.get(element.get("role", ""))):
        return None if in_content and role is SIDE_COLUMN else role
    names = names_of(element) | {element.get("id", "")}
    return NAVIGATION if any(name in _NAVIGATION_NAMES or name.endswith(_NAVIGATION_ENDS) for name in names) else None


def has_boilerplate_name(element: HtmlElement, *, surely: bool = False) -> bool:
    """Whether an element is called as sharing buttons, teasers, comments and the like are; ``surely``: by a name that means
    nothing else."""
    names = f"{element.get('class', '')} {element.get('id', '')}"
    return names != " " and not _name_words(names).isdisjoint(_SURE_BOILERPLATE if surely else _BOILERPLATE)


@lru_cache(maxsize=4_096)
def _name_words(names: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _NAME_WORD.findall(names[:300]))
