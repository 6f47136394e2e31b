"""Content codings, decoded with a bound: a few bytes on the wire can stand for gigabytes."""

from __future__ import annotations

import zlib

from corpus.errors import PermanentError, TransientError

ACCEPT_ENCODING = "gzip, deflate"

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_FIRST_BYTE = 0x1F


def content_coding(header: str) -> str:
    """The one coding that a Content-Encoding header names: ``gzip``, ``deflate`` or ``identity``.

    Raises:
        PermanentError: reason ``bad_encoding``: a coding that was not asked for, or one inside another.
    """
    codings = [name for name in (part.strip().lower() for part in header.split(",")) if name not in ("", "identity")]
    if not codings:
        return "identity"
    coding = codings[0].removeprefix("x-")  # RFC 9110, section 8.4.1.3
    if len(codings) > 1 or coding not in ("gzip", "deflate"):
        raise PermanentError(
            f"The server sent Content-Encoding {header!r}, but was asked for {ACCEPT_ENCODING} or none.", reason="bad_encoding"
        )
    return coding


class BodyDecoder:
    """Collects a body piece by piece and decodes it. ``body`` holds at most ``limit_bytes``; ``received_bytes`` came.

    The limit holds for the bytes received and for the bytes decoded. What would exceed it is never produced.
    """

    def __init__(self, *, coding: str, limit_bytes: int) -> None:
        self.body = bytearray()
        self.overflowed = False
        self._coding = coding
        self._limit_bytes = limit_bytes
        self.received_bytes = 0
        self._stream: zlib._Decompress | None = None
        self._ended = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes as received. Once ``overflowed`` is set there is no use in feeding more.

        Raises:
            PermanentError: reason ``bad_encoding``: the bytes are not what the coding says.
        """
        self.received_bytes += len(piece)
        if self._coding == "identity":
            self.body += piece
        else:
            try:
                self._inflate(piece)
            except zlib.error as exc:
                raise PermanentError(f"The body is not valid {self._coding} data: {exc}.", reason="bad_encoding") from exc
        self.overflowed = self.received_bytes > self._limit_bytes or len(self.body) > self._limit_bytes
        del self.body[self._limit_bytes :]

    def finish(self) -> None:
        """Say that all bytes were received.

        Raises:
            TransientError: reason ``truncated``: the compressed data stops before its end.
        """
        if self._stream is not None and not self._ended and not self._stream.eof:
            raise TransientError("The compressed body was cut off. It is tried again later.", reason="truncated")

    def _inflate(self, data: bytes) -> None:
        while data and not self._ended:
            if self._stream is None or self._stream.eof:
                if self._stream is not None and not self._starts_member(data):
                    self._ended = True  # padding after the end, which browsers pass over too
                    return
                self._stream = zlib.decompressobj(self._window(data[0]))
            room_bytes = self._limit_bytes + 1 - len(self.body)
            self.body += self._stream.decompress(data, room_bytes)
            if len(self.body) > self._limit_bytes:
                return
            data = self._stream.unused_data

    def _starts_member(self, data: bytes) -> bool:
        return self._coding == "gzip" and data[0] == _GZIP_FIRST_BYTE  # RFC 1952, section 2.2: members may follow

    def _window(self, first_byte: int) -> int:
        if self._coding == "gzip":
            return _GZIP_WINDOW
        # "deflate" means the zlib format (RFC 9110, section 8.4.1.2), yet some servers send it raw. The low nibble
        # of zlib's first byte is 8, which in a raw stream would be a stored block with its padding set: none sends that.
        return zlib.MAX_WBITS if first_byte & 0x0F == 8 else -zlib.MAX_WBITS
