"""A `milvus-lite server` of the tests' own: it speaks Milvus' protocol over gRPC, BM25 functions included. It is no Milvus: one
writer at a time, no consistency levels, other analyzers, no users."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

START_S = 60.0
# As `milvus-lite server` does it, but one call at a time, for its engine loses rows of two that write at once.
RUN = """
import sys
from milvus_lite.adapter.grpc.server import run_server
run_server(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), max_workers=1)
"""


@dataclass(slots=True)
class LiteServer:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Give back once it answers."""
        command = [sys.executable, "-c", RUN, str(self.folder / "data"), str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            waiting = grpc.channel_ready_future(channel)
            give_up_at = time.monotonic() + START_S
            while True:
                try:
                    return waiting.result(timeout=0.2)
                except grpc.FutureTimeoutError:
                    gone = self.process.poll() is not None
                    if gone or time.monotonic() > give_up_at:
                        waiting.cancel()
                        raise RuntimeError(f"milvus-lite server: {(self.folder / 'log').read_text()}") from None

    def stop(self) -> None:
        """As a crash would. What it acknowledged stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def lite_server() -> Iterator[LiteServer]:
    folder = Path(tempfile.mkdtemp(prefix="footnote-milvus-"))
    server = LiteServer(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
