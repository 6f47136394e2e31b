"""The real service as a process, started, asked, stopped and killed as an operator would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

START_TIMEOUT_S = 180.0


class ServiceProcess:
    """``footnote serve`` with a data directory of its own, on a free port. A context manager; may be started again."""

    def __init__(self, *, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "serve.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")} | {
            "FOOTNOTE_DATA_DIR": str(self.data_dir),
            "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
            "FOOTNOTE_INGEST__DELAY_S": "0",
            "FOOTNOTE_SERVER__PORT": "0",
            "FOOTNOTE_LLM__WARM_UP": "false",  # most services here are asked little
            "OMP_WAIT_POLICY": "PASSIVE",
            **(settings or {}),
        }
        self.environment.pop("OMP_NUM_THREADS", None)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> ServiceProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self) -> None:
        """Start, and wait until it is ready to answer."""
        announced = self.data_dir / "service.json"
        announced.unlink(missing_ok=True)  # left behind by a kill
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "footnote", "serve"]
            self.process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not announced.exists():
            assert self.process.poll() is None, f"the service ended while starting:\n{self.tail()}"
            assert time.monotonic() < give_up_at, f"the service isn't ready after {START_TIMEOUT_S:g} s:\n{self.tail()}"
            time.sleep(0.1)
        self.url = json.loads(announced.read_text())["url"]

    def stop(self) -> int:
        """SIGTERM, as a service manager stops it; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=30)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        return httpx2.request(method, self.url + path, json=body, timeout=120, trust_env=False)

    def get(self, path: str) -> dict[str, Any]:
        return self._json(self.request("GET", path))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.request("POST", path, body))

    def wait_for_job(self, job_id: str, *, timeout_s: float) -> dict[str, Any]:
        give_up_at = time.monotonic() + timeout_s
        while True:
            job = self.get(f"/v1/jobs/{job_id}")
            if job["state"] in ("succeeded", "failed", "cancelled"):
                return job
            assert time.monotonic() < give_up_at, f"the job hasn't ended after {timeout_s:g} s: {job}\n{self.tail()}"
            time.sleep(0.25)

    @staticmethod
    def _json(response: httpx2.Response) -> dict[str, Any]:
        assert response.is_success, f"{response.status_code}: {response.text}"
        found = response.json()
        assert isinstance(found, dict)
        return found
