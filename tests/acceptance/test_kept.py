"""What was kept of pages and what was left out, as people see it: on the command line and on the web page."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.mortal import MortalService
from tests.acceptance.sites import Served, serve
from tests.acceptance.web_browser import CHROMIUM, Visit, visiting

pytestmark = pytest.mark.timeout(300)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")

SYLLABLES = ("lo", "ka", "mi", "su", "ten", "rem", "do", "pan")
OFFER = "Buy two lighthouses and pay for one"


def words(seed: str, count: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(SYLLABLES, k=3)) for _ in range(count)) + "."


def lighthouse(text: int, offer: int) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lighthouse</title><body>"
        "<nav><a href=a.html>Home of lights</a> <a href=b.html>Manuals</a></nav>"
        f"<main><h1>Lighthouse 🗼</h1><p class=text>{words('text', text)}</p>"
        f"<section><p>{OFFER} {words('offer', offer)}</p></section>"
        "<p class=text>The lamp burns whale oil.</p></main></body></html>"
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("site")
    (root / "page.html").write_text(lighthouse(120, 60))
    (root / "poor.html").write_text(lighthouse(60, 200))
    menu = " ".join(f"<a href={n}.html>entry{n}</a>" for n in range(120))
    (root / "menu.html").write_text(lighthouse(120, 60).replace("</nav>", f"{menu}</nav>"))
    with serve(root) as served:
        yield served


@pytest.fixture(scope="module")
def stocked(service_with_model: MortalService, site: Served) -> MortalService:
    """With a page of which little was kept, as its source's selectors see to."""
    body = {"urls": [f"{site.url}poor.html"], "keep": ["h1", ".text"]}
    job = service_with_model.post("/v1/ingest", body)["job_id"]
    assert service_with_model.wait_for_job(job, timeout_s=120)["urls"]["indexed"] == 1
    return service_with_model


def run(service: MortalService, *args: str, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
    command = [sys.executable, "-m", "footnote", *args, "--url", service.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_page_is_explained_without_being_indexed(stocked: MortalService, site: Served) -> None:
    url = f"{site.url}page.html"

    plain = run(stocked, "ingest", url, "--explain", "--drop", "section")
    assert "selectors to drop: section" in plain
    dropped = next(line for line in plain.splitlines() if OFFER in line)
    assert dropped.startswith("- ")
    assert plain.index(words("text", 120)) < plain.index(OFFER) < plain.index("The lamp burns whale oil.")

    explained = json.loads(run(stocked, "ingest", url, "--explain", "--keep", "h1", "--json"))
    assert explained["text"] == "# Lighthouse 🗼"
    assert explained["keep"] == ["h1"]
    assert words("text", 120) in " ".join(part["text"] for part in explained["coverage"]["left_out"])
    assert [page["url"] for page in stocked.get("/v1/pages")["pages"]] == [f"{site.url}poor.html"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["URL", "--explain", "--keep", "main >"], 'The CSS selector "main >" can\'t be read'),
        (["URL", "URL", "--explain"], "--explain takes one URL"),
        (["URL", "--explain", "--crawl"], "--explain takes one URL"),
        (["URL", "--drop", "::before"], 'The CSS selector "::before" can\'t be read'),
        (["MISSING", "--explain"], "HTTP 404"),
    ],
)
def test_what_cannot_be_explained_is_said(stocked: MortalService, site: Served, args: list[str], said: str) -> None:
    urls = {"URL": f"{site.url}page.html", "MISSING": f"{site.url}missing.html"}
    told = run(stocked, "ingest", *(urls.get(arg, arg) for arg in args), code=2)
    assert said in " ".join(told.replace("│", " ").split())


def test_the_log_the_page_and_the_job_say_how_much_was_kept(stocked: MortalService, site: Served) -> None:
    url = f"{site.url}poor.html"
    log = run(stocked, "pages", "log", url)
    assert "kept " in log
    assert f"“{OFFER}" in log
    shown = run(stocked, "pages", "show", url)
    assert "Note: only " in shown
    job = run(stocked, "jobs", "show", stocked.get("/v1/jobs")["jobs"][0]["id"])
    assert f"Of 1 page less than 60% of the text was kept: {url}. " in job


def test_a_source_is_given_selectors_and_its_next_run_reads_its_pages_so(stocked: MortalService, site: Served) -> None:
    url = f"{site.url}page.html"
    run(stocked, "ingest", url, "-c", "other", "--drop", "section")
    source = next(one for one in stocked.get("/v1/sources?collection=other")["sources"])
    assert source["spec"]["drop"] == ["section"]
    run(stocked, "ingest", url, "-c", "other")  # which says nothing of selectors and so changes none

    def text() -> str:
        page = stocked.get("/v1/pages?collection=other")["pages"][0]["id"]
        return str(stocked.get(f"/v1/pages/{page}")["text"])

    assert OFFER not in text()
    assert run(stocked, "sources", "select", source["id"]).splitlines()[1:] == ["drop\tsection"]
    run(stocked, "sources", "select", source["id"], "--clear")
    run(stocked, "sources", "run", source["id"])
    assert OFFER in text()
    assert run(stocked, "sources", "select", source["id"]) == ""


