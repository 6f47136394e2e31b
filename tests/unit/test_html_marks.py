"""Inline markup that changes what a text says: struck out, raised, lowered; formulas and readings."""

from __future__ import annotations

import pytest

from tests.unit.test_extract import golden
from tests.unit.written import written


def line(markup: str) -> str:
    return written(f"<p>{markup}</p>")


class TestStruckOut:
    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("The fee is <del>20</del> <ins>35</ins> euro.", "The fee is ~~20~~ 35 euro."),
            ("<s>Dogs may come.</s> Dogs may not.", "~~Dogs may come.~~ Dogs may not."),
            ("<strike>12</strike> 15", "~~12~~ 15"),
            ("<span style='color: red; text-decoration: line-through'>12</span> 15", "~~12~~ 15"),
            ("<span style='text-decoration-line:underline line-through'>12</span> 15", "~~12~~ 15"),
            ("<span role=deletion>12</span> 15", "~~12~~ 15"),
            ("<span class='price line-through'>12</span> 15", "~~12~~ 15"),
            ("from<del> 12 </del>15", "from ~~12~~ 15"),
            ("a <del></del><del> </del>b", "a b"),
            ("<del><s>12</s> euro</del> 15", "~~12 euro~~ 15"),
            ("<s>1</s><s>2</s> 15", "~~12~~ 15"),
            ("<s>1</s> <s>2</s> 15", "~~1~~ ~~2~~ 15"),
            ("<b><i><s>12</s></i></b> 15", "~~12~~ 15"),
            ("<u>12</u> <ins>15</ins> <span style='text-decoration: underline'>16</span>", "12 15 16"),
        ],
    )
    def test_inline(self, markup: str, text: str) -> None:
        assert line(markup) == text

    def test_in_headings_items_cells_and_terms(self) -> None:
        assert written(
            "<h2>Fee: <s>20</s> 35</h2><ul><li><s>oars</s> ropes</li><li class=line-through>nets</li></ul>"
            "<table><tr><th>Boat<th>Fee<tr><td>Raft<td><del>20</del> 35"
            "<tr style='text-decoration:line-through'><td>Ark<td>90</table>"
            "<dl><dt><s>Old</s> New<dd>Meaning</dl>"
        ) == golden("""
            ## Fee: ~~20~~ 35

            - ~~oars~~ ropes
            - ~~nets~~

            | Boat | Fee |
            | --- | --- |
            | Raft | ~~20~~ 35 |
            | ~~Ark~~ | ~~90~~ |

            ~~Old~~ New

            Meaning
        """)

    def test_around_blocks(self) -> None:
        assert written(
            "<del><h3>Title</h3><p>One.</p>Loose<ul><li>item</ul><table><tr><th>a<th>b<tr><td>1<td>2</table><pre>x\ny</pre></del><p>Left.</p>"
        ) == golden("""
            ### ~~Title~~

            ~~One.~~

            ~~Loose~~

            - ~~item~~

            | ~~a~~ | ~~b~~ |
            | --- | --- |
            | ~~1~~ | ~~2~~ |

            ~~x
            y~~

            Left.
        """)


