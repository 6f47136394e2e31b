"""A site on loopback whose pages are made by rule, and change, vanish and fail when told to."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS_FROM = Path(__file__).parent / "small_site"


@dataclass
class ChangingSite:
    """``sections`` folders with an index and ``pages`` pages each. Paths are as in the URL, with the slash. ``words``: how many
    each of a page's two parts has; that many make a chunk of each part.

    ``revisions`` says which version of a page is on the air, None if it answers 404, and ``newest`` which was the last.
    ``unlisted`` pages are there, but their index doesn't link to them. ``failing``: how often a page answers 503 before it
    answers again; ``requests``: how often it was asked for.
    """

    sections: int
    pages: int
    words: tuple[int, int] = (90, 70)
    url: str = ""
    revisions: dict[str, int | None] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    failing: dict[str, int] = field(default_factory=dict)
    retry_after_s: int | None = None
    requests: dict[str, int] = field(default_factory=dict)
    _listed: dict[tuple[str, int], list[str]] = field(default_factory=dict)  # the links of each version

    def __post_init__(self) -> None:
        for section in range(self.sections):
            self.revisions |= dict.fromkeys(self.paths(section), 0)
            self.newest |= dict.fromkeys(self.paths(section), 0)
            for path in self.paths(section):
                self._listed[path, 0] = self._links(path)

    def paths(self, section: int) -> list[str]:
        """The index first."""
        return [f"/s{section}/", *(f"/s{section}/p{page}.html" for page in range(self.pages))]

    def change(self, path: str) -> None:
        """Put a new version on the air, also of a page that was gone."""
        self.revisions[path] = self.newest[path] = self.newest[path] + 1
        self._listed[path, self.newest[path]] = self._links(path)

    def unlist(self, index: str, unlisted: set[str]) -> None:
        """Let an index link to all of its pages but these."""
        self.unlisted = self.unlisted - set(self._pages_of(index)) | unlisted
        self.change(index)

    def _pages_of(self, index: str) -> list[str]:
        return self.paths(int(index.strip("/s")))[1:]

    def _links(self, path: str) -> list[str]:
        return [page for page in self._pages_of(path) if page not in self.unlisted] if path.endswith("/") else []

    def answer(self, path: str) -> tuple[int, bytes]:
        self.requests[path] = self.requests.get(path, 0) + 1
        if self.failing.get(path):
            self.failing[path] -= 1
            return 503, b""
        revision = self.revisions.get(path)
        return (404, b"") if revision is None else (200, self.body(path, revision))

    def body(self, path: str, revision: int) -> bytes:
        """A revision changes the page's second part and leaves the first one as it was."""
        links = "".join(f'<li><a href="{page}">Page {page}</a></li>' for page in self._listed[path, revision])
        lasting, news = prose(path, self.words[0]), prose(f"{path} {revision}", self.words[1])
        return (
            f"<!doctype html><html lang=en><head><title>About {path}</title></head><body><main><h1>About {path}</h1>"
            f"<p>{lasting}</p><h2>Its news</h2><p>Revision {revision}. {news}</p>"
            f"<ul>{links}</ul></main></body></html>"
        ).encode()

    @contextmanager
    def on_the_air(self) -> Iterator[None]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = site.answer(self.path)
                self.send_response(code)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                if code == 503 and site.retry_after_s is not None:
                    self.send_header("Retry-After", str(site.retry_after_s))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_port}"
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


def prose(seed: str, words: int) -> str:
    """Sentences without sense, the same for the same seed."""
    choice = random.Random(seed)
    sentences = []
    while words > 0:
        length = min(words, choice.randint(7, 12))
        words -= length
        sentences.append(" ".join(choice.choices(_vocabulary(), k=length)).capitalize() + ".")
    return " ".join(sentences)


@cache
def _vocabulary() -> list[str]:
    text = " ".join(re.sub("<[^>]+>", " ", file.read_text()) for file in sorted(WORDS_FROM.glob("*.html")))
    return sorted(set(re.findall(r"\b[a-z]{3,12}\b", text)))
