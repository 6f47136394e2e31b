"""The real service as a process of its own, as ``footnote serve`` starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BenchError
from bench.http import Api
from bench.machine import OtherLoad, cpu_s
from bench.report import stages_of_log

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class StartTimes:
    """``ready_s``: from the process's start until /readyz said 200. ``stages``: what of it each stage took, in order.
    ``cpu_s``: processor seconds until then; on a machine that does nothing else a start takes little longer.
    ``other_cores``: how many cores something else kept busy meanwhile."""

    ready_s: float
    stages: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    other_cores: float = 0.0


class ServiceProcess:
    """Footnote on a free loopback port with a data directory of its own (a context manager). Stops at the block's end."""

    def __init__(self, *, data_dir: Path, log_path: Path) -> None:
        self._data_dir = data_dir
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.times = StartTimes(0.0)

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "footnote", "serve", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--data-dir", str(self._data_dir)]
        environment = child_environment() | {
            "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
            "FOOTNOTE_INGEST__DELAY_S": "0",
            "FOOTNOTE_LOG_LEVEL": "info",  # the stages of the start are read from the log
        }
        load = OtherLoad()
        began, began_at = time.monotonic(), time.time()
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with load, Api(self.url, timeout_s=5.0) as api:
                while api.status("/readyz") != 200:
                    if self._process.poll() is not None:
                        raise BenchError(f"The service ended by itself, exit code {self._process.returncode}.\n{self.log_tail()}")
                    if time.monotonic() - began > START_TIMEOUT_S:
                        raise BenchError(f"The service wasn't ready after {START_TIMEOUT_S:g} s.\n{self.log_tail()}")
                    time.sleep(POLL_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        ready_s, used_s = time.monotonic() - began, cpu_s(self.pid)
        log_text = self._log_path.read_text(errors="replace")
        self.times = StartTimes(ready_s, stages_of_log(log_text, began_at_s=began_at), used_s, load.cores)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log_tail(self) -> str:
        """The end of the service's log, for an error message."""
        lines = self._log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "The end of its log:\n" + "\n".join(f"  {line}" for line in lines)


def child_environment() -> dict[str, str]:
    """The caller's own environment, with this folder's packages first on the path."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return dict(os.environ) | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
