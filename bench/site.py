"""The folder of pages as a web site on loopback, in a process of its own: ``python -m bench.site DIR``."""

from __future__ import annotations

import functools
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from bench.errors import BenchError
from bench.service import child_environment

SUFFIXES = (".html", ".htm")


class _QuietHandler(SimpleHTTPRequestHandler):
    """Static files with Last-Modified and 304, as any web server gives them; connections are kept alive."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(root: Path) -> None:
    """Serve a folder on a free loopback port, which is printed, until killed."""
    handler = functools.partial(_QuietHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def pages_of(root: Path) -> list[Path]:
    """The HTML files of a folder, relative to it, the shallowest first."""
    found = [p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    return sorted(found, key=lambda p: (len(p.parts), p.as_posix()))


class Site:
    """The site's process (a context manager). ``start_urls`` and ``mode`` are what an ingest job is given."""

    def __init__(self, root: Path, *, pages: int) -> None:
        self._root = root.resolve()
        if not self._root.is_dir():
            raise BenchError(f"{root} is no folder. Name a folder of HTML pages.")
        files = pages_of(self._root)
        if not files:
            raise BenchError(f"{root} holds no HTML pages (*.html, *.htm). Name a folder that does.")
        index = next((p for p in files if p.stem == "index"), None)
        # Without a page that links to the others there is nothing to crawl, so they are named one by one.
        self.mode = "crawl" if index else "page"
        self._starts = [index] if index else files[:pages]
        self.start_urls: list[str] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.site", str(self._root)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=child_environment())
        assert self._process.stdout is not None
        port = self._process.stdout.readline().decode().strip()
        if not port:
            raise BenchError(f"The web server for {self._root} didn't start.")
        self.start_urls = [f"http://127.0.0.1:{port}/{quote(p.as_posix())}" for p in self._starts]
        if self.mode == "crawl":  # a crawl stays under its start, so that is the index's folder
            self.start_urls = [url.rpartition("/")[0] + "/" for url in self.start_urls]
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
