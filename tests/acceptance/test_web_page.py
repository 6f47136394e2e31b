"""The web page as people use it: a real browser, a real service, a real site; by mouse, by keyboard alone, on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.acceptance.mortal import MortalService
from tests.acceptance.scripted_model import ScriptedModel
from tests.acceptance.sites import Served, serve
from tests.acceptance.web_browser import CHROMIUM, Visit, visiting
from tests.unit.evaluations import evaluation

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
    pytest.mark.timeout(300),
]

TOWER = "The lighthouse of Farewell Point is 61 metres tall and was finished in 1889."
QUESTION = "How tall is the lighthouse of Farewell Point?"
LAMP = "🗼 The lamp of the lighthouse turns once in twelve seconds."  # beyond the basic plane: spans count code points
PAGES = {
    "index.html": (
        "Farewell Point",
        f"<p>{LAMP}</p><p>{TOWER}</p><p><a href=keeper.html>Keeper</a> <a href=boats.html>Boats</a></p>",
    ),
    "keeper.html": (
        "The keeper",
        "<p>The last keeper, Ada Brandt, left the lighthouse in 1974, when the lamp became electric.</p>",
    ),
    "boats.html": (
        "Boats",
        "<p>Boats to the island leave at nine in the morning, except when the wind is above force seven.</p>",
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("site")
    for name, (title, body) in PAGES.items():
        (root / name).write_text(f"<!doctype html><meta charset=utf-8><title>{title}</title><main><h1>{title}</h1>{body}</main>")
    with serve(root) as served:
        yield served


@pytest.fixture
def stocked(service_with_model: MortalService, site: Served) -> MortalService:
    """The service with the site's pages on it, whatever an earlier test left."""
    job = service_with_model.post("/v1/ingest", {"urls": [site.url + name for name in PAGES]})["job_id"]
    assert service_with_model.wait_for_job(job, timeout_s=120)["urls"]["failed"] == 0
    return service_with_model


def ask(visit: Visit, question: str) -> Locator:
    """Ask, wait for the answer, and give its article."""
    turns = visit.page.locator(".turn")
    number = turns.count()
    visit.page.get_by_label("Your question").fill(question)
    visit.page.get_by_label("Your question").press("Enter")
    turn = turns.nth(number)
    turn.locator(".state").wait_for()
    return turn


