"""Logging of a process: one line for each record on stderr, in UTC, and only Footnote's own chatter below warning."""

from __future__ import annotations

import logging
import os
import sys
import time

from app.request_id import request_id
from footnote.terminal import clean

# These tell at INFO what only their own developers ask for.
CHATTY = (
    "alembic",
    "asyncio",
    "dbos",
    "faiss",
    "filelock",
    "httpcore",
    "httpx",
    "httpx2",
    "mcp",
    "milvus_lite",
    "py.warnings",
    "pymilvus",
    "sentence_transformers",
    "sqlalchemy",
    "trafilatura",
    "transformers",
    "urllib3",
    "uvicorn",
)


class OneLineFormatter(logging.Formatter):
    """``2026-11-21T23:50:37.123Z INFO app.state: ready``; within a request, its id in brackets stands behind the name.

    A message often quotes what strangers wrote (URLs, titles, server errors): it can neither end its line and forge the
    next record nor drive the terminal. A traceback follows on lines of its own, indented.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s%(request)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        id = request_id.get()
        record.request = f" [{id}]" if id else ""
        return clean(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        return "\n".join(f"    {clean(line)}" for line in lines)


def set_up_logging(level: str) -> None:
    """Send every record of this process to stderr. ``level`` is one of debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in CHATTY:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    # pymilvus asks Milvus Lite for a call that it lacks and then does without; its server logs a traceback each time.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    # What gRPC's C core prints past the logging module reaches us as exceptions too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Progress bars of the model libraries are read from the environment when they are first imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
