"""Content codings, undone with a bound: a few bytes on the wire can stand for gigabytes.

gzip and deflate by zlib, br by brotli, zstd by Python's own module (its backport before 3.14). As in browsers (WHATWG Fetch),
a name that is no coding, such as a charset put into the wrong header, changes nothing.
"""

from __future__ import annotations

import codecs
import re
import sys
import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli

from corpus.errors import PermanentError, TransientError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
MAX_CODINGS = 2
GZIP_MAGIC = b"\x1f\x8b\x08"  # RFC 1952, section 2.3: and deflate, the only method there is

_UNREADABLE = frozenset(
    ("compress", "exi", "pack200-gzip", "aes128gcm", "dcb", "dcz", "sdch", "bzip2", "bzip", "lzma", "xz", "lz4", "snappy")
)  # codings in IANA's register or in use, that no browser undoes without more

_PIECE_BYTES = 65_536  # undone at a time, so that what exceeds the limit is never produced
_INPUT_BYTES = 4_096  # given at a time: what a stream leaves over is copied, so it must be short
_HEAD_BYTES = 65_536
_ZSTD_WINDOW_LOG = 23  # 8 MiB, the most that a page may ask for (RFC 9659)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def content_codings(header: str) -> tuple[str, ...]:
    """The codings that a Content-Encoding header names, in the order they were applied: of gzip, deflate, br and zstd.

    Raises:
        PermanentError: reason ``bad_encoding``: a coding that isn't undone here, or more than ``MAX_CODINGS``.
    """
    names = [part.strip().lower().removeprefix("x-") for part in header.split(",")]  # RFC 9110, section 8.4.1.3
    codings = tuple(name for name in names if name in _STAGES)
    if len(codings) > MAX_CODINGS or not _UNREADABLE.isdisjoint(names):
        raise PermanentError(
            f"The server sent Content-Encoding {header[:80]!r}, but was asked for {ACCEPT_ENCODING} or none. Turn that coding "
            "off on the server.",
            reason="bad_encoding",
        )
    return codings


class BodyDecoder:
    """Collects a body piece by piece and undoes its codings. ``body`` holds at most ``limit_bytes``; ``received_bytes`` came.

    The limit holds for the bytes received, for those between two codings, and for those decoded. What would exceed it is never
    produced. A body that is text in spite of its coding is taken as it is.

    Args:
        coding: the Content-Encoding header, or the name of a coding.

    Raises:
        PermanentError: as :func:`content_codings`.
    """

    def __init__(self, *, coding: str, limit_bytes: int) -> None:
        self.body = bytearray()
        self.overflowed = False
        self.codings = content_codings(coding)
        self.received_bytes = 0
        self._limit_bytes = limit_bytes
        self._stages = [_STAGES[name](name) for name in reversed(self.codings)]
        self._undone_bytes = [0] * len(self._stages)
        self._received: bytearray | None = bytearray()  # as long as it may turn out to be text
        self._fault: Exception | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes as received. Once ``overflowed`` is set there is no use in feeding more.

        Raises:
            PermanentError: reason ``bad_encoding``: the bytes are not what the coding says.
        """
        self.received_bytes += len(piece)
        if self._stages:
            self._decode(piece)
        else:
            self.body += piece
        self.overflowed |= self.received_bytes > self._limit_bytes or len(self.body) > self._limit_bytes
        del self.body[self._limit_bytes :]

    def finish(self) -> None:
        """Say that all bytes were received.

        Raises:
            PermanentError: as :meth:`feed`. TransientError: reason ``truncated``: the compressed data stops before its end.
        """
        if self._fault is not None:
            self._settle()
        inputs = (self.received_bytes, *self._undone_bytes)
        is_cut_off = any(taken and not stage.is_complete for taken, stage in zip(inputs, self._stages, strict=False))
        if is_cut_off and not self._is_text_after_all():
            raise TransientError("The compressed body was cut off. It is tried again later.", reason="truncated")

    def _decode(self, piece: bytes) -> None:
        if self._received is not None:
            self._received += piece
        if self._fault is None:
            try:
                self._take(piece)
            except (zlib.error, brotli.error, zstd.ZstdError) as exc:
                self._fault = exc
        is_head_complete = self._received is None or len(self._received) >= _HEAD_BYTES
        if self._fault is not None and is_head_complete:
            self._settle()
        elif is_head_complete:
            self._received = None

    def _take(self, piece: bytes) -> None:
        for start in range(0, len(piece), _INPUT_BYTES):
            for undone in self._undo(piece[start : start + _INPUT_BYTES], 0):
                self.body += undone
            if self.overflowed:
                return

    def _settle(self) -> None:
        """What can't be decoded is text, or nothing of use."""
        fault, self._fault = self._fault, None
        if not self._is_text_after_all():
            raise PermanentError(
                f"The body is not valid {', '.join(self.codings)} data ({fault}). Check the server's compression.",
                reason="bad_encoding",
            ) from fault

    def _undo(self, data: bytes, level: int) -> Iterator[bytes]:
        if level == len(self._stages):
            yield data
            return
        for piece in self._stages[level].pieces(data):
            self._undone_bytes[level] += len(piece)
            self.overflowed |= self._undone_bytes[level] > self._limit_bytes
            if piece:
                yield from self._undo(piece, level + 1)
            if self.overflowed:
                return

    def _is_text_after_all(self) -> bool:
        """Whether the server only says that it compressed; then the body is what was received.

        Compressed data has control characters from its first bytes on, and is not valid UTF-8.
        """
        if self._received is None or not _is_text(bytes(self._received[:_HEAD_BYTES])):
            return False
        self.body, self.codings = self._received, ()
        self._stages, self._undone_bytes, self._received = [], [], None
        return True


