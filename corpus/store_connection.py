"""The connection to a Milvus server: every call has a time-out, tells a server that is away from one that refuses, and goes
through a circuit breaker.

pymilvus connects again by itself when a call finds the connection broken. Its own log lines hold a traceback for every failed
try; what it logs it also raises, so its logger is quiet here and this module says once when the server goes and when it is back.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from corpus.breaker import PAUSE_S, CircuitBreaker
from corpus.database import causes
from corpus.errors import StartupError, Unavailable
from corpus.settings import MilvusSettings
from corpus.store import IndexFailure

if TYPE_CHECKING:
    from pymilvus import MilvusClient

log = logging.getLogger(__name__)
T = TypeVar("T")

LEAST_VERSION = (2, 5)  # the first with BM25
TESTED_VERSION = (2, 6, 10)
LITE = "milvus_lite"
# Milvus' own error codes (pkg/util/merr) of a server that is starting, overloaded or over a quota, and of a collection that
# isn't loaded. Milvus Lite means other things by those below 10.
CONNECT_FAILED, NOT_LOADED = 2, 101
BUSY = {1, 2, 3, 4, 6, 7, 8, 9, 103, 503}
GRPC_OPTIONS = {
    # Pings only while a call is under way, and seldom: Milvus Lite's server hangs up on those who ping more (too_many_pings).
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_permit_without_calls": 0,
}


class MilvusServer:
    """One connection for all collections and threads of a process. Nothing is connected before the first call."""

    def __init__(self, settings: MilvusSettings, *, breaker: CircuitBreaker | None = None) -> None:
        self.settings = settings
        self.address = urlsplit(settings.uri).netloc
        self._breaker = breaker or CircuitBreaker()
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()
        self._version = ""
        self._trouble = ""

    @property
    def version(self) -> str:
        """As the server gave it when it was connected to."""
        return self._version

    @property
    def is_lite(self) -> bool:
        """A `milvus-lite server`, which is for tests: it takes one writer at a time, and must be told to flush."""
        return self._version.startswith(LITE)

    @property
    def trouble(self) -> str | None:
        """Why the last call failed, if it was for the server being away."""
        return self._trouble or None

    def call(self, do: Callable[[MilvusClient], T]) -> T:
        """What ``do`` gives when it is handed the client.

        Raises: Unavailable, if the server is away or too busy; IndexFailure, if it refused.
        """
        if wait_s := self._breaker.wait_s():
            raise Unavailable(self._trouble or _away(self.address), retry_after_s=math.ceil(wait_s))
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            result = do(self._connected())
        except (MilvusException, grpc.RpcError) as exc:
            if _is_away(exc):
                self._failed()
                raise Unavailable(self._trouble, retry_after_s=math.ceil(PAUSE_S)) from exc
            self._answered()
            if self._is_busy(exc):
                message = f"The index server at {self.address} can't do it now: {_said(exc)}"
                raise Unavailable(message, retry_after_s=math.ceil(PAUSE_S)) from exc
            raise IndexFailure(f"The index server at {self.address} refused") from exc
        self._answered()
        return result

    def ask(self) -> None:
        """Look whether it is there. Raises: StartupError, if it is too old, or knows the user not; Unavailable; IndexFailure."""
        self.call(lambda client: client.get_server_version(timeout=self.settings.timeout_s))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> MilvusClient:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> MilvusClient:
        """Raises: MilvusException; StartupError, if it is too old, or knows the user not."""
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        settings = self.settings
        secure = settings.uri.startswith("https://")
        options: dict[str, Any] = {"grpc_options": GRPC_OPTIONS, "dedicated": True}
        if secure:
            options |= {"secure": True, "server_pem_path": settings.ca_file, "server_name": settings.server_name}
        try:
            client = MilvusClient(
                settings.uri,
                user=settings.user,
                password=settings.password.get_secret_value(),
                token=settings.token.get_secret_value(),
                db_name=settings.database,
                timeout=settings.timeout_s,
                **options,
            )
        except MilvusException as exc:
            if _is_refused(exc):
                raise StartupError(
                    f"The index server at {self.address} doesn't accept milvus.token, or milvus.user and milvus.password. "
                    "Correct them."
                ) from exc
            raise
        except OSError as exc:  # the certificates
            raise StartupError(f"milvus.ca_file {settings.ca_file} can't be read: {exc.strerror}") from exc
        self._version = str(client.get_server_version(timeout=settings.timeout_s))
        self._check_version()
        return client

    def _check_version(self) -> None:
        """Raises: StartupError."""
        found = version_numbers(self._version)
        if self.is_lite:
            log.warning("the index server at %s is a milvus-lite server: good for tests, not for many pages", self.address)
        elif found and found < LEAST_VERSION:
            raise StartupError(
                f"The index server at {self.address} is Milvus {self._version}, which has no BM25. Install "
                f"{_dotted(TESTED_VERSION)} or newer, or unset milvus.uri to keep the indexes in files."
            )
        elif found and found < TESTED_VERSION:
            log.warning("the index server is Milvus %s; %s is the oldest supported", self._version, _dotted(TESTED_VERSION))

    def _failed(self) -> None:
        self._breaker.failed()
        if not self._trouble:
            self._trouble = _away(self.address)
            log.error("%s", self._trouble)

    def _answered(self) -> None:
        self._breaker.succeeded()
        if self._trouble:
            self._trouble = ""
            log.info("the index server at %s answers again", self.address)

    def _is_busy(self, exc: BaseException) -> bool:
        return not self.is_lite and getattr(exc, "code", None) in BUSY


def is_not_loaded(failure: IndexFailure) -> bool:
    """A server that was started again, or whose memory was short, may have let go of a collection."""
    return getattr(failure.__cause__, "code", None) == NOT_LOADED


def version_numbers(version: str) -> tuple[int, ...]:
    """(2, 6, 10) of "v2.6.10-gpu"; empty if there are none at the beginning."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _away(address: str) -> str:
    return f"The index server at {address} can't be reached. Nothing was lost; try again when it is back."


def _is_away(exc: BaseException) -> bool:
    import grpc

    away = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    if isinstance(exc, grpc.RpcError):
        return exc.code() in away
    code = getattr(exc, "code", None)
    return code == CONNECT_FAILED or code in away


def _is_refused(exc: BaseException) -> bool:
    import grpc

    refusals = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return any(isinstance(seen, grpc.RpcError) and seen.code() in refusals for seen in causes(exc))


def _said(exc: BaseException) -> str:
    return str(getattr(exc, "message", "") or exc)
