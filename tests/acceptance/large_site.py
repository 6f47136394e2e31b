"""A site of over a thousand pages on loopback, with a sitemap: real documentation where it can be unpacked, else made by rule."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lxml import html

from tests.acceptance.changing_site import ChangingSite
from tests.acceptance.sites import UNPACKED, unpack

PACKAGES = ("python3.11-doc", "postgresql-doc-15")
BEGINNING_CHARS = 700  # of a page's text: the embedder makes some 25 chunks a second on two cores
BLOCKS = frozenset(("p", "pre", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4"))


@dataclass
class LargeSite:
    """``pages``: bodies by path. ``listed``: the paths in /sitemap.xml. Answers carry an ETag, and 304 to who has it."""

    name: str
    pages: dict[str, bytes]
    listed: list[str]
    url: str = ""

    def answer(self, path: str) -> bytes | None:
        if path == "/sitemap.xml":
            urls = "".join(f"<url><loc>{self.url}{listed}</loc></url>" for listed in self.listed)
            return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'.encode()
        return self.pages.get(path)

    @contextmanager
    def on_the_air(self) -> Iterator[None]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = site.answer(self.path)
                etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if body is not None else ""
                same = bool(etag) and self.headers.get("If-None-Match") == etag
                self.send_response(404 if body is None else 304 if same else 200)
                kind = "application/xml" if self.path.endswith(".xml") else "text/html"
                self.send_header("Content-Type", kind)
                if etag:
                    self.send_header("ETag", etag)
                sent = b"" if body is None or same else body
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

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


def documentation(count: int) -> LargeSite | None:
    """The smallest pages of Debian's documentation of Python and PostgreSQL, the longer ones cut to their beginnings. None
    where it can't be had."""
    if unpack(*PACKAGES) is None:
        return None
    files = [file for package in PACKAGES for file in (UNPACKED / package).rglob("*.html") if not file.is_symlink()]
    files.sort(key=lambda file: (file.stat().st_size, file))
    pages = {f"/{file.relative_to(UNPACKED).as_posix()}": _beginning(file) for file in files[:count]}
    return LargeSite("Debian's python3.11-doc and postgresql-doc-15", pages, sorted(pages))


def by_rule(count: int) -> LargeSite:
    made = ChangingSite(sections=count // 10, pages=9, words=(25, 15))  # one short chunk a page
    paths = [path for path in made.revisions if not path.endswith("/")]
    pages = {path: made.body(path, 0) for path in paths} | {path: made.body(path, 0) for path in made.revisions}
    return LargeSite("pages made by rule", pages, sorted(pages))


def _beginning(file: Path) -> bytes:
    tree = html.fromstring(file.read_bytes())
    length = 0
    for element in list(tree.iter(*BLOCKS)):
        if length > BEGINNING_CHARS:
            element.drop_tree()
        elif element.tag not in ("ul", "ol", "dl") or not element.findall(".//p"):
            length += len(element.text_content())
    body: bytes = html.tostring(tree, encoding="utf-8", doctype="<!doctype html>")
    return body
