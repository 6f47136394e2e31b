"""A real Chromium looking at the web page, which must never run, load or ask for anything that isn't the service's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from ingest.browser import _NAMES

CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
TIMEOUT_MS = 60_000  # of what comes in a second where nothing else runs
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# What a hostile text would call if it ever ran, and what the browser held back for our policy's sake.
WATCH = """
window.__ran = [];
window.pwned = (...how) => { window.__ran.push(String(how)); };
for (const name of ['alert', 'confirm', 'prompt']) window[name] = (...how) => window.__ran.push(name + how);
window.__violations = [];
document.addEventListener('securitypolicyviolation', (e) => window.__violations.push(e.violatedDirective + ' ' + e.blockedURI));
"""


BEYOND_THE_EDGE = """
(() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const beyond = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
    || one.scrollWidth > innerWidth && getComputedStyle(one).overflowX === 'visible');
  return [document.documentElement.scrollWidth, ...beyond.slice(0, 5).map((one) => one.outerHTML.slice(0, 120))];
})()
"""


@dataclass
class Visit:
    """A window on the page. ``requests`` are all that it made; ``errors`` what its scripts stumbled over."""

    page: Page
    base: str
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, view: str = "") -> None:
        """``view``: such as ``#/sources`` or ``?q=…``."""
        self.page.goto(f"{self.base}/{view}")
        self.page.locator("main h1").first.wait_for()

    def posted(self, path: str) -> list[Any]:
        """The bodies that were posted there."""
        return [r.post_data_json for r in self.requests if r.method == "POST" and r.url == f"{self.base}{path}"]

    def check_nothing_ran(self) -> None:
        """No foreign script, no foreign request, nothing that the policy had to stop, no error."""
        strangers = [r.url for r in self.requests if not r.url.startswith((f"{self.base}/", "data:"))]
        ran, violations = self.page.evaluate("[window.__ran, window.__violations]")
        found = {"foreign requests": strangers, "scripts that ran": ran, "held back": violations, "errors": self.errors}
        assert not any(found.values()), found

    def check_fits(self) -> None:
        """Nothing reaches beyond the window's edge."""
        beyond = self.page.evaluate(BEYOND_THE_EDGE)
        assert beyond == [], beyond

    def check_accessible(self) -> None:
        found = Axe().run(self.page, options={"runOnly": RULES, "resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()


@contextmanager
def running_browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        # Root, as in most containers, can't have Chromium's own sandbox. It visits our pages alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, base: str, **options: Any) -> Iterator[Visit]:
    """``options``: of Playwright's new_context. At the end, nothing foreign may have happened."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 860}} | options))
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(WATCH)
    page = context.new_page()
    visit = Visit(page, base)
    page.on("request", lambda request: visit.requests.append(request))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    yield visit
    visit.check_nothing_ran()
    context.close()