class _Stage(Protocol):
    """One coding on its way back."""

    @property
    def is_complete(self) -> bool:
        """Whether the data ended where the coding says it ends."""
        ...

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` adds, in pieces of some ``_PIECE_BYTES`` at most, each made when it is asked for."""
        ...


class _Inflate:
    """gzip (RFC 1952) and deflate (RFC 1950, or RFC 1951 as some servers send it)."""

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding == "gzip"
        self._stream: zlib._Decompress | None = None
        self._ended = False

    @property
    def is_complete(self) -> bool:
        return self._ended or (self._stream is not None and self._stream.eof)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data and not self._ended:
            if self._stream is None or self._stream.eof:
                if self._stream is not None and not (self._is_gzip and data[0] == GZIP_MAGIC[0]):
                    self._ended = True  # padding after the end, which browsers pass over too
                    return
                self._stream = zlib.decompressobj(self._window(data[0]))  # members may follow (RFC 1952, section 2.2)
            piece = self._stream.decompress(data, _PIECE_BYTES)
            yield piece
            while len(piece) == _PIECE_BYTES:
                piece = self._stream.decompress(self._stream.unconsumed_tail, _PIECE_BYTES)
                yield piece
            data = self._stream.unused_data

    def _window(self, first_byte: int) -> int:
        if self._is_gzip:
            return 16 + zlib.MAX_WBITS
        # "deflate" means the zlib format (RFC 9110, section 8.4.1.2), yet some servers send it raw. The low nibble
        # of zlib's first byte is 8, which in a raw stream would be a stored block with its padding set: none sends that.
        return zlib.MAX_WBITS if first_byte & 0x0F == 8 else -zlib.MAX_WBITS


class _Brotli:
    """br (RFC 7932). Its window is 16 MiB at most."""

    def __init__(self, coding: str) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._stream.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._stream.is_finished():  # as it raises itself where both come in one piece
            raise brotli.error("data after the end")
        while True:
            piece = self._stream.process(data, output_buffer_limit=_PIECE_BYTES)
            yield piece
            if self._stream.is_finished() or (not piece and self._stream.can_accept_more_data()):
                return
            data = b""


class _Zstd:
    """zstd (RFC 8878), one frame or several, with the window that RFC 9659 allows."""

    def __init__(self, coding: str) -> None:
        self._stream = self._new()

    @staticmethod
    def _new() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                self._stream = self._new()
            yield self._stream.decompress(data, _PIECE_BYTES)
            while not (self._stream.eof or self._stream.needs_input):
                yield self._stream.decompress(b"", _PIECE_BYTES)
            data = self._stream.unused_data if self._stream.eof else b""


_STAGES: dict[str, type[_Inflate] | type[_Brotli] | type[_Zstd]] = {
    "gzip": _Inflate,
    "deflate": _Inflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def _is_text(head: bytes) -> bool:
    if _CONTROLS.search(head):
        return False
    try:
        codecs.utf_8_decode(head, "strict", False)  # the head may end within a character
    except UnicodeDecodeError:
        return head.lstrip().startswith(b"<")
    return bool(head)