def test_from_the_first_page_to_a_cited_answer_and_away_again(
    visit: Visit, service_with_model: MortalService, site: Served, model: ScriptedModel
) -> None:
    page = visit.page
    visit.open()
    page.get_by_role("link", name="Add a page, a sitemap or a site").click()

    # a dry run, then the crawl, watched to its end
    page.get_by_label("Addresses, one a line").fill(f"{site.url}index.html")
    page.get_by_role("radio", name="A whole site").check()
    page.get_by_role("button", name="Preview", exact=True).click()
    preview = page.locator(".preview")
    expect(preview).to_contain_text("3 pages would be asked for")
    assert service_with_model.get("/v1/pages")["pages"] == []
    preview.get_by_role("button", name="Start").click()
    job = page.locator(".job").first
    job.locator("summary", has_text="Each address").click()
    expect(job.locator(".job-state")).to_have_text("Done")
    expect(job.locator(".tally")).to_contain_text("3 indexed")
    expect(job.locator("tbody tr")).to_have_count(3)
    expect(job.get_by_role("link", name="indexed")).to_have_count(3)
    source = page.locator(".source").first
    expect(source).to_contain_text("3 pages · last run succeeded")

    its_pages = source.get_by_role("link", name="Pages").get_attribute("href")
    assert its_pages == f"#/pages?collection=default&prefix={quote(site.url, safe='')}"

    # a question: first a draft, said to be one, then what held of it
    page.get_by_role("link", name="Ask", exact=True).click()
    model.text = f"{TOWER} It is haunted by a green dragon."
    model.gate.clear()
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    turn = page.locator(".turn")
    expect(turn.locator(".drafting")).to_contain_text("not checked yet")
    expect(turn.locator(".draft")).to_have_text("The")
    model.gate.set()
    expect(turn.locator(".state")).to_contain_text("Grounded")
    expect(turn.locator(".draft")).to_have_count(0)
    expect(turn.locator(".says")).to_contain_text("61 metres")
    expect(turn).not_to_contain_text("dragon")

    # its footnote: the quote in its context, and the two ways to it
    marker = turn.get_by_role("button", name="Footnote 1")
    marker.click()
    note = turn.locator(".note")
    expect(note.locator("mark")).to_have_text(TOWER)
    expect(note.locator(".context").first).to_contain_text("The lamp of the lighthouse turns")
    expect(turn.locator(".notes q")).to_have_text(TOWER)
    original = note.get_by_role("link", name="Open the page at this sentence")
    assert str(original.get_attribute("href")).startswith(f"{site.url}index.html#:~:text=The%20lighthouse")
    assert {"noopener", "noreferrer"} <= set(str(original.get_attribute("rel")).split())
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(marker).to_be_focused()

    # our own copy, with what was cited marked, after an emoji, too
    turn.get_by_role("link", name="Stored text").click()
    expect(page.locator(".stored mark")).to_have_text(TOWER)
    expect(page.locator(".stored")).to_contain_text(LAMP)
    stored = service_with_model.get("/v1/pages")["pages"]
    expect(page.locator(".facts")).to_contain_text(next(p["content_hash"] for p in stored if "index" in p["url"]))
    page.get_by_text("History").click()
    expect(page.locator(".history tbody tr")).to_have_count(2)  # the dry run, and the crawl

    # back: the conversation is still there, and tells why
    page.get_by_role("link", name="Ask", exact=True).click()
    turn.get_by_role("link", name="Why these results?").click()
    expect(page.locator(".waterfall .bar").first).to_be_visible()
    expect(page.locator(".ranks circle").first).to_be_visible()
    expect(page.locator(".hits > li").first).to_contain_text("Vectors")

    # and away: one page, then the source with the others
    page.get_by_role("link", name="Pages", exact=True).click()
    page.locator(".page-list").get_by_role("link", name="Boats").click()
    page.get_by_role("button", name="Delete this page").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".page-list li")).to_have_count(2)
    page.get_by_role("link", name="Sources", exact=True).click()
    source.get_by_role("combobox", name="Repeat").select_option("every day")
    expect(source).to_contain_text("every day, next")
    source.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("checkbox").check()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing yet.")).to_be_visible()
    assert service_with_model.get("/v1/pages")["pages"] == []
    page.get_by_role("link", name="Ask", exact=True).click()
    expect(ask(visit, QUESTION).locator(".state")).to_contain_text("Not answered")


def test_quotes_are_said_once_and_their_surroundings_keep_their_lines(
    visit: Visit, stocked: MortalService, model: ScriptedModel
) -> None:
    model.text = "Penguins fly."
    visit.open()
    turn = ask(visit, QUESTION)
    expect(turn.locator(".state")).to_contain_text("Quoted")
    expect(turn.locator(".quotation bdi").first).to_have_text(f"“{TOWER}”")
    expect(turn.locator(".notes li").first).to_contain_text("Farewell Point")
    expect(turn.locator(".notes q")).to_have_count(0)
    turn.get_by_role("button", name="Footnote 1").click()
    expect(turn.locator(".note blockquote")).to_have_css("white-space", "pre-wrap")  # code is indented
    note, article = turn.locator(".note").bounding_box(), turn.bounding_box()
    assert note is not None
    assert article is not None
    assert article["x"] <= note["x"]
    assert note["x"] + note["width"] <= article["x"] + article["width"]


def test_a_job_is_paused_resumed_and_cancelled(visit: Visit, site: Served) -> None:
    page = visit.page
    visit.open("#/sources")
    site.gate.clear()
    try:
        page.get_by_label("Addresses, one a line").fill("\n".join(site.url + name for name in PAGES))
        page.get_by_role("button", name="Start without a preview").click()
        job = page.locator(".job").first
        job.get_by_role("button", name="Pause").click()
        expect(job.locator(".job-state")).to_have_text("Paused")
        job.get_by_role("button", name="Resume").click()
        expect(job.get_by_role("button", name="Pause")).to_be_visible()
        job.get_by_role("button", name="Cancel").click()
        expect(job.locator(".job-state")).to_have_text("Cancelled")
    finally:
        site.gate.set()
    expect(job.get_by_role("button")).to_have_count(0)
    page.locator(".source").first.get_by_role("button", name="Run again").click()
    expect(page.locator(".job-state").first).to_have_text("Done")