class TestRaised:
    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("10<sup>6</sup> wicks of 10<sup>-3</sup> g", "10^6 wicks of 10^-3 g"),
            ("10<sup>\u22123</sup> and 10<sup>\u20133</sup>", "10^-3 and 10^-3"),
            ("-2<sup>15</sup> to 2<sup>15</sup>-1", "-2^15 to 2^15-1"),
            ("5 m<sup>2</sup>, 3 s<sup>-1</sup>", "5 m^2, 3 s^-1"),
            ("2<sup>n</sup>, 2<sup>n+1</sup>, e<sup>-x</sup>, e<sup>2πi</sup>", "2^n, 2^(n+1), e^-x, e^(2πi)"),
            ("e<sup>ix</sup>, e<sup>iπ</sup>, the<sup>ix</sup>", "e^(ix), e^(iπ), theix"),
            ("(a+b)<sup>2</sup>, A[i]<sup>n</sup>", "(a+b)^2, A[i]^n"),
            ("<i>x</i><sup><i>n</i></sup> and x<sup>1/2</sup>", "x^n and x^(1/2)"),
            ("2<sup>2<sup>n</sup></sup>", "2^(2^n)"),
            ("6 × 10 <sup>23</sup>", "6 × 10^23"),
            ("Ca<sup>2+</sup>", "Ca^2+"),
            ("10<span style='font-size:70%; vertical-align: super'>6</span>", "10^6"),
            ("10<span class=superscript>6</span>, 10<span role=superscript>7</span>", "10^6, 10^7"),
            ("costs 20.<sup>1</sup>", "costs 20.^1"),
            ("10⁶", "10⁶"),
        ],
    )
    def test_exponents(self, markup: str, text: str) -> None:
        assert line(markup) == text

    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("the 1<sup>st</sup>, 2<sup>nd</sup>, 4<sup>th</sup> and n<sup>th</sup>", "the 1st, 2nd, 4th and nth"),
            (
                "1<sup>er</sup>, 2<sup>e</sup>, XIX<sup>e</sup>, 3<sup>ème</sup>, 1<sup>o</sup>, 2<sup>a</sup>",
                "1er, 2e, XIXe, 3ème, 1o, 2a",
            ),
            ("M<sup>me</sup>, D<sup>r</sup>, n<sup>o</sup> 5, C<sup>ie</sup>", "Mme, Dr, no 5, Cie"),
            ("Lamp<sup>TM</sup>, Wick<sup>®</sup>, Oil<sup>(R)</sup>", "LampTM, Wick®, Oil(R)"),
            ("Harbour<sup>+</sup>", "Harbour+"),
            ("Premium<sup>New</sup>", "Premium New"),
            ("25<sup>o</sup>C, 30<sup>°</sup>", "25°C, 30°"),
            ("3<sup>1</sup>/<sub>2</sub> cups", "3 1/2 cups"),
            ("$19<sup>99</sup>, 19,<sup>99</sup> €, 5<sup>95</sup> kr", "$19.99, 19,99 €, 5.95 kr"),
            ("word <sup>up</sup>", "word up"),
            ("<sup></sup>a<sup> </sup>b", "a b"),
        ],
    )
    def test_what_is_no_exponent(self, markup: str, text: str) -> None:
        assert line(markup) == text

    @pytest.mark.parametrize(
        "mark",
        [
            "<sup><a href='#fn1'>1</a></sup>",
            "<a href='#fn1'><sup>1</sup></a>",
            "<sup id=cite_ref-1 class=reference><a href='#cite_note-1'>[1]</a></sup>",
            "<sup class=footnote-ref>1</sup>",
            "<sup role=doc-noteref>1</sup>",
            "<sup>[1]</sup>",
            "<sup>*</sup>",
            "<sup>†</sup>",
            "<a role=doc-noteref href='notes.html'>1</a>",
        ],
    )
    def test_marks_of_notes_are_left_out(self, mark: str) -> None:
        assert line(f"It costs 20{mark} euro.") == "It costs 20 euro."

    def test_a_note_begins_with_its_number(self) -> None:
        assert line("<sup><a href='#r1'>1</a></sup> Without oil.") == "1 Without oil."
        assert line("<sup>1</sup> Without oil.") == "1 Without oil."

    def test_in_headings_items_cells_and_terms(self) -> None:
        assert written(
            "<h2>10<sup>6</sup></h2><ol><li>10<sup>7</sup></ol><table><tr><th>m<sup>2</sup><th>b<tr><td>1<td>2<sup>15</sup>-1</table>"
            "<dl><dt>x<sup>2</sup><dd>square</dl>"
        ) == golden("""
            ## 10^6

            1. 10^7

            | m^2 | b |
            | --- | --- |
            | 1 | 2^15-1 |

            x^2

            square
        """)

    def test_code_is_as_it_is(self) -> None:
        assert written("<pre>10<sup>6</sup> <del>x</del></pre>") == "```\n106 x\n```"


