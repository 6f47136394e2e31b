"""Clean processes for the bare libraries: each imports only what it measures, and is told what to do line by line.

Requests and answers are JSON, one to a line, on stdin and stdout; what a library prints goes to stderr. ``serve_requests`` is
the child's side, :class:`CleanProcess` the parent's.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from bench.errors import BenchError
from bench.service import child_environment

Body = dict[str, Any]
Handler = Callable[..., Body]
READ_BYTES = 1 << 16
STDERR_TAIL_BYTES = 2000
# How OpenMP's threads wait for each other. Spinning, its default, is faster on idle cores; on busy ones a query's encoding
# takes 4 to 10 times as long as with threads that sleep. The bare libraries get whichever is the better here and now.
WAIT_POLICIES: dict[str, dict[str, str]] = {"default": {}, "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"}}


class CleanProcess:
    """``python -m MODULE`` with the caller's environment and ``environment`` on top (a context manager)."""

    def __init__(self, module: str, *, environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._environment = child_environment() | dict(environment or {})
        self._unread = b""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, do: str, *, timeout_s: float, **arguments: Any) -> Body:
        """Run one request and give its answer. Raises: BenchError, if it fails, dies or takes too long."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | arguments).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; reading says so, with the reason
        answer: Body = json.loads(self._line(do, time.monotonic() + timeout_s, timeout_s))
        if "error" in answer:
            raise BenchError(f"{self._module} could not {do}: {answer['error']}")
        return answer

    def _line(self, do: str, deadline: float, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise BenchError(f"{self._module} took over {timeout_s:g} s to {do} and was stopped.")
            part = os.read(self._process.stdout.fileno(), READ_BYTES)
            if not part:
                self._errors.seek(0)
                tail = self._errors.read()[-STDERR_TAIL_BYTES:].decode(errors="replace")
                raise BenchError(f"{self._module} ended while it was to {do}. The end of what it said:\n{tail}")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def together(*calls: Callable[[], object]) -> None:
    """Run calls to several processes side by side, such as their loading, which takes seconds each. Raises what they raise."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


def serve_requests(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's own printing must not get between the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = handlers[request.pop("do")](**request)
        except Exception as exc:  # the process's outermost loop: the parent tells it
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
