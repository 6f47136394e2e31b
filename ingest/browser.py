"""Pages that scripts make, rendered by Chromium through Playwright (the extra ``browser``).

The browser gets no network of its own. Each of its requests is intercepted and answered by our fetcher, with the URL policy,
the address guard, robots.txt, the caps and the pace that hold for any other fetch. What can't be intercepted (a WebRTC
candidate, a prefetch, a bug) finds no resolver, and a proxy that refuses every connection.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from corpus.errors import IngestError, PermanentError, StartupError, TransientError
from corpus.settings import IngestSettings
from ingest.fetch import Fetcher, Response
from ingest.robots import Robots

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright, Request, Route

log = logging.getLogger(__name__)

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FETCHED = {"document", "script", "stylesheet", "xhr", "fetch"}  # nothing else changes a page's text
_PASSED_ON = ("content-type", "access-control-allow-origin", "access-control-allow-credentials")
_CLOSING_S = 10.0
_ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-background-networking",
    "--dns-prefetch-disable",
    "--js-flags=--max-old-space-size=512",
)


class Renderer:
    """Runs one Chromium, started at the first page that needs it; an async context manager.

    Raises: StartupError on entering, if Playwright or Chromium isn't installed.
    """

    def __init__(self, *, fetcher: Fetcher, robots: Robots, settings: IngestSettings) -> None:
        self._fetcher = fetcher
        self._robots = robots
        self._settings = settings
        self.always = settings.render == "always"  # else only what has no text of its own
        self._one_at_a_time = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._dead_end: socket.socket | None = None

    async def __aenter__(self) -> Self:
        self._path = find_browser(self._settings.browser_path)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close_browser()
        if self._playwright is not None:
            await self._playwright.stop()
        if self._dead_end is not None:
            self._dead_end.close()

    async def render(self, response: Response) -> bytes:
        """The page that a response becomes once its scripts have run, as HTML in UTF-8.

        Raises:
            PermanentError: ``render_timeout``, ``too_large``. TransientError: ``render_failed``.
        """
        from playwright.async_api import Error

        visit = _Visit(response, fetcher=self._fetcher, robots=self._robots, settings=self._settings)
        async with self._one_at_a_time:
            try:
                browser = await self._running()
                async with asyncio.timeout(self._settings.render_deadline_s):
                    html = await self._render(browser, visit)
            except TimeoutError as exc:
                await self._close_browser()  # a script that never ends holds its page for good
                raise PermanentError(
                    f"Rendering {response.final_url} took over {self._settings.render_deadline_s:g} s "
                    "(ingest.render_deadline_s) and was stopped.",
                    reason="render_timeout",
                ) from exc
            except Error as exc:
                await self._close_browser()
                raise TransientError(
                    f"{response.final_url} could not be rendered: {exc.message}", reason="render_failed"
                ) from exc
            finally:
                visit.cancel()
        if len(html) > self._settings.max_body_bytes:
            raise PermanentError(f"{response.final_url} rendered is larger than ingest.max_body_bytes.", reason="too_large")
        return html

    async def _render(self, browser: Browser, visit: _Visit) -> bytes:
        from playwright.async_api import TimeoutError as NotQuiet

        context = await browser.new_context(service_workers="block", accept_downloads=False, user_agent=self._settings.user_agent)
        await context.route("**/*", visit.answer)
        await context.route_web_socket("**/*", lambda web_socket: web_socket.close())
        page = await context.new_page()
        await page.goto(visit.url, wait_until="load", timeout=0)
        with suppress(NotQuiet):  # a page that polls for ever is read as it is by half of the time
            await page.wait_for_load_state("networkidle", timeout=self._settings.render_deadline_s * 500)
        html = await page.content()
        visit.cancel()
        await context.close()
        return html.encode(errors="replace")

    async def _close_browser(self) -> None:
        from playwright.async_api import Error

        browser, self._browser = self._browser, None
        if browser is not None:
            with suppress(Error, TimeoutError):
                async with asyncio.timeout(_CLOSING_S):
                    await browser.close()

    async def _running(self) -> Browser:
        from playwright.async_api import async_playwright

        if self._browser is not None and self._browser.is_connected():
            return self._browser
        if self._dead_end is None:
            self._dead_end = socket.socket()
            self._dead_end.bind(("127.0.0.1", 0))  # ours, and never listening: whoever connects is refused
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        port = self._dead_end.getsockname()[1]
        self._browser = await self._playwright.chromium.launch(
            executable_path=self._path,
            chromium_sandbox=self._settings.browser_sandbox,
            # Without <-loopback> Chromium would go to loopback addresses past the proxy.
            proxy={"server": f"http://127.0.0.1:{port}", "bypass": "<-loopback>"},
            args=list(_ARGUMENTS),
        )
        return self._browser


class _Visit:
    """Answers the requests of one page."""

    def __init__(self, response: Response, *, fetcher: Fetcher, robots: Robots, settings: IngestSettings) -> None:
        self._response = response
        self._fetcher = fetcher
        self._robots = robots
        self._settings = settings
        self._requests = 0
        self._bytes = 0
        self._fetching: set[asyncio.Task[Response | None]] = set()

    @property
    def url(self) -> str:
        return self._response.final_url

    def cancel(self) -> None:
        """Give up what is still being fetched: nobody waits for it any more, and it holds its host's turn."""
        for task in self._fetching:
            task.cancel()

    async def answer(self, route: Route) -> None:
        request = route.request
        if request.is_navigation_request():
            # The page itself was fetched already. Frames stay empty, and where a script leads elsewhere the page stays: that
            # is what "no content" means to a browser, while a refusal would put an error page in its place.
            if request.url == self.url and request.frame.parent_frame is None:
                await route.fulfill(status=200, headers=_headers(self._response), body=self._response.body)
            else:
                await route.fulfill(status=204)
            return
        task = asyncio.create_task(self._fetch(request))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)
        await asyncio.wait([task])
        if task.cancelled():
            return  # the page is gone
        if (found := task.result()) is None:
            await route.abort()
        else:
            await route.fulfill(status=found.status, headers=_headers(found), body=found.body)

    async def _fetch(self, request: Request) -> Response | None:
        """What our fetcher gets for it; None if it may not, can't, or need not be fetched."""
        if request.method != "GET" or request.resource_type not in _FETCHED:
            return None
        self._requests += 1
        if self._requests > self._settings.render_max_requests or self._bytes > self._settings.max_body_bytes:
            return None
        try:
            await self._admit(request.url)
            found = await self._fetcher.fetch(request.url, accept="*/*", admit=self._admit)
        except IngestError as exc:
            log.info("%s asks for %s, which it doesn't get: %s", self.url, request.url[:200], exc.message)
            return None
        self._bytes += len(found.body)
        return found

    async def _admit(self, url: str) -> None:
        if not (await self._robots.allowed(url)).allowed:
            raise PermanentError("The site's robots.txt forbids it, or can't be read.", reason="robots_disallowed")


def find_browser(path: str) -> str:
    """The Chromium to run. Raises: StartupError, with the remedy."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError as exc:
        raise StartupError(
            "ingest.render needs Playwright. Install it with: pip install 'footnote-rag[browser]'; or set ingest.render to never."
        ) from exc
    found = shutil.which(path) if path else next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise StartupError(
            f"ingest.render needs Chromium, and {path or 'none of ' + ', '.join(_NAMES)} can be found. Install it (Debian: "
            "apt-get install chromium), name it in ingest.browser_path, or set ingest.render to never."
        )
    return found


def _headers(response: Response) -> dict[str, str]:
    return {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
