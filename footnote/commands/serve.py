"""``footnote serve``."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from corpus.errors import FootnoteError
from footnote.client import Client
from footnote.terminal import clean, err, show

POLL_S = 0.1


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.", show_default="8000")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave ingesting to `footnote worker`.")] = False,
) -> None:
    """Run the service and its worker until Ctrl-C. A second Ctrl-C waits for nothing more; nothing indexed is lost."""
    # Imported here: together they cost seconds that `footnote --help` must not.
    from corpus.settings import load_settings
    from footnote.logs import set_up_logging

    given: dict[str, Any] = {"host": host, "port": port}
    overrides: dict[str, Any] = {"server": {name: value for name, value in given.items() if value is not None}}
    settings = load_settings(**{name: value for name, value in (overrides | {"data_dir": data_dir}).items() if value})
    set_up_logging(settings)

    started = time.monotonic()
    from footnote.embedded import serve as serve_until_stopped
    from footnote.tracing import tracing

    def on_bound(url: str) -> None:
        show(err(), Text.assemble(("Footnote", "bold"), " listens on ", (clean(url), "bold"), " — starting…"))
        threading.Thread(target=_tell_stages, args=(url, started), name="tell-stages", daemon=True).start()

    interrupted = _leave_at_second_interrupt()
    with tracing(settings):
        serve_until_stopped(settings, on_bound=on_bound, with_worker=not no_worker)
    if interrupted.is_set():  # usually the event loop says so itself, by KeyboardInterrupt
        raise typer.Exit(130)


def _leave_at_second_interrupt() -> threading.Event:
    """End the process at once at the second SIGINT, as a kill would, which the index is built to survive. The event is set at
    the first.

    The web server's own second SIGINT still waits for running threads, such as one that embeds. The interpreter writes the
    number of each signal to the wakeup descriptor whoever handles it, so this needs no handler and is in nobody's way.
    """
    interrupted = threading.Event()
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def count() -> None:
        interrupts = 0
        while received := os.read(told, 64):
            interrupts += received.count(signal.SIGINT)
            if interrupts:
                interrupted.set()
            if interrupts == 1:
                show(err(), Text("Stopping, after what is going on… (Ctrl-C again stops at once)"))
            elif interrupts > 1:
                os._exit(130)

    threading.Thread(target=count, name="second-interrupt", daemon=True).start()
    return interrupted


def _tell_stages(url: str, started: float) -> None:
    """Tell people how the start goes, as the service itself tells everybody."""
    console = err()
    if console.is_terminal:  # elsewhere the log tells the stages
        logging.getLogger("app.state").setLevel(logging.WARNING)
    told = ""
    with Client(base_url=url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")) as client:
        while True:
            try:
                readiness = client.readiness()
            except FootnoteError:
                return  # it ended, and says itself why
            if readiness["state"] == "ready":
                break
            if readiness["state"] != "starting":
                return
            if console.is_terminal and readiness["stage"] != told:
                told = readiness["stage"]
                show(console, Text(f"{clean(told)}…", style="dim"), indent=2)
            time.sleep(POLL_S)
    # Where keys are needed, who asks without one isn't told how much there is.
    content = "" if readiness["pages"] is None else f" ({readiness['pages']:,} pages, {readiness['chunks']:,} chunks)"
    show(console, Text.assemble(("Ready", "bold green"), f" in {time.monotonic() - started:.1f} s: {clean(url)}{content}"))
    for lack in readiness["degraded"]:
        show(console, Text.assemble(("Note: ", "yellow"), clean(lack)))
