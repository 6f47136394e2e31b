"""Logging of a process: one line for each record on stderr, in UTC, without secrets, and only Footnote's own chatter below
warning. As text for people (``OneLineFormatter``) or JSON for programs (``JsonFormatter``)."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

from app.request_id import request_id
from corpus.settings import Settings
from corpus.spans import trace_id
from footnote.redaction import Redaction
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

    def __init__(self, *, redact: Redaction | None = None) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s%(request)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        self._redact = redact or Redaction()

    def formatMessage(self, record: logging.LogRecord) -> str:
        id = request_id.get()
        record.request = f" [{id}]" if id else ""
        return clean(self._redact(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:
        return _indented(self._redact(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:
        return _indented(self._redact(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {clean(line)}" for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, within a request ``request_id``, within a
    trace ``trace_id``, then the record's
    ``facts`` (``logging``'s ``extra``), and ``exception`` with its traceback."""

    def __init__(self, *, redact: Redaction | None = None) -> None:
        super().__init__()
        self._redact = redact or Redaction()

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if id := request_id.get():
            line["request_id"] = id
        if trace := trace_id():
            line["trace_id"] = trace
        facts: dict[str, Any] = getattr(record, "facts", {})
        line |= {name: self._redact(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        if record.exc_info:
            line["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)  # ASCII, so that nothing in it ends a line or drives a terminal


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is when it writes: one that was replaced for a while, as tests do, may be closed."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


FORMATTERS = {"text": OneLineFormatter, "json": JsonFormatter}


def set_up_logging(settings: Settings, *, quiet: bool = False) -> None:
    """Send every record of this process to stderr, as ``log_level`` and ``log_format`` say. ``quiet``: of a command's own work
    warnings alone, unless everything is asked for."""
    level = "warning" if quiet and settings.log_level != "debug" else settings.log_level
    handler = StderrHandler()
    handler.setFormatter(FORMATTERS[settings.log_format](redact=Redaction.of(settings)))
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