def test_what_fails_is_told_with_its_reason_and_can_be_tried_again(visit: Visit, site: Served) -> None:
    page = visit.page
    visit.open("#/sources")
    page.get_by_label("Addresses, one a line").fill(f"{site.url}missing.html")
    page.get_by_role("button", name="Start without a preview").click()
    job = page.locator(".job").first
    expect(job.locator(".tally")).to_contain_text("1 failed")
    job.locator("summary", has_text="Each address").click()
    expect(job.locator("tbody")).to_contain_text("404")
    job.get_by_role("button", name="Retry failures (1)").click()
    expect(job.locator(".tally")).to_contain_text("1 failed")
    page.get_by_label("Addresses, one a line").fill("not an address")
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("absolute http or https URL")


def test_a_link_fills_the_question_in_and_asks_nothing(visit: Visit) -> None:
    visit.open("?q=How%20tall%3F%3Cimg%20src%3Dx%20onerror%3Dpwned()%3E")
    expect(visit.page.get_by_label("Your question")).to_have_value("How tall?<img src=x onerror=pwned()>")
    assert visit.posted("/v1/ask") == []


def test_an_answer_is_stopped_and_asked_again(visit: Visit, stocked: MortalService, model: ScriptedModel) -> None:
    visit.open()
    model.text = TOWER
    model.gate.clear()
    visit.page.get_by_label("Your question").fill(QUESTION)
    visit.page.get_by_label("Your question").press("Enter")
    expect(visit.page.locator(".draft")).to_have_text("The")
    visit.page.get_by_role("button", name="Stop").click()
    expect(visit.page.locator(".turn")).to_contain_text("Stopped")
    model.gate.set()
    visit.page.get_by_role("button", name="Ask again").click()
    expect(visit.page.locator(".turn .state")).to_contain_text("Grounded")


def test_a_follow_up_brings_the_conversation_and_a_reload_keeps_it(
    visit: Visit, stocked: MortalService, model: ScriptedModel
) -> None:
    visit.open()
    model.text = TOWER
    ask(visit, QUESTION)
    turn = ask(visit, "When was it finished?")
    assert [body["history"] for body in visit.posted("/v1/ask")] == [[], [QUESTION]]
    expect(turn).to_contain_text("Understood as: When was it finished? (")
    visit.page.reload()
    expect(visit.page.locator(".turn")).to_have_count(2)
    visit.page.locator(".turn").first.get_by_role("button", name="Footnote 1").click()
    expect(visit.page.locator(".note mark").first).to_have_text(TOWER)
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="New conversation").click()
    visit.page.reload()
    expect(visit.page.locator(".turn")).to_have_count(0)


def test_an_answer_is_copied_with_its_footnotes(browser: Browser, stocked: MortalService, model: ScriptedModel) -> None:
    model.text = TOWER
    with visiting(browser, stocked.url, permissions=["clipboard-read", "clipboard-write"]) as visit:
        visit.open()
        ask(visit, QUESTION).get_by_role("button", name="Copy with footnotes").click()
        expect(visit.page.get_by_text("Copied, with its footnotes")).to_be_visible()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert re.search(
        rf"{re.escape(TOWER)} \[1\]\n\n\[1\] Farewell Point — http://\S+#:~:text=\S+\n    “{re.escape(TOWER)}”", copied
    )


def test_a_page_that_has_changed_says_what_can_no_longer_be_marked(visit: Visit, stocked: MortalService) -> None:
    page = next(p for p in stocked.get("/v1/pages")["pages"] if p["title"] == "Boats")
    visit.open(f"#/pages/{page['id']}?cite=3-9&hash={'0' * 64}")
    expect(visit.page.get_by_text("The page has changed since it was cited")).to_be_visible()
    expect(visit.page.locator(".stored mark")).to_have_count(0)


def test_by_keyboard_alone(visit: Visit, stocked: MortalService, model: ScriptedModel) -> None:
    page, press = visit.page, visit.page.keyboard.press
    model.text = TOWER
    visit.open()
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(QUESTION)
    press("Enter")
    page.locator(".turn .state").wait_for()
    expect(page.get_by_label("Your question")).to_be_focused()
    marker, note = page.get_by_role("button", name="Footnote 1"), page.locator(".note")
    for _ in range(12):
        press("Shift+Tab")
        if marker.evaluate("marker => marker === document.activeElement"):
            break
    expect(note).to_be_visible()  # coming to the marker is enough to see its quote
    press("Enter")
    expect(note.get_by_role("link", name="Open the page")).to_be_focused()
    press("Tab")
    expect(note.get_by_role("link", name="Stored text")).to_be_focused()
    press("Escape")
    expect(note).to_be_hidden()
    expect(marker).to_be_focused()

    # from the top: past the head of the page, or through it
    visit.open("#/sources")
    page.reload()
    page.locator(".adding").wait_for()
    press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(page.locator("main")).to_be_focused()
    press("Tab")
    expect(page.get_by_label("Addresses, one a line")).to_be_focused()
    page.locator("#views").get_by_role("link", name="Pages").focus()
    press("Enter")
    expect(page.locator("h1")).to_be_focused()
    expect(page.locator("h1")).to_have_text("Pages")
    page.locator(".page-list a").first.focus()
    press("Enter")
    page.get_by_role("button", name="Delete this page").focus()
    press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete this page")).to_be_focused()


