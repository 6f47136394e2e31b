"""A name server on loopback that changes its answers, and a resolver that really asks it (RFC 1035, A records over UDP)."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

_HEADER = struct.Struct("!6H")
_ANSWER = struct.Struct("!HHHIH")
A_RECORD = 1
INTERNET = 1
NO_SUCH_NAME = 3


class DnsServer(asyncio.DatagramProtocol):
    """For each name a list of answers, given one after the other, the last one for ever. An answer is a list of addresses;
    None is silence. Each has a time to live of 0, as a rebinding server's has."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: dict[str, list[list[str] | None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def script(self, name: str, *answers: list[str] | None) -> None:
        self._answers[name] = list(answers)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        identity, *_ = _HEADER.unpack_from(data)
        name, end = _name(data, _HEADER.size)
        self.asked.append(name)
        answers = self._answers.get(name, [[]])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            return
        flags = 0x8180 | (0 if answer else NO_SUCH_NAME)
        records = b"".join(
            _ANSWER.pack(0xC00C, A_RECORD, INTERNET, 0, 4) + IPv4Address(address).packed for address in answer
        )  # 0xC00C points at the question's name
        question = data[_HEADER.size : end + 4]
        self._transport.sendto(_HEADER.pack(identity, flags, 1, len(answer), 0, 0) + question + records, addr)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of ``host`` as the server gives them to this one question. To be injected into the fetcher."""
        assert self._transport is not None
        server = self._transport.get_extra_info("sockname")
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(_Client, remote_addr=server)
        try:
            labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
            transport.sendto(_HEADER.pack(7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", A_RECORD, INTERNET))
            return _addresses(await client.answer)
        finally:
            transport.close()


class _Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(data)


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1


def _addresses(data: bytes) -> list[str]:
    *_, count, _, _ = _HEADER.unpack_from(data)
    _, at = _name(data, _HEADER.size)
    size = _ANSWER.size + 4
    records = [data[at + 4 + n * size : at + 4 + (n + 1) * size] for n in range(count)]
    return [str(IPv4Address(record[-4:])) for record in records]
