"""``footnote worker``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def worker(
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="What this process keeps for itself.", show_default=False)
    ] = None,
) -> None:
    """Run an ingest worker without a service, until Ctrl-C or SIGTERM; a second one ends it at once. There may be many of them
    where database.url and milvus.uri name servers, beside services that run with --no-worker."""
    # Imported here: together they cost seconds that `footnote --help` must not.
    from corpus.settings import load_settings
    from footnote.logs import set_up_logging

    settings = load_settings(**({"data_dir": data_dir} if data_dir else {}))
    set_up_logging(settings)
    from footnote.lone_worker import work_until_stopped
    from footnote.tracing import tracing

    with tracing(settings):
        work_until_stopped(settings)
