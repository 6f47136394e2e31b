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


class Died(Exception):
    """The service ended while it was asked something; whether it did it is unknown."""


class ForkServer:
    """The process that forks services (see ``armed.py``); a context manager. ``threads``: how many each may compute with."""

    def __init__(self, *, threads: int = 1) -> None:
        self._environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}

    def __enter__(self) -> ForkServer:
        command = [sys.executable, "-m", "tests.acceptance.armed"]
        pythonpath = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
        self._process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=environment | self._environment | {"PYTHONPATH": pythonpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._answer(START_TIMEOUT_S) == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def fork(self, order: dict[str, Any]) -> int:
        self._ask(order)
        return int(self._answer(30.0)["pid"])

    def status(self, timeout_s: float = 0.0) -> int | None:
        """How the forked process ended, as of waitpid; None if it hasn't yet."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        return int(self._answer(1.0)["status"])

    def left_behind(self) -> list[int]:
        """Processes that dead services left running."""
        self._ask({"left": True})
        left: list[int] = self._answer(30.0)["left"]
        return left

    def _ask(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], timeout_s)[0]
        assert ready, f"no answer from the fork server after {timeout_s:g} s"
        line = self._process.stdout.readline()
        assert line, "the fork server has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


class MortalService(ServiceProcess):
    """As :class:`ServiceProcess`, but forked, and its death is no failure."""

    def __init__(self, *, folder: Path, forks: ForkServer, settings: dict[str, str]) -> None:
        super().__init__(folder=folder, settings=settings)
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
        order["embedded"] = str(self._embedded)
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

    def stop(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
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
            self._status = self._forks.status(within_s)
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

    @property
    def _announced(self) -> Path:
        return self.data_dir / "service.json"
