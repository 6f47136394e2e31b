"""Every error Footnote raises on purpose.

::

    FootnoteError                     500
    ├── InvalidInput                  422  the request can't be served as written
    ├── Unauthorized                  401  no API key, or none that holds
    ├── Forbidden                     403  the API key doesn't reach so far
    ├── NotFound                      404  no such page, job, source or collection
    ├── Conflict                      409  the thing changed, or is in the wrong state for this
    ├── Unavailable                   503  a part isn't ready; try again later
    │   └── Overloaded                503  too many requests at once; Retry-After is set
    ├── RateLimited                   429  more requests than the limit; Retry-After is set
    ├── StorageFull                   507  the disk is full; nothing was lost
    ├── StartupError                  500  the service refuses to start; the message holds the remedy
    │   ├── DataDirectoryLocked            another process owns the data directory
    │   ├── IndexMismatch                  the index was made by another embedder or chunker
    │   ├── ModelMissing                   a weight package or model folder isn't there
    │   └── ModelTooLarge                  a language model doesn't fit the device's free memory
    └── IngestError                        why one URL was not indexed (never an HTTP answer of ours)
        ├── PermanentError                 trying again can't help: 404, refused by robots.txt, not text
        │   └── ForbiddenAddress           the address guard or URL policy said no
        └── TransientError                 trying again may help: time-out, 503, connection reset

Each message says what happened and what to do next. ``code`` is a stable, machine-readable word;
``details`` holds JSON-serialisable facts. The HTTP status is mapped in one place, ``app/errors.py``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FootnoteError(Exception):
    """Base of the tree. ``message`` is for people, ``code`` for programs, ``details`` for both."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(FootnoteError):
    code = "invalid_input"
    status = 422


class Unauthorized(FootnoteError):
    code = "unauthorized"
    status = 401


class Forbidden(FootnoteError):
    code = "forbidden"
    status = 403


class NotFound(FootnoteError):
    code = "not_found"
    status = 404


class Conflict(FootnoteError):
    code = "conflict"
    status = 409


class Unavailable(FootnoteError):
    """``retry_after_s`` is sent as the Retry-After header."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 5, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    code = "overloaded"


class RateLimited(FootnoteError):
    """``retry_after_s`` is sent as the Retry-After header."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int = 60, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class StorageFull(FootnoteError):
    code = "storage_full"
    status = 507


class StartupError(FootnoteError):
    code = "startup_failed"


class DataDirectoryLocked(StartupError):
    code = "data_directory_locked"


class IndexMismatch(StartupError):
    code = "index_mismatch"


class ModelMissing(StartupError):
    code = "model_missing"


class ModelTooLarge(StartupError):
    code = "model_too_large"


class IngestError(FootnoteError):
    """Why one URL was not indexed. ``code`` becomes the URL's recorded reason."""

    code = "ingest_error"

    def __init__(self, message: str, *, reason: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.reason = reason or self.code


class PermanentError(IngestError):
    code = "permanent"


class ForbiddenAddress(PermanentError):
    code = "forbidden_address"


class TransientError(IngestError):
    """``retry_after_s``: the least wait the server asked for, if it did."""

    code = "transient"

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message, reason=reason, **details)
        self.retry_after_s = retry_after_s
