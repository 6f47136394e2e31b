"""A service that is expected to be killed: started in a blink by forking, and asked while it lives."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.armed import ENVIRONMENT, Arm
from tests.acceptance.service import START_TIMEOUT_S, ServiceProcess
from tests.acceptance.sites import CHECKOUT

ANSWER_TIMEOUT_S = 30.0
READ_BYTES = 1 << 16


class Died(Exception):
    """The service ended while it was asked something; whether it did it is unknown."""


class ForkServer:
    """The process that forks services (see ``armed.py``), each of which computes with one thread. A context manager."""

    def __init__(self) -> None:
        self._ended: dict[int, int] = {}  # how processes ended, as of waitpid
        self._unread = b""

    def __enter__(self) -> ForkServer:
        command = [sys.executable, "-m", "tests.acceptance.armed"]
        pythonpath = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
        self._process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=environment | ENVIRONMENT | {"PYTHONPATH": pythonpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._read(START_TIMEOUT_S) == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def fork(self, order: dict[str, Any]) -> int:
        pid = int(self._ask(order)["pid"])
        self._ended.pop(pid, None)  # of a dead one that had the same number
        return pid

    def status(self, pid: int, timeout_s: float = 0.0) -> int | None:
        """How the forked process ended, as of waitpid; None if it hasn't yet."""
        give_up_at = time.monotonic() + timeout_s
        while pid not in self._ended and (answer := self._read(max(0.0, give_up_at - time.monotonic()))):
            self._note(answer)
        return self._ended.get(pid)

    def left_behind(self) -> list[int]:
        """Processes that dead services left running."""
        left: list[int] = self._ask({"left": True})["left"]
        return left

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        while answer := self._read(ANSWER_TIMEOUT_S):
            if "status" not in answer:
                return answer
            self._note(answer)
        raise AssertionError(f"no answer from the fork server after {ANSWER_TIMEOUT_S:g} s")

    def _note(self, end: dict[str, Any]) -> None:
        self._ended[int(end["pid"])] = int(end["status"])

    def _read(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line; None if none comes in time."""
        if b"\n" not in self._unread and not self._receive(timeout_s):
            return None
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _receive(self, timeout_s: float) -> bool:
        """Read until a line is whole."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([fd], [], [], timeout_s)[0]:
                return False
            part = os.read(fd, READ_BYTES)
            assert part, "the fork server has ended"
            self._unread += part
        return True


class MortalService(ServiceProcess):
    """As :class:`ServiceProcess`, but forked, and its death is no failure. ``arguments``: of the command line."""

    def __init__(
        self, *, folder: Path, forks: ForkServer, settings: dict[str, str], arguments: tuple[str, ...] = ("serve",)
    ) -> None:
        super().__init__(folder=folder, settings=settings)
        self._arguments = arguments
        self.hits = folder / "hits"
        self._embedded = folder / "embedded"
        self._forks = forks
        self.pid = 0
        self._status: int | None = None
        self._client = httpx2.Client(trust_env=False, timeout=60)

    def __enter__(self) -> MortalService:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid and self.alive:
            self.kill()
        self._client.close()

    def begin(self, arm: Arm | None = None) -> None:
        """Fork it; it isn't ready yet."""
        assert not self.pid or not self.alive, "it is running"
        self._announced.unlink(missing_ok=True)
        self.hits.unlink(missing_ok=True)
        ours = {name: value for name, value in self.environment.items() if name.startswith("FOOTNOTE_")}
        order = {"environment": ours, "log": str(self.log), "hits": str(self.hits), "arm": asdict(arm) if arm else None}
        order |= {"embedded": str(self._embedded), "arguments": self._arguments}
        self._status = None
        self.pid = self._forks.fork(order)

    def ready(self) -> None:
        """Wait until it answers. Raises: Died."""
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not self._announced.exists():
            assert time.monotonic() < give_up_at, f"not ready:\n{self.tail()}"
            if self.ended(within_s=0.02):
                raise Died
        self.url = json.loads(self._announced.read_text())["url"]

    @property
    def embedded(self) -> int:
        """How many passages were embedded since the data directory was new."""
        return sum(map(int, self._embedded.read_text().split())) if self._embedded.exists() else 0

    def start(self) -> None:
        self.begin()
        self.ready()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s=60)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait(timeout_s=30)

    def wait(self, *, timeout_s: float) -> int:
        """The exit code, negative if a signal ended it."""
        assert self.ended(within_s=timeout_s), f"not ended after {timeout_s:g} s:\n{self.tail()}"
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def ended(self, *, within_s: float = 0.0) -> bool:
        if self._status is None:
            self._status = self._forks.status(self.pid, within_s)
        return self._status is not None

    @property
    def alive(self) -> bool:
        return not self.ended()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        """Raises: Died."""
        try:
            return self._client.request(method, self.url + path, json=body)
        except httpx2.TransportError as exc:
            if self.ended(within_s=10):
                raise Died from exc
            raise

    def get_with(self, headers: dict[str, str], path: str) -> httpx2.Response:
        return self._client.get(self.url + path, headers=headers)

    @property
    def _announced(self) -> Path:
        return self.data_dir / "service.json"