class TestLowered:
    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("H<sub>2</sub>O and CO<sub>2</sub>", "H2O and CO2"),
            ("x<sub>1</sub>, x<sub>i</sub>", "x1, xi"),
            ("log<sub>2</sub>8", "log_2 8"),
            ("log<sub>2</sub> 8, lg<sub>10</sub> n", "log_2 8, lg_10 n"),
            ("catalog<sub>2</sub>", "catalog2"),
            ("1010<sub>2</sub>", "1010_2"),
            ("a<sub>n+1</sub>", "a_(n+1)"),
            ("SO<sub>4</sub><sup>2-</sup>", "SO4^2-"),
            ("10<span style='vertical-align: sub'>2</span>", "10_2"),
        ],
    )
    def test_between_digits(self, markup: str, text: str) -> None:
        assert line(markup) == text


class TestFormulas:
    @pytest.mark.parametrize(
        ("inner", "text"),
        [
            ("<msup><mi>x</mi><mn>2</mn></msup>", "x^2"),
            ("<msup><mn>10</mn><mrow><mo>\u2212</mo><mn>3</mn></mrow></msup>", "10^-3"),
            ("<msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup>", "x^(n+1)"),
            ("<msub><mi>x</mi><mn>1</mn></msub>", "x_1"),
            ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x_1^2"),
            ("<mfrac><mn>1</mn><mn>2</mn></mfrac>", "1/2"),
            ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac>", "(a+b)/c"),
            ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", "sqrt(x+1)"),
            ("<mroot><mi>x</mi><mn>3</mn></mroot>", "root(3, x)"),
            ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>", "∑_(i=1)^ni"),
            (
                "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd><mtd><mn>4</mn></mtd></mtr></mtable>",
                "1, 2; 3, 4",
            ),
            ("<mover><mi>x</mi><mo>˙</mo></mover><mo>=</mo><mn>1</mn>", "x^˙=1"),
            ("<mfrac linethickness=0><mi>n</mi><mi>k</mi></mfrac>", "binom(n, k)"),
            ("<mtable><mtr><mtd><mi>x</mi></mtd><mtd><mo>=</mo><mn>1</mn></mtd></mtr></mtable>", "x =1"),
            ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a, b)"),
            ("<semantics><mi>x</mi><annotation encoding='StarMath 5.0'>nonsense</annotation></semantics>", "x"),
        ],
    )
    def test_formulas_without_a_source(self, inner: str, text: str) -> None:
        assert line(f"So <math>{inner}</math> holds.") == f"So {text} holds."

    def test_a_formula_and_its_picture_are_one(self) -> None:
        assert (
            line(
                "So <span class=mwe-math-element><span class=mwe-math-mathml-inline><math alttext='x^2'><mi>x</mi></math></span>"
                "<img class=mwe-math-fallback-image-inline aria-hidden=true alt='x^2'></span> holds."
            )
            == "So x^2 holds."
        )


class TestReadings:
    def test_ruby_is_base_and_reading(self) -> None:
        assert line("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt><rp>)</rp></ruby>です") == "漢字(かんじ)です"
        assert line("<ruby>東京<rt></rt></ruby>") == "東京"

    def test_words_of_neighbours_do_not_run_together(self) -> None:
        assert line(
            "<kbd>Ctrl</kbd><kbd>C</kbd> <a href=x>one</a><a href=y>two</a> w<b>or</b>d <code>a</code><code>b</code>"
        ) == ("Ctrl C one two word a b")
        assert written(
            "<div>a</div><div>b</div><table><tr><td>1</td><td>2</td></tr><tr><td>3<br>4</td><td>5</td></tr></table>"
        ) == ("a\n\nb\n\n| 1 | 2 |\n| 3 4 | 5 |")
