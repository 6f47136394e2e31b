"""Tabs and accordions: what a click would show, with its label over it."""

from __future__ import annotations

import time

import pytest

from tests.unit.test_extract import FILLER, FILLER_TEXT, read

MANY = 4_000


def shown(markup: str) -> str:
    text = read(f"<body><div>{FILLER}{markup}{FILLER}</div></body>").page.text
    assert text.startswith(FILLER_TEXT)
    assert text.endswith(FILLER_TEXT)
    return text.removeprefix(FILLER_TEXT).removesuffix(FILLER_TEXT).strip()


@pytest.mark.parametrize(
    "markup",
    [
        "<div role=tablist><a role=tab href='#a'>Unix</a><a role=tab href='#b'>Windows</a></div>"
        "<div id=a>Use sh.</div><div id=b hidden>Use cmd.</div>",
        "<div role=tablist><b role=tab aria-controls=b>Windows</b><b role=tab aria-controls=a>Unix</b></div>"
        "<div id=a role=tabpanel>Use sh.</div><div id=b role=tabpanel hidden>Use cmd.</div>",
        "<div><div><div role=tablist><b role=tab>Unix</b><b role=tab>Windows</b></div></div>"
        "<div role=tabpanel>Use sh.</div><div role=tabpanel>Use cmd.</div></div>",
        "<div class=tabbed-labels><label>Unix</label><label>Windows</label></div>"
        "<div><div class=tabbed-block>Use sh.</div><div class=tabbed-block>Use cmd.</div></div>",
    ],
)
def test_each_panel_has_the_label_of_its_tab(markup: str) -> None:
    assert shown(markup) == "Unix\n\nUse sh.\n\nWindows\n\nUse cmd."


@pytest.mark.parametrize(
    "markup",
    [
        "<div role=tablist><div role=tab><h4><a data-toggle=collapse href='#a'>Why?</a></h4></div>"
        "<div id=a class=collapse role=tabpanel>Because.</div>"
        "<div role=tab><h4><a data-toggle=collapse href='#b'>How?</a></h4></div>"
        "<div id=b class=collapse role=tabpanel>So.</div></div>",
        "<div role=tablist><div role=tablist><h4 role=tab aria-controls=a>Why?</h4><div id=a role=tabpanel>Because.</div>"
        "<h4 role=tab aria-controls=b>How?</h4><div id=b role=tabpanel hidden>So.</div></div></div>",
        "<div role=tablist><h4 role=tab aria-controls=a>Why?</h4><div id=a>Because.</div>"
        "<h4 role=tab aria-controls=b>How?</h4><div id=b hidden>So.</div></div>",
    ],
)
def test_an_accordion_that_is_called_a_tablist_is_no_row_of_tabs(markup: str) -> None:
    assert [line.lstrip("# ") for line in shown(markup).split("\n\n")] == ["Why?", "Because.", "How?", "So."]


def test_a_label_that_leads_its_panel_is_not_written_twice() -> None:
    panels = "<div role=tabpanel><h4>Unix\nshell</h4>Use sh.</div>"
    assert shown(f"<div role=tablist><b role=tab>Unix <i>shell</i></b></div>{panels}") == "#### Unix shell\n\nUse sh."


@pytest.mark.parametrize(
    "markup",
    [
        "".join(f"<div role=tablist><b role=tab aria-controls=p{i}>t</b></div><div id=p{i}>a</div>" for i in range(MANY)),
        "<div role=tablist><b role=tab>t</b></div><div role=tabpanel>a</div>" * MANY,
        "<div role=tablist><b role=tab>t</b></div>" * MANY,
        "<div role=tablist><b role=tab aria-controls=p>t</b></div>" * MANY + "<div id=p>" + "<b>a</b> " * MANY + "</div>",
        "<div role=tablist>" * 390 + "<b role=tab>t</b>" * MANY,
    ],
    ids=["named", "unnamed", "without panels", "one panel", "within each other"],
)
def test_many_rows_of_tabs_take_time_linear_in_their_number(markup: str) -> None:
    begun = time.process_time()
    read(f"<body>{FILLER}{markup}</body>")
    assert time.process_time() - begun < 6  # what is quadratic takes a minute


class TestAccordions:
    @pytest.mark.parametrize(
        "markup",
        [
            "<div class=faq-item><button class=faq-question>Question</button><div class=faq-answer hidden>Answer.</div></div>",
            "<button class=accordion type=button>Question</button><div class=panel style='display:none'><p>Answer.</p></div>",
            "<button type=button><span>Question</span></button><div x-show=open style='display: none'>Answer.</div>",
            "<div><div><button class=kt-blocks-accordion-header><span>Question</span><i class=icon></i></button></div>"
            "<div class=kt-accordion-panel>Answer.</div></div>",
        ],
    )
    def test_whose_buttons_only_their_names_give_away(self, markup: str) -> None:
        assert shown(markup) == "Question\n\nAnswer."

    @pytest.mark.parametrize(
        "markup",
        [
            "<form><p>Answer.</p><button class=question type=submit>Ask</button><div>Answer.</div></form>",
            "<div>Answer.<button class=question>Ask</button></div>",
            "<p>Answer.</p><button data-bs-toggle=offcanvas aria-controls=x>Ask</button><div id=x>Answer.</div>",
            "<p>Answer.</p><button>Ask</button><div x-show=open class='absolute right-0' style='display:none'>Ask us.</div>",
            "<p>Answer.</p><button class=ask>Ask</button><div>Answer.</div>",
            "<p>Answer.</p><div><button class=question>Ask</button></div><div><img src=x></div>",
        ],
    )
    def test_other_buttons_are_no_text(self, markup: str) -> None:
        assert "Ask" not in shown(markup)

    def test_parts_that_only_their_holder_names(self) -> None:
        part = "<div class=content style='display:none'><p>Answer.</p></div>"
        assert shown(f"<div class='ui accordion'><div class=title>Question</div>{part}</div>") == "Question\n\nAnswer."
        assert shown(f"<div class=box><div class=title>Question</div>{part}</div>") == "Question"
        assert shown(f"<div class='ui accordion'>{part}</div>") == ""  # nothing that would open it

    def test_the_sign_of_a_control_is_no_text(self) -> None:
        sign = "<span class=my-accordion-icon aria-hidden=true>+</span>"
        assert shown(
            f"<h3><button aria-expanded=false aria-controls=a>Question{sign}</button></h3><div id=a hidden>Answer.</div>"
        ) == ("### Question\n\nAnswer.")
        assert shown(f"<details><summary>Question{sign}</summary>Answer.</details>") == "Question\n\nAnswer."
