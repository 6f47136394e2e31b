"""Tables of data, whatever stands in their cells, and pictures that stand for a word."""

from __future__ import annotations

import pytest

from tests.unit.test_extract import golden
from tests.unit.written import written

HEAD = "<thead><tr><th>Berth<th>Price</thead>"


class TestData:
    @pytest.mark.parametrize(
        ("cell", "text"),
        [
            ("<h4>Small boat</h4>", "Small boat"),
            ("<p>Small</p><p>boat</p>", "Small boat"),
            ("<div>Small</div><div>boat</div>", "Small boat"),
            ("Small<br>boat", "Small boat"),
            ("<ul><li>oars</li><li>ropes.</li><li>nets</li></ul>", "oars; ropes. nets"),
            ("Needs:<ul><li>oars<li>ropes</ul>and more", "Needs: oars; ropes; and more"),
            ("<ol type=a><li>oars<li>ropes</ol>", "a. oars; b. ropes"),
            ("<dl><dt>Oars<dd>two<dt>Ropes<dd>three</dl>", "Oars: two; Ropes: three"),
            ("<table><tr><td>Summer<td>12<tr><td>Winter<td>7</table>", "Summer 12; Winter 7"),
            ("<table><tr><th>When<th>Fee<tr><td>Winter<td>7</table>", "When Fee; Winter 7"),
            ("<table><tr><td><table><tr><td>deep<td>1</table><td>x</table>", "deep 1; x"),
            ("<blockquote>Small</blockquote><pre>boat</pre>", "Small boat"),
        ],
    )
    def test_blocks_in_cells_are_flattened(self, cell: str, text: str) -> None:
        assert written(f"<table>{HEAD}<tr><td>{cell}<td>12 euro<tr><td>South<td>9</table>") == golden(f"""
            | Berth | Price |
            | --- | --- |
            | {text} | 12 euro |
            | South | 9 |
        """)

    @pytest.mark.parametrize(
        "rows",
        [
            "<tr><th>a<th>b<tr><td><h4>1</h4><td>2",
            "<tr><td>a<td>b<tbody><tr><th><h4>1</h4><td>2",
            "<thead><tr><td>a<td>b</thead><tr><td><h4>1</h4><td>2",
            "<tr><td>a<td>b<tr><td scope=row><h4>1</h4><td>2",
            "<tr><td role=columnheader>a<td role=columnheader>b<tr><td><h4>1</h4><td>2",
        ],
    )
    def test_header_cells_make_data(self, rows: str) -> None:
        lines = written(f"<table>{rows}</table>").split("\n")
        assert [line for line in lines if "---" not in line] == ["| a | b |", "| 1 | 2 |"]

    @pytest.mark.parametrize(
        "markup",
        [
            "<table><tr><td><h2>One</h2><td>two<tr><td>three<td>four</table>",
            "<table role=presentation><tr><th>One<th>two<tr><td>three<td>four</table>",
            "<table><tr><td>One<td><table><tr><td>two</table><tr><td>three<td>four</table>",
        ],
    )
    def test_layout_still_comes_apart(self, markup: str) -> None:
        assert written(markup).removeprefix("## ").split("\n\n") == ["One", "two", "three", "four"]

    def test_tables_by_role(self) -> None:
        assert written(
            "<div role=table><div role=rowgroup><div role=row><span role=columnheader>Boat</span>"
            "<span role=columnheader>Fee</span></div></div><div role=rowgroup><div role=row><span role=cell>Raft</span>"
            "<span role=cell><p>35</p></span></div></div></div>"
            "<div role=grid><div role=row><div role=rowheader>Ark</div><div role=gridcell>90</div></div></div>"
        ) == golden("""
            | Boat | Fee |
            | --- | --- |
            | Raft | 35 |

            | Ark | 90 |
        """)

    def test_javadoc_summaries(self) -> None:
        assert (
            written(
                "<div class='summary-table two-column-summary'><div class='table-header col-first'>Class</div>"
                "<div class='table-header col-last'>Description</div><div class='col-first even-row-color'><a>Boat</a></div>"
                "<div class='col-last even-row-color'><div class=block>Floats.</div></div>"
                "<div class='col-first odd-row-color'>Raft</div><div class='col-last odd-row-color'></div></div>"
            )
            == "| Class | Description |\n| --- | --- |\n| Boat | Floats. |\n| Raft |  |"
        )

    def test_titles_groups_and_feet(self) -> None:
        assert written(
            "<table><caption>Fees <s>2023</s> 2024</caption><tr><th colspan=2>All in euro<tr><th>Boat<th>Fee"
            "<tfoot><tr><td>Sum<td>125</tfoot><tbody><tr><th colspan=2>Small<tr><td>Raft<td>35"
            "<tbody><tr><th colspan=2>Large<tr><td>Ark<td>90</table>"
        ) == golden("""
            Fees ~~2023~~ 2024

            All in euro

            | Boat | Fee |
            | --- | --- |
            | Small |  |
            | Raft | 35 |
            | Large |  |
            | Ark | 90 |
            | Sum | 125 |
        """)

    def test_a_blank_header_row_makes_no_row_of_data_a_header(self) -> None:
        assert written("<table><tr><th><th><tr><td>Raft<td>35<tr><td>Ark<td>90</table>") == "| Raft | 35 |\n| Ark | 90 |"

    def test_long_cells_are_read_under_their_columns_names(self) -> None:
        long = "<p>" + "All about ropes. " * 100 + "</p><p>" + "And about oars. " * 50 + "</p>"
        text = written(f"<table><tr><th>Name<th>Story<tr><td>Ropes<td>{long}<tr><td>Nets<td>none</table>")
        assert text.startswith("Name: Ropes\n\nStory: All about ropes.")
        assert text.endswith("Name: Nets\n\nStory: none")

    def test_signatures_that_doxygen_sets_as_tables(self) -> None:
        assert (
            written(
                "<table class=memname><tr><td class=memname>int haul</td><td>(</td><td class=paramtype>int&#160;</td>"
                "<td class=paramname><em>x</em>, </td></tr><tr><td><td><td>char&#160;<td>y<tr><td><td>)<td></table>"
            )
            == "int haul ( int x, char y )"
        )


