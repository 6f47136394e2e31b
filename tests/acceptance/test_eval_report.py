"""The report of an evaluation in a real browser: it draws itself, compares any two configurations, and reaches for nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from footnote.evaluation.retrieval_report import page as report
from ingest.browser import _NAMES
from tests.unit.evaluations import evaluation

pytestmark = pytest.mark.skipif(not any(map(shutil.which, _NAMES)), reason="no Chromium here (Debian: apt-get install chromium)")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Page]:
    file = tmp_path / "report.html"
    file.write_text(report(evaluation(sets=2)))
    path = next(found for name in _NAMES if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = await browser.new_page(viewport={"width": 390, "height": 800})
        complaints: list[str] = []
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("dialog", lambda dialog: complaints.append(dialog.message))
        shown.on("request", lambda request: complaints.append(request.url) if not request.url.startswith("file:") else None)
        await shown.goto(file.as_uri())
        yield shown
        await browser.close()
        assert complaints == []


async def test_any_two_configurations_are_compared_with_the_texts(opened: Page) -> None:
    questions = opened.locator(".question")
    assert await questions.count() == 3
    said = await opened.locator(".verdicts").inner_text()
    assert said.splitlines() == ["+.246 nDCG@10 on average", "2 better", "0 worse", "1 as good"]
    first = questions.first
    assert (await first.locator(".change").inner_text()).startswith("+")
    await first.locator("summary").press("Enter")
    assert await first.locator(".sides h3").all_inner_texts() == ["maxsim · 1.000", "bm25 · .631", "What answers it"]
    assert "<img src=x onerror=alert(2)>" in await first.locator(".found").first.inner_text()
    await opened.get_by_label("This").select_option("bm25")
    await opened.get_by_label("beside").select_option("maxsim")
    await opened.get_by_label("Order").select_option("losses")
    assert (await questions.first.locator(".change").inner_text()).startswith("−")
    await opened.get_by_label("Set").select_option(index=1)
    assert (await opened.locator(".verdicts").inner_text()).startswith("+.246")


async def test_it_fits_a_telephone(opened: Page) -> None:
    assert await opened.evaluate("document.documentElement.scrollWidth") == 390