@needs_chromium
def test_on_the_web_page_what_was_left_out_is_behind_the_share(visit: Visit, stocked: MortalService, site: Served) -> None:
    page = visit.page
    visit.open("#/sources")
    source = page.locator(".source", has_text="poor.html")
    source.locator("summary", has_text="Last run").click()
    job = source.locator(".job")
    expect(job.locator(".remark")).to_contain_text("Of 1 page less than 60% of the text was kept")
    job.locator("summary", has_text="Each address").click()
    job.get_by_label("Show addresses that are").select_option("little kept")
    expect(job.locator("tbody tr")).to_have_count(1)
    share = job.locator(".kept summary")
    expect(job.locator(".left-out")).to_be_hidden()
    share.click()
    expect(job.locator(".left-out")).to_contain_text(OFFER)
    visit.check_fits()
    visit.check_accessible()

    stored = next(one for one in stocked.get("/v1/pages")["pages"] if one["url"].endswith("poor.html"))
    visit.open(f"#/pages/{stored['id']}")
    facts = page.locator(".facts .kept")
    expect(facts.locator("summary")).to_contain_text(f"of {stored['coverage']['visible_words']} words")
    facts.locator("summary").click()
    expect(facts).to_contain_text(OFFER)
    page.get_by_text("History").click()
    expect(page.locator(".history .kept summary")).to_contain_text("%")
    visit.check_accessible()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_the_web_page_kept_and_left_out_stand_side_by_side(
    browser: Browser, stocked: MortalService, site: Served, scheme: str
) -> None:
    with visiting(browser, stocked.url, color_scheme=scheme) as visit:
        page = visit.page
        visit.open("#/sources")
        page.get_by_label("Addresses, one a line").fill(f"{site.url}page.html")
        page.locator(".adding .more summary").click()
        page.locator(".adding").get_by_label("Leave out").fill("section >")
        page.get_by_role("button", name="What would be kept?").click()
        expect(page.get_by_role("alert")).to_contain_text('The CSS selector "section >" can\'t be read')
        page.locator(".adding").get_by_label("Leave out").fill("section")
        page.get_by_role("button", name="What would be kept?").click()
        rows = page.locator(".sides tbody tr")
        offer = rows.filter(has_text=OFFER)
        expect(offer.locator("td").nth(1)).to_contain_text("dropped by selector")
        expect(offer.locator("td").nth(0)).to_contain_text("The lamp burns whale oil.")  # what follows it, after an emoji too
        expect(page.locator(".reading")).to_contain_text("visible words would be kept")
        visit.check_accessible()
        visit.check_fits()


@needs_chromium
def test_on_a_phone_nothing_of_it_reaches_beyond_the_edge(browser: Browser, stocked: MortalService, site: Served) -> None:
    stored = next(one for one in stocked.get("/v1/pages")["pages"] if one["url"].endswith("poor.html"))
    with visiting(browser, stocked.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as visit:
        visit.open(f"#/pages/{stored['id']}")
        visit.page.locator(".facts .kept summary").tap()
        visit.page.get_by_text("History").tap()
        visit.page.locator(".history .kept summary").wait_for()
        visit.check_fits()
        visit.open("#/sources")
        visit.page.get_by_label("Addresses, one a line").fill(f"{site.url}page.html")
        visit.page.get_by_role("button", name="What would be kept?").tap()
        visit.page.locator(".sides").wait_for()
        visit.check_fits()
        left_out = visit.page.locator(".sides .lost").first
        assert left_out.evaluate("one => one.clientWidth > 0.7 * window.innerWidth")  # below what was kept, not beside it


@needs_chromium
def test_a_long_menu_is_folded_so_that_what_is_kept_stays_in_sight(
    browser: Browser, stocked: MortalService, site: Served
) -> None:
    with visiting(browser, stocked.url) as visit:
        visit.open("#/sources")
        visit.page.get_by_label("Addresses, one a line").fill(f"{site.url}menu.html")
        visit.page.get_by_role("button", name="What would be kept?").click()
        menu = visit.page.locator(".sides .lost details")
        expect(menu).to_have_count(1)
        assert menu.bounding_box()["height"] < 200  # type: ignore[index]  # it is drawn
        menu.locator("summary").click()
        expect(menu).to_contain_text("entry119")
        visit.check_accessible()


@needs_chromium
def test_a_source_is_given_selectors_on_the_web_page(visit: Visit, stocked: MortalService, site: Served) -> None:
    page = visit.page
    visit.open("#/sources")
    source = page.locator(".source", has_text="poor.html")
    source.locator("summary", has_text="Content selectors (2)").click()
    expect(source.get_by_label("Keep only")).to_have_value("h1\n.text")
    source.get_by_label("Keep only").fill("main\n")
    source.get_by_label("Leave out").fill("section\n\n .ad ")
    source.get_by_role("button", name="Save").click()
    expect(page.locator(".source", has_text="poor.html").locator("summary", has_text="Content selectors (3)")).to_be_visible()
    spec = next(one["spec"] for one in stocked.get("/v1/sources")["sources"] if "poor.html" in one["spec"]["urls"][0])
    assert (spec["keep"], spec["drop"]) == (["main"], ["section", ".ad"])