class TestPictures:
    @pytest.mark.parametrize(
        ("cell", "text"),
        [
            ("<img src=no.png alt=No>", "No"),
            ("<img src=no.png title=No>", "No"),
            ("<a href=x><img alt=No></a>", "No"),
            ("<svg role=img aria-label=No><path/></svg>", "No"),
            ("<svg><title>No</title><path/></svg>", "No"),
            ("<svg><use href='#icon-check'></use></svg>", "✓"),
            ("<i class=icon aria-label=No></i>", "No"),
            ("<span class=icon title=No></span>", "No"),
            ("<span role=img aria-label=No></span>", "No"),
            ("<i class=icon-no aria-hidden=true></i><span class=sr-only>No</span>", "No"),
            ("<span class=visually-hidden>No</span>", "No"),
            ("<span style='position:absolute; clip: rect(0,0,0,0)'>No</span>", "No"),
            ("<img alt=''><span class=screen-reader-text>No</span>", "No"),
            ("<button aria-label=No><svg></svg></button>", "No"),
            ("<i class='fa fa-check'></i>", "✓"),
            ("<i class='fa-solid fa-xmark'></i>", "✗"),
            ("<input type=checkbox checked disabled>", "[x]"),
            ("<input type=checkbox disabled>", "[ ]"),
            ("<img alt=Red><img alt=Blue>", "Red Blue"),
            ("<p><img alt=No><sup><a href='#n1'>1</a></sup></p>", "No"),
            ("<img alt='check.png'>", ""),
            ("yes <img alt=No>", "yes"),
            ("yes<span class=sr-only> (of two)</span>", "yes"),
        ],
    )
    def test_in_cells(self, cell: str, text: str) -> None:
        assert written(f"<table><tr><th>F<th>Pro<tr><td>Crane<td>{cell}</table>").endswith(f"| Crane | {text} |")

    def test_cells_that_are_labelled_themselves(self) -> None:
        assert written("<table><tr><th>F<th>Pro<tr><td>Crane<td title=No><tr><td>Ice<td aria-label=Yes></table>").endswith(
            "| Crane | No |\n| Ice | Yes |"
        )

    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("<ul><li><img alt=Sunny><li>rain <img alt=Cloud></ul>", "- Sunny\n- rain"),
            ("<ul><li><a href=x><img alt=Crane></a></ul>", "- Crane"),
            ("<h2><img alt='Harbour news'></h2>", "## Harbour news"),
            ("<h2><a href=/><svg aria-label='Harbour news'></svg></a></h2>", "## Harbour news"),
            ("<dl><dt><img alt=Crane><dd>lifts</dl>", "Crane\n\nlifts"),
            ("<p>Press <a href=x><img alt=Save></a> now.</p>", "Press Save now."),
            ("<p>Press <button aria-controls=x><img alt=Save></button> now.</p>", "Press Save now."),
            ("<p>Well <img class=emoji alt='😀'> done</p>", "Well 😀 done"),
            ("<p>Text</p><a href=x><img alt=Advert></a>", "Text"),
            ("<ul><li><a href=x aria-label='Share this'><svg></svg></a><li><button aria-label=Print></button></ul>", ""),
            ("<p><span class=sr-only>Unseen</span>Seen</p>", "Seen"),
        ],
    )
    def test_elsewhere(self, markup: str, text: str) -> None:
        assert written(markup) == text
