"""Documentation generators: how their pages are known, which element holds the content, and what in it is chrome.

The selectors are written by looking at the pages, and are the yardstick: they share nothing with the rules of the extraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lxml.cssselect import CSSSelector
from lxml.html import HtmlElement

# The number of a footnote in the text, which is left out on purpose: "a fee[1] of" isn't what the sentence says.
NOTE_MARKS = 'sup > a[href^="#"], a.footnote > sup, a.footnote-reference, sup.footnote-reference, sup.reference'


@dataclass(frozen=True)
class Generator:
    """One generator, or one theme of it.

    Attributes:
        sign: a CSS selector of something that its pages alone have.
        content: what holds the content. Where it matches several elements, all of them do, those within another aside.
        chrome: what in the content belongs to the site: links to headings, line numbers, previous and next, buttons.
        either: what in the content may be kept or not: contents of the page, links to sources.
        layout: tables that only lay something out, so that nobody reads them row by row.
        code: the blocks of code.
    """

    name: str
    sign: str
    content: str
    chrome: str = ""
    either: str = ""
    layout: str = ""
    code: str = "pre"

    def made(self, root: HtmlElement) -> bool:
        return bool(self._sign(root))

    def content_of(self, root: HtmlElement) -> list[HtmlElement]:
        found = list(self._content(root))
        inside = set(found)
        return [element for element in found if inside.isdisjoint(element.iterancestors())]

    def chrome_of(self, parts: Sequence[HtmlElement]) -> frozenset[HtmlElement]:
        return frozenset(element for part in parts for element in self._chrome(part))

    def either_of(self, parts: Sequence[HtmlElement]) -> frozenset[HtmlElement]:
        return frozenset(element for part in parts for element in self._either(part))

    def layout_of(self, parts: Sequence[HtmlElement]) -> frozenset[HtmlElement]:
        return frozenset(element for part in parts for element in self._layout(part))

    def code_of(self, parts: Sequence[HtmlElement]) -> list[HtmlElement]:
        return [element for part in parts for element in self._code(part)]

    @cached_property
    def _sign(self) -> CSSSelector:
        return CSSSelector(self.sign, translator="html")

    @cached_property
    def _content(self) -> CSSSelector:
        return CSSSelector(self.content, translator="html")

    @cached_property
    def _chrome(self) -> CSSSelector:
        return CSSSelector(self.chrome or "nothing-at-all", translator="html")

    @cached_property
    def _either(self) -> CSSSelector:
        return CSSSelector(f"{self.either}, {NOTE_MARKS}" if self.either else NOTE_MARKS, translator="html")

    @cached_property
    def _layout(self) -> CSSSelector:
        return CSSSelector(self.layout or "nothing-at-all", translator="html")

    @cached_property
    def _code(self) -> CSSSelector:
        return CSSSelector(self.code, translator="html")


def generator_of(root: HtmlElement) -> Generator | None:
    """The first generator whose sign and content a page has."""
    return next((one for one in GENERATORS if one.made(root) and one.content_of(root)), None)


GENERATORS = (
    Generator(
        "Sphinx, Furo",
        sign='link[href*="furo.css"], .furo-main-content, #furo-main-content',
        content='#furo-main-content, article[role="main"]',
        chrome="a.headerlink, .linenos, .copybtn, .content-icon-container, .back-to-top",
        either=".viewcode-link, .viewcode-back",
    ),
    Generator(
        "Sphinx, Read the Docs",
        sign="div.wy-nav-content",
        content='div[itemprop="articleBody"]',
        chrome="a.headerlink, .linenos, .copybtn",
        either=".viewcode-link, .viewcode-back",
    ),
    Generator(
        "Sphinx, PyData",
        sign="article.bd-article",
        content="article.bd-article",
        chrome="a.headerlink, .linenos, .copybtn, .prev-next-footer",
        either=".viewcode-link, .viewcode-back",
    ),
    Generator(
        "Sphinx",
        sign='link[href*="pygments.css"], script[src*="documentation_options.js"], script[src*="sphinx"], div.documentwrapper',
        content='div[role="main"], div.documentwrapper div.body, #yui-main .yui-g',
        chrome="a.headerlink, .linenos, .copybtn, .copybutton, .sphinxsidebar, #sidebar, .related, .browse-horizontal",
        either=".viewcode-link, .viewcode-back",
    ),
    Generator(
        "MkDocs Material",
        sign='meta[name="generator"][content*="mkdocs-material"], article.md-content__inner',
        content="article.md-content__inner",
        chrome="a.headerlink, .linenos, .linenodiv, .md-content__button, .md-clipboard, .md-feedback, .mdx-switch",
        either=".md-source-file, .md-tags",
    ),
    Generator(
        "MkDocs",
        sign='a[href="https://www.mkdocs.org/"], a[href="http://www.mkdocs.org"], a[href="https://www.mkdocs.org"]',
        content='div[role="main"], div.rst-content .document',
        chrome="a.headerlink, .linenos, .wy-breadcrumbs",
    ),
    Generator(
        "Docusaurus",
        sign='meta[name="generator"][content^="Docusaurus"]',
        content=".theme-doc-markdown, article .markdown, main .markdown",
        chrome='a.hash-link, button[class*="copyButton"], button[class*="clean-btn"], [class*="codeLineNumber"]',
    ),
    Generator(
        "Asciidoctor",
        sign='meta[name="generator"][content^="Asciidoctor"]',
        content="#header h1, #header .details, #content, #footnotes",
        chrome="a.anchor, .linenos, td.linenos",
    ),
    Generator(
        "AsciiDoc",
        sign='meta[name="generator"][content^="AsciiDoc"]',
        content="#header h1, #header h2, #header p, #content, #footnotes",
        chrome="a.anchor",
        layout=".admonitionblock table",
    ),
    Generator(
        "DocBook",
        sign='meta[name="generator"][content^="DocBook"], meta[name="generator"][content^="publican"]',
        content="div.book, div.part, div.chapter, div.appendix, div.preface, div.refentry, div.reference, div.section, div.sect1,"
        " div.article, div.index, div.glossary, div.bibliography, div.library, div.titlepage, div.dedication, div.colophon",
        chrome=".navheader, .navfooter, .spirit-nav",
        either=".toc, .list-of-tables, .list-of-figures, .list-of-examples",
        layout="table.navheader, table.simplelist, table[border='0']",
    ),
    Generator(
        "Javadoc",
        sign='meta[name="generator"][content^="javadoc/"]',
        content="main",
        chrome=".copy-snippet, .table-tabs, .source-container .source-line-no, nav",
        either=".sub-title",
    ),
    Generator(
        "Doxygen",
        sign='meta[name="generator"][content^="Doxygen"]',
        content="div.header .title, div.contents",
        chrome="a.anchor, .lineno, .navrow, .permalink, .levels, span.arrow, .ttc, .dynsection map",
        either=".toc, .icona, .dynheader, .dynsection, .legend",
        layout="table.memname, table.memberdecls, table.mlabels, table.directory, div.memproto table, table.params table",
        code="pre, div.fragment",
    ),
    Generator(
        "MediaWiki",
        sign='meta[name="generator"][content^="MediaWiki"], div.mw-parser-output',
        content="h1.firstHeading, #mw-content-text, div.mw-parser-output",
        chrome=".mw-editsection, .editsection, .navbox, .t-navbar, .catlinks, .printfooter, .mw-jump-link, .noprint,"
        ' .mw-empty-elt, .t-navbar-sep, .mw-cite-backlink, tr[style*="display: none"], tr[style*="display:none"]',
        either=".toc, #toc, #siteSub, #contentSub",
        layout="table.t-dcl-begin, table.t-navbar, table.ambox, table.eq-fun-cpp-table",
    ),
    Generator(
        "GitBook",
        sign='meta[name="generator"][content^="GitBook"]',
        content=".page-inner section.normal, .page-inner section.markdown-section",
        chrome=".navigation, .footer-modification, .gitbook-plugin-modal",
    ),
    Generator(
        "VuePress",
        sign='meta[name="generator"][content^="VuePress"]',
        content=".theme-default-content, .theme-reco-default-content, h1.page-title, [vp-content]",
        chrome=".line-numbers, .line-numbers-wrapper, .copy-code-button, .page-meta, .page-nav, .lang",
    ),
    Generator(
        "VitePress",
        sign='meta[name="generator"][content^="VitePress"]',
        content="main .vp-doc",
        chrome="a.header-anchor, .line-numbers-wrapper, button.copy, span.lang, [hidden][aria-hidden]",
    ),
    Generator(
        "rustdoc",
        sign='meta[name="generator"][content="rustdoc"]',
        content="#main-content",
        chrome="#copy-path, a.anchor, .line-numbers, #toggle-all-docs, a.test-arrow",
        either=".out-of-band, a.srclink, a.src, .rightside, .notable-traits, .notable, .since, summary.hideme, .information",
        layout="table",
    ),
    Generator(
        "mdBook",
        sign="#menu-bar",
        content="#content main",
        chrome=".buttons, a.header-anchor",
    ),
    Generator(
        "TypeDoc",
        sign='.tsd-page-toolbar, .tsd-page-title, meta[content*="TypeDoc"]',
        content=".tsd-page-title > .container > h1, .col-content, .tsd-page-title h1",
        chrome=".tsd-breadcrumb, .tsd-anchor-icon, .tsd-widget, .tsd-navigation",
        either=".tsd-index-panel, .tsd-legend",
    ),
    Generator(
        "Texinfo",
        sign='meta[name="Generator"][content="makeinfo"], meta[name="Generator"][content="texi2any"]',
        content="body",
        chrome=".header, .nav-panel, a.copiable-link, a.copiable-anchor",
        either=".contents, .shortcontents, table.menu, .mini-toc",
    ),
    Generator(
        "Node.js API docs",
        sign="#apicontent",
        content="#apicontent",
        chrome="a.mark, .srclink, .copy-button, .js-flavor-selector, .altdocs",
        either=".toc",
    ),
    Generator(
        "Antora",
        sign='meta[name="generator"][content^="Antora"]',
        content="article.doc",
        chrome="a.anchor, .pagination, .source-toolbox",
    ),
    Generator(
        "Starlight",
        sign='meta[name="generator"][content^="Starlight"]',
        content="main h1, main .sl-markdown-content",
        chrome="a.sl-anchor-link, .copy, .ec-line .gutter",
    ),
    Generator(
        "Hugo, Docsy",
        sign="div.td-content",
        content="div.td-content",
        chrome=".td-page-meta, a.td-heading-self-link, .feedback--title, .text-muted",
    ),
)