def test_a_page_is_found_by_a_pasted_address(browser: Browser, stocked: MortalService) -> None:
    page = next(p for p in stocked.get("/v1/pages")["pages"] if p["title"] == "Boats")
    with visiting(browser, stocked.url) as visit:
        visit.open("#/pages")
        box = visit.page.get_by_label("Address, or what addresses begin with")
        for pasted in (
            f"{page['url']}#:~:text=boats,-sea",
            page["url"].removeprefix("http://"),
            page["url"].upper()[:12] + page["url"][12:],
        ):
            box.fill(pasted)
            visit.page.get_by_role("button", name="Show", exact=True).click()
            expect(visit.page.locator(".page-list li")).to_have_count(1)
            expect(visit.page.locator(".page-list").get_by_role("link", name="Boats")).to_be_visible()


def test_on_a_phone(browser: Browser, stocked: MortalService, model: ScriptedModel) -> None:
    model.text = TOWER
    pages = stocked.get("/v1/pages")["pages"]
    with visiting(browser, stocked.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as visit:
        visit.open()
        visit.check_fits()
        turn = ask(visit, QUESTION)
        turn.get_by_role("button", name="Footnote 1").tap()
        note = turn.locator(".note")
        expect(note.locator("mark")).to_have_text(TOWER)
        box = note.bounding_box()
        assert box is not None
        assert (box["x"] >= 0, box["x"] + box["width"] <= 360, box["y"] + box["height"] <= 740) == (True, True, True)
        visit.page.keyboard.press("Escape")
        visit.check_fits()
        for view in ("#/sources", "#/pages", f"#/pages/{pages[0]['id']}", "#/inspect?q=lighthouse"):
            visit.open(view)
            visit.page.locator(".source, .page-list li, .stored, .hits").first.wait_for()
            visit.check_fits()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible(browser: Browser, stocked: MortalService, model: ScriptedModel, scheme: str) -> None:
    """As far as axe-core can tell (WCAG 2.2 AA and its best practices)."""
    model.text = TOWER
    page_id = stocked.get("/v1/pages")["pages"][0]["id"]
    with visiting(browser, stocked.url, color_scheme=scheme, reduced_motion="reduce") as visit:
        page = visit.page
        visit.open()
        visit.check_accessible()
        turn = ask(visit, QUESTION)
        turn.locator("summary", has_text="Took").click()
        turn.get_by_role("button", name="Footnote 1").click()
        visit.check_accessible()
        page.keyboard.press("Escape")
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        visit.open("#/sources")
        page.locator(".source summary", has_text="Last run").first.click()
        page.locator(".source .job summary", has_text="Each address").first.click()
        page.locator(".source .outcomes tbody tr").first.wait_for()
        page.locator(".adding summary").click()
        visit.check_accessible()
        page.locator(".source").first.get_by_role("button", name="Delete").click()
        visit.check_accessible()
        page.keyboard.press("Escape")
        for view, ready in (
            ("#/pages", ".page-list li"),
            (f"#/pages/{page_id}?cite=2-9", ".stored mark"),
            ("#/inspect?q=boats", ".hits"),
        ):
            visit.open(view)
            page.locator(ready).first.wait_for()
            visit.check_accessible()


def test_an_answer_is_judged_and_its_wrong_footnote_named(visit: Visit, stocked: MortalService, model: ScriptedModel) -> None:
    page = visit.page
    model.text = TOWER
    visit.open()
    turn = ask(visit, QUESTION)
    expect(turn.locator(".state")).to_contain_text(re.compile(r"Confidence \d+%\."))
    turn.get_by_role("button", name="Footnote 1").click()
    turn.get_by_role("button", name="This footnote is wrong").click()
    expect(turn.locator(".note")).to_be_hidden()
    expect(turn.get_by_role("checkbox", name="Footnote 1")).to_be_checked()
    expect(turn.get_by_role("checkbox", name="Footnote 1")).to_be_focused()
    visit.check_accessible()
    turn.get_by_label("Anything else?").fill("It is another lighthouse.")
    assert visit.posted("/v1/feedback") == []
    with page.expect_response("**/v1/feedback") as sent:
        turn.get_by_role("button", name="Send").click()
    assert sent.value.status == 201
    expect(turn.locator(".judging")).to_have_text("Thank you.")
    [kept] = stocked.get("/v1/feedback")["feedback"]
    assert (kept["question"], kept["helpful"], kept["comment"]) == (QUESTION, False, "It is another lighthouse.")
    assert [(one["number"], one["wrong"], one["quote"]) for one in kept["citations"]] == [(1, True, TOWER)]
    assert kept["request_id"]
    second = ask(visit, "Who left the lighthouse in 1974?")
    second.get_by_role("button", name="Yes").click()
    expect(second.locator(".judging")).to_have_text("Thank you.")
    assert [one["helpful"] for one in stocked.get("/v1/feedback")["feedback"]] == [True, False]


def test_evaluations_are_shown_with_their_plots(browser: Browser, stocked: MortalService) -> None:
    folder = stocked.data_dir / "evaluations"
    folder.mkdir()
    body = evaluation(hostile="")
    (folder / "one.json").write_text(json.dumps(body))
    (folder / "odd.json").write_text(json.dumps({"evaluation": "answers", "sets": [{"name": "of another release"}]}))
    try:
        for width in (1280, 360):
            with visiting(browser, stocked.url, viewport={"width": width, "height": 800}) as visit:
                visit.open("#/evaluations")
                expect(visit.page.locator("main tbody tr")).to_have_count(2)
                visit.page.locator("main tbody a", has_text=re.compile("20")).first.click()
                plot = visit.page.locator(".plot")
                expect(plot.locator(".point.default")).to_contain_text("maxsim")
                default = body["sets"][0]["configurations"][1]["measures"]["ndcg@10"]["mean"]
                expect(visit.page.locator("main table").first).to_contain_text(f"{default:.3f}")
                visit.check_accessible()
                visit.check_fits()
                visit.open("#/evaluations/odd")
                expect(visit.page.locator("main")).to_contain_text("made by another release")
                visit.open("#/evaluations/none-such")
                expect(visit.page.get_by_role("alert")).to_contain_text("There is no evaluation")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_a_service_that_wants_a_key_is_given_one(browser: Browser, stocked: MortalService) -> None:
    key = stocked.post("/v1/keys", {"name": "browser", "scopes": ["query"]})["key"]
    admin = stocked.post("/v1/keys", {"name": "admin", "scopes": ["admin"]})["key"]
    # What comes through a proxy comes from elsewhere, and needs a key.
    with visiting(browser, stocked.url, extra_http_headers={"X-Forwarded-For": "203.0.113.9"}) as visit:
        dialog = visit.page.get_by_role("dialog")
        visit.open("#/sources")  # several requests are refused at once
        dialog.get_by_label("API key").fill("fn_wrong")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog).to_contain_text("wrong, has expired or was revoked")
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button", name="Sign in").click()
        expect(visit.page.locator(".lack")).to_contain_text("scope ingest")  # which this key hasn't
        expect(dialog).to_have_count(0)
        expect(visit.page.get_by_role("alert")).to_have_count(0)
        expect(visit.page.get_by_label("Addresses, one a line")).to_have_count(0)  # nothing is offered that would be refused
        visit.open("#/evaluations")
        expect(visit.page.locator(".lack")).to_contain_text("scope admin")
        visit.page.get_by_role("button", name="Use another key").click()
        dialog.get_by_label("API key").fill(admin)
        dialog.get_by_role("button", name="Sign in").click()
        expect(visit.page.locator("main")).to_contain_text("None yet")
        visit.open("#/pages")
        expect(visit.page.locator(".page-list li")).to_have_count(len(PAGES))
        assert key not in visit.page.evaluate("Object.values(localStorage).join()")


def test_a_service_that_is_gone_is_said_to_be(visit: Visit) -> None:
    visit.open("#/pages")
    visit.page.route("**/v1/**", lambda route: route.abort())
    visit.page.get_by_role("button", name="Show").click()
    expect(visit.page.get_by_role("alert")).to_contain_text("can't be reached")
