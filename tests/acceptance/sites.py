"""Sites to crawl, served on loopback: a real one where it can be unpacked, else the small one that lies here."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
UNPACK = CHECKOUT.parent / "shared" / "sites.sh"  # unpacks Debian's HTML documentation packages; not part of the project
UNPACKED = CHECKOUT / ".sites"


@dataclass(frozen=True)
class Site:
    """``crawl``: where a crawl begins. ``pages``: what is ingested page by page besides."""

    name: str
    root: Path
    questions: Path
    crawl: tuple[str, ...]
    pages: tuple[str, ...]


def unpack(*packages: str) -> str | None:
    """What the script that unpacks says; None where it isn't, or can't. Test processes wait for each other."""
    if not UNPACK.is_file():
        return None
    with Path(tempfile.gettempdir(), "footnote-tests-unpack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["bash", str(UNPACK), str(UNPACKED), *packages], capture_output=True, text=True, timeout=300)
    return None if done.returncode else done.stdout


def python_documentation() -> Site | None:
    """A part of Python's documentation, about 65 pages; None where it can't be had."""
    said = unpack("python3.11-doc")
    if said is None:
        return None
    root = Path(said.split()[1])
    library = "asyncio-task pathlib json sqlite3 argparse logging dataclasses functools itertools subprocess tempfile hashlib"
    return Site(
        name="Debian's python3.11-doc",
        root=root,
        questions=HERE / "questions" / "python.json",
        crawl=("tutorial/index.html", "faq/index.html", "howto/index.html"),
        pages=tuple(f"library/{name}.html" for name in [*library.split(), "csv", "datetime", "re"]),
    )


def small_site() -> Site:
    return Site(
        name="the small site in tests/acceptance/small_site",
        root=HERE / "small_site",
        questions=HERE / "questions" / "small_site.json",
        crawl=("index.html",),
        pages=(),
    )


@dataclass
class Served:
    """A folder on the air. ``requests`` are the paths asked for; ``gate`` can be cleared to hold all answers back."""

    url: str
    requests: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(root: Path) -> Iterator[Served]:
    served = Served(url="")
    served.gate.set()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            served.gate.wait(60)
            super().do_GET()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=os.fspath(root))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield served
        finally:
            served.gate.set()
            server.shutdown()
            thread.join()
