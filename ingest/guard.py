"""The address guard: the only place where a socket to the outside is opened.

It sits beneath the HTTP connection pool as its network backend, so no connection is made around it. A host is resolved
once, every answer is judged, and the connection goes to a judged IP literal: what DNS says a moment later (rebinding)
no longer matters. TLS and the Host header still use the name, as they are the pool's business.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore2

from corpus.errors import ForbiddenAddress, PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest.addresses import is_ip_literal
from ingest.metering import Meter, MeteredStream
from ingest.urls import check_address

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) to IP literals, in the order to try them. Raises OSError (socket.gaierror) as getaddrinfo does."""

_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class SystemResolver:
    """getaddrinfo in threads of its own: it can't be interrupted, and a hung name server must stall nothing else."""

    def __init__(self, *, threads: int = 8) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _getaddrinfo, host, port)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses, and to those private ones that the settings allow.

    Raises, besides httpcore2's own errors:
        ForbiddenAddress: the host is, or one of its addresses is, none that may be fetched.
        PermanentError: ``no_such_host``. TransientError: ``dns_failed``.
    """

    def __init__(self, *, settings: IngestSettings, resolve: Resolve, network: httpcore2.AsyncNetworkBackend) -> None:
        self._settings = settings
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self.vet(host, port)
        # Shared out, so that a dead first address (IPv6 without a route) leaves time for the others.
        timeout_s = self._settings.connect_timeout_s / len(addresses)
        failure: Exception | None = None
        for address in addresses:
            try:
                stream = await self._network.connect_tcp(address, port, timeout_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
                failure = exc
                continue
            try:
                self._check_peer(stream, address, host, port)
            except ForbiddenAddress:
                await stream.aclose()
                raise
            return MeteredStream(stream, Meter(settings=self._settings))
        raise failure or httpcore2.ConnectError(f"{host} has no address to connect to.")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise ForbiddenAddress(f"Unix sockets are never fetched from, {path} neither.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def vet(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of which may be connected to. Raises what :meth:`connect_tcp` would."""
        addresses = [host] if is_ip_literal(host) else await self._resolved(host, port)
        for address in addresses:  # one bad answer condemns the name: honest names don't mix public and private
            check_address(address, host=host, port=port, settings=self._settings)
        return addresses

    async def _resolved(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                addresses = await self._resolve(host, port)
        except socket.gaierror as exc:
            if exc.errno in _NO_SUCH_HOST:
                raise _no_such_host(host) from exc
            raise TransientError(f"{host} could not be resolved ({exc}). It is tried again later.", reason="dns_failed") from exc
        except (OSError, UnicodeError) as exc:  # TimeoutError is an OSError
            why = str(exc) or "no answer in time"
            raise TransientError(f"{host} could not be resolved ({why}). It is tried again later.", reason="dns_failed") from exc
        if not addresses:
            raise _no_such_host(host)
        return addresses

    def _check_peer(self, stream: httpcore2.AsyncNetworkStream, address: str, host: str, port: int) -> None:
        """Belt and braces: whatever the layers beneath did with the literal, the other end must be it."""
        peer = stream.get_extra_info("server_addr")
        if not isinstance(peer, tuple) or ip_address(peer[0]) != ip_address(address):
            raise ForbiddenAddress(f"{host} was to be reached at {address}, but the connection went to {peer}.", host=host)
        check_address(str(peer[0]), host=host, port=port, settings=self._settings)


def _getaddrinfo(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


def _no_such_host(host: str) -> PermanentError:
    return PermanentError(f"There is no host named {host}. Check the spelling.", reason="no_such_host")
