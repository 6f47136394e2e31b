"""The marks of lists: numbers, letters, boxes; terms and their definitions."""

from __future__ import annotations

import pytest

from corpus.model import BlockKind
from tests.unit.test_extract import read
from tests.unit.written import written


class TestNumbers:
    @pytest.mark.parametrize(
        ("attributes", "marks"),
        [
            ("", "1. 2. 3."),
            ("type=a", "a. b. c."),
            ("type=A start=25", "Y. Z. AA."),
            ("type=i", "i. ii. iii."),
            ("type=I start=8", "VIII. IX. X."),
            ("style='list-style-type: lower-alpha'", "a. b. c."),
            ("style='margin:0; list-style: inside upper-roman'", "I. II. III."),
            ("style='list-style-type: lower-greek'", "α. β. γ."),
            ("style='list-style-type: decimal-leading-zero'", "01. 02. 03."),
            ("style='list-style: none'", "- - -"),
            ("class='loweralpha simple'", "a. b. c."),
            ("reversed", "3. 2. 1."),
            ("reversed start=9", "9. 8. 7."),
            ("start=5", "5. 6. 7."),
            ("start=-1", "-1. 0. 1."),
            ("type=a start=0", "0. a. b."),
            ("type=i start=3999", "mmmcmxcix. 4000. 4001."),
            ("start=two", "1. 2. 3."),
        ],
    )
    def test_of_lists(self, attributes: str, marks: str) -> None:
        text = written(f"<ol {attributes}><li>x<li>x<li>x</ol>")
        assert text == "\n".join(f"{mark} x" for mark in marks.split())

    def test_of_single_items(self) -> None:
        assert written("<ol><li>x<li value=7>x<li>x<li type=a>x</ol>") == "1. x\n7. x\n8. x\ni. x"

    def test_bullets_and_nesting(self) -> None:
        assert written("<ul type=square><li>x<ol type=a><li>y<li>z</ol></ul>") == "- x\n  a. y\n  b. z"
        assert written("<div role=list><div role=listitem>x</div><div role=listitem>y</div></div>") == "- x\n- y"

    def test_lettered_items_are_list_items(self) -> None:
        page = read("<main><h1>Terms</h1><ol type=a><li>boats are moored<li>rafts are hauled</ol></main>").page
        assert page.text.endswith("a. boats are moored\nb. rafts are hauled")
        assert [block.kind for block in page.blocks[1:]] == [BlockKind.LIST_ITEM] * 2


class TestBoxes:
    @pytest.mark.parametrize(
        ("items", "marks"),
        [
            ("<li><input type=checkbox checked disabled> x<li><input type=checkbox disabled> x", "- [x], - [ ]"),
            ("<li><p><input type=checkbox checked> x</p><li><label><input type=checkbox> x</label>", "- [x], - [ ]"),
            ("<li><label><input type=checkbox checked><span></span></label><div><p>x</p></div>", "- [x]"),
            ("<li role=checkbox aria-checked=true>x<li role=checkbox aria-checked=false>x", "- [x], - [ ]"),
            ("<li><span role=checkbox aria-checked=true></span> x", "- [x]"),
            ("<li><i class='fa fa-check-square-o'></i> x<li><i class='fa fa-square-o'></i> x", "- [x], - [ ]"),
            ("<li><div class='checkbox checkbox-on'></div> x<li><div class='checkbox checkbox-off'></div> x", "- [x], - [ ]"),
            ("<li data-checked=true>x<li data-list=unchecked>x", "- [x], - [ ]"),
            ("<li class=checked data-inline-task-id=1>x<li data-inline-task-id=2>x", "- [x], - [ ]"),
            ("<li><input type=radio name=a checked> x<li><input type=radio name=a> x", "- [x], - [ ]"),
            ("<li>x<li><input type=text>x<li>x <input type=checkbox>", "-, -, -"),
        ],
    )
    def test_of_items(self, items: str, marks: str) -> None:
        assert written(f"<ul class=task-list>{items}</ul>") == "\n".join(f"{mark} x" for mark in marks.split(", "))

    def test_a_box_with_a_list_below(self) -> None:
        assert written("<ul><li><input type=checkbox checked> a<ul><li><input type=checkbox> b</ul></ul>") == "- [x] a\n  - [ ] b"

    @pytest.mark.parametrize(
        "box", ["<input type=checkbox class=menu-toggle>Quays", "<input type=checkbox id=b1><label for=b1>Quays</label>"]
    )
    def test_boxes_that_fold_what_follows_are_no_text(self, box: str) -> None:
        assert written(f"<ul><li>{box}<ul><li>North</ul></ul>") == "- Quays\n  - North"

    def test_boxes_for_the_reader_to_tick_are_no_text(self) -> None:
        assert written("<p><input type=checkbox> I agree.</p>") == "I agree."


class TestTerms:
    def test_terms_of_one_definition_stay_together(self) -> None:
        assert written("<dl><dt>a<dt>b<dd>both<dt>c<dd>C</dl>") == "a\nb\n\nboth\n\nc\n\nC"

    def test_groups_of_terms_in_divs(self) -> None:
        assert written("<dl><div><dt>a</dt><dd>A</dd></div><div><dt>b</dt><dd>B</dd></div></dl>") == "a\n\nA\n\nb\n\nB"

    def test_signatures_each_keep_their_heading(self) -> None:
        assert written("<dl><dt class=sig>f(x)<dt class=sig>f(x, y)<dd>Calls.<dt class=sig><dd>None.</dl>") == (
            "## f(x)\n\n## f(x, y)\n\nCalls.\n\nNone."
        )
