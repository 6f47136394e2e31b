"""Which service a command talks to: the one it is told, else the one that runs, else one of its own."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from corpus.datadir import DataDirectory
from corpus.errors import FootnoteError, Unavailable
from footnote.client import Client
from footnote.terminal import show_note, waiting

if TYPE_CHECKING:
    from corpus.settings import Settings

PROBE_TIMEOUT_S = 1.0
PATIENCE_S = 120.0
POLL_S = 0.25


@contextmanager
def connect(
    url: str | None, *, own_allowed: bool = True, with_worker: bool = False, with_model: bool = False
) -> Iterator[Client]:
    """A client of a service that is ready.

    Without ``url`` and without a running service, one is started in this process for the length of the block, unless
    ``own_allowed`` is False. It runs ingest jobs, and loads the language model, only if the command needs that.

    Raises: Unavailable, StartupError.
    """
    if url is None:
        # Imported here as it costs a third of a second that `footnote --help` and `--url` don't need.
        from corpus.settings import load_settings

        settings = load_settings()
        url = running_service(settings) or _starting_service(settings)
        if url is None and own_allowed:
            with (
                _own_service(settings, with_worker=with_worker, with_model=with_model) as own_url,
                Client(base_url=own_url) as client,
            ):
                yield client
            return
        if url is None:
            raise Unavailable("No service is running, and this needs one that stays. Start it first with: footnote serve")
    with Client(base_url=url) as client:
        _wait_until_ready(client)
        yield client


def running_service(settings: Settings) -> str | None:
    """The URL of the service that owns the data directory, if it answers."""
    announced = DataDirectory(settings.data_dir).announced()
    if announced is None or not isinstance(url := announced.get("url"), str):
        return None
    with Client(base_url=url, read_timeout_s=PROBE_TIMEOUT_S) as client:
        return url if client.is_alive() else None


def is_locked(directory: DataDirectory) -> bool:
    """Whether a process owns the data directory. Looks with a shared lock, held for a moment only."""
    try:
        lock = os.open(directory.path / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _starting_service(settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> str | None:
    """Wait for the service that owns the data directory already but hasn't told yet where it listens."""
    directory = DataDirectory(settings.data_dir)
    if not is_locked(directory):
        return None
    give_up_at = clock() + PATIENCE_S
    with waiting(f"another Footnote is starting or stopping in {directory.path}; waiting for it…"):
        while is_locked(directory) and clock() < give_up_at:
            if url := running_service(settings):
                return url
            time.sleep(POLL_S)
    return None  # it's gone, or starting our own tells whose the directory is


def _wait_until_ready(client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
    readiness = client.readiness()
    if readiness.get("state") == "ready":
        return
    give_up_at = clock() + PATIENCE_S
    with waiting("the service is not ready yet…") as say:
        while readiness.get("state") != "ready":
            where = f"{readiness.get('state')}: {readiness.get('stage')}"
            if readiness.get("state") == "failed":
                raise FootnoteError(f"The service at {client.base_url} failed to start: {readiness.get('stage')}")
            if clock() >= give_up_at:
                raise Unavailable(f"The service at {client.base_url} is still not ready after {PATIENCE_S:g} s ({where}).")
            say(f"the service is {where}…")
            time.sleep(POLL_S)
            readiness = client.readiness()


@contextmanager
def _own_service(settings: Settings, *, with_worker: bool, with_model: bool) -> Iterator[str]:
    show_note("No service is running; starting one for this command alone (keep one running with: footnote serve)…")
    # Imported here: service and worker cost seconds that no other way of running a command needs.
    from footnote.logs import set_up_logging

    set_up_logging(settings, quiet=True)
    if not with_model:
        settings = settings.model_copy(update={"llm": settings.llm.model_copy(update={"engine": "none"})})
    started = time.monotonic()
    with ExitStack() as stack:
        with waiting("loading Footnote…") as say:
            from footnote.embedded import background_service

            own = background_service(settings, with_worker=with_worker, report=lambda stage: say(f"{stage}…"))
            url = stack.enter_context(own)
        show_note(f"Ready in {time.monotonic() - started:.1f} s.")
        yield url
