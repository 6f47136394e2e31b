"""HTML is read as browsers read it."""

from __future__ import annotations

import pytest
from lxml import etree

from ingest.extract.html import tree as html_tree
from ingest.extract.html.tree import MAX_DEPTH, parse_tree


def body_of(markup: str) -> str:
    body = parse_tree(markup).root.find("body")
    return etree.tostring(body, encoding="unicode", method="html").removeprefix("<body>").removesuffix("</body>")


class TestAsBrowsersDo:
    @pytest.mark.parametrize(
        ("markup", "tree"),
        [
            ("<header><div>a</header><main>b</main>", "<header><div>a</div></header><main>b</main>"),
            ("<nav><ul><li>a</nav><p>b", "<nav><ul><li>a</li></ul></nav><p>b</p>"),
            ("<p>a<div>b</div>c", "<p>a</p><div>b</div>c"),
            ("<h1>a<p>b</p></h1>", "<h1>a<p>b</p></h1>"),
            ("<table><p>a<tr><td>b</table>", "<p>a</p><table><tbody><tr><td>b</td></tr></tbody></table>"),
            ("<b>a<p>b</b>c", "<b>a</b><p><b>b</b>c</p>"),
            ("<a href=x><div>a</div></a>", '<a href="x"><div>a</div></a>'),
            ("a<!-- b -->c<![CDATA[d]]>e", "ace"),
        ],
    )
    def test_what_ends_where(self, markup: str, tree: str) -> None:
        assert body_of(markup) == tree

    def test_a_page_without_head_and_body_tags(self) -> None:
        root = parse_tree("<title>T</title><main>a</main>").root
        assert root.findtext("head/title") == "T"
        assert root.findtext("body/main") == "a"

    def test_a_frameset_has_an_empty_body_beside_it(self) -> None:
        root = parse_tree("<frameset><frame src=a></frameset>").root
        assert [child.tag for child in root] == ["head", "frameset", "body"]

    @pytest.mark.parametrize("markup", ["", " ", "<!-- -->", "\0", "<", "</p>", "<!doctype html>"])
    def test_pages_of_nothing(self, markup: str) -> None:
        assert [child.tag for child in parse_tree(markup).root] == ["head", "body"]


class TestNames:
    def test_what_xml_has_no_names_for(self) -> None:
        body = parse_tree('<o:p @click=1 :class=2 a.b=3 x"y=4>a</o:p>').root.find("body")
        assert [(child.tag, dict(child.attrib)) for child in body] == [("_o_p", {"a.b": "3"})]

    @pytest.mark.parametrize("markup", ["<p title='a&#1;b'>a&#2;b</p>", "<p title='a\x0bb'>a\x1fb</p>"])
    def test_characters_that_xml_has_not(self, markup: str) -> None:
        assert body_of(markup) == '<p title="ab">ab</p>'

    def test_languages_by_either_name(self) -> None:
        root = parse_tree("<html xml:lang=de><p xml:lang=fr>a<p lang=it xml:lang=es>b").root
        assert [e.get("lang") for e in (root, *root.iter("p"))] == ["de", "fr", "it"]


class TestTemplates:
    def test_a_shadow_root_stands_for_its_hosts_children(self) -> None:
        assert body_of("<x-a><template shadowrootmode=open><p>shadow</p><slot>else</slot></template>light</x-a>") == (
            "<x-a><div><p>shadow</p><slot>light</slot></div></x-a>"
        )

    def test_children_go_to_the_slots_that_they_name(self) -> None:
        markup = "<x-a><template shadowrootmode=open><slot name=b></slot><slot></slot></template><i>1</i><b slot=b>2</b></x-a>"
        assert "".join(parse_tree(markup).root.itertext()) == "21"

    def test_what_a_slot_shows_where_nothing_is_given(self) -> None:
        assert body_of("<x-a><template shadowrootmode=closed><slot>else</slot></template></x-a>") == (
            "<x-a><div><slot>else</slot></div></x-a>"
        )

    def test_children_without_a_slot_are_kept(self) -> None:
        assert "light" in body_of("<x-a><template shadowrootmode=open>shadow</template><p>light</p></x-a>")

    def test_shadow_roots_within_each_other(self) -> None:
        inner = "<x-b><template shadowrootmode=open>deep <slot></slot></template>light</x-b>"
        assert "".join(parse_tree(f"<x-a><template shadowrootmode=open>{inner}</template></x-a>").root.itertext()) == "deep light"

    def test_other_templates_show_nothing(self) -> None:
        assert body_of("a<template><p>row</p></template>b") == "a<template></template>b"


class TestLimits:
    def test_text_below_the_greatest_depth_stays_without_its_nesting(self) -> None:
        document = parse_tree("<div>" * (MAX_DEPTH + 50) + "a" + "</div>" * (MAX_DEPTH + 50) + "b")
        depth = max(len(list(element.iterancestors())) for element in document.root.iter())
        assert depth <= MAX_DEPTH + 1
        assert "".join(document.root.itertext()) == "ab"

    def test_depths_that_no_page_needs_never_reach_the_parser(self) -> None:
        document = parse_tree("<div>a" * 20_000)
        assert "".join(document.root.itertext()) == "a" * 20_000
        assert any("nested deeper" in note for note in document.notes)

    def test_many_elements_that_do_not_nest_are_no_depth(self) -> None:
        assert parse_tree("<p>a<br>" * 20_000).notes == []

    def test_elements_beyond_the_limit_are_dropped_and_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(html_tree, "MAX_ELEMENTS", 10)
        document = parse_tree("<p>a</p>" * 20)
        assert len(document.elements) == 10
        assert any("after the first 10" in note for note in document.notes)
