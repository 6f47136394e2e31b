"""``python -m bench.load SITE``: many clients at once, while a crawl runs: who gets an answer, and how late.

A service of its own is started on loopback (its settings come from the environment), some pages are ingested, and then clients
ask as fast as they are answered: one alone, many with nothing else going on, and many while the rest of the site is crawled.
What is refused with 429 or 503 and a ``Retry-After`` is counted apart, and waited for as told; all else but 200 is an error, and
one error fails the run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import machine
from bench.errors import BenchError
from bench.http import Api, Body
from bench.service import ServiceProcess
from bench.site import Site

REFUSALS = (429, 503)
LONGEST_WAIT_S = 5.0
JOB_POLL_S = 0.5
JOB_TIMEOUT_S = 900.0


@dataclass(slots=True)
class Counts:
    """What clients saw. ``answer_s``: of each request that was answered; ``errors``: what was neither an answer nor a refusal."""

    answer_s: list[float] = field(default_factory=list)
    refused: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Phase:
    """One row of the table. Times in milliseconds."""

    name: str
    kind: str
    clients: int
    answered: int
    per_s: float
    p50_ms: float
    p95_ms: float
    refused: int
    errors: list[str]


def clients_ask(url: str, *, path: str, bodies: Sequence[dict[str, Any]], clients: int, seconds: float) -> Counts:
    """Let so many clients ask one thing after the other for so long."""
    seen, lock, numbers, until = Counts(), threading.Lock(), count(), time.monotonic() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        while time.monotonic() < until:
            body = json.dumps(bodies[next(numbers) % len(bodies)]).encode()
            began, wait_s = time.perf_counter(), 0.0
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                text = response.read()
            except (http.client.HTTPException, OSError) as exc:
                connection.close()
                with lock:
                    seen.errors.append(repr(exc))
                continue
            took_s, retry_after = time.perf_counter() - began, response.headers.get("Retry-After")
            with lock:
                if response.status == 200:
                    seen.answer_s.append(took_s)
                elif response.status in REFUSALS and retry_after:
                    seen.refused += 1
                    wait_s = float(retry_after)
                else:
                    seen.errors.append(f"{response.status}: {text[:200].decode(errors='replace')}")
            time.sleep(min(wait_s, LONGEST_WAIT_S, max(0.0, until - time.monotonic())))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def phase(name: str, url: str, *, kind: str, questions: Sequence[str], clients: int, seconds: float) -> Phase:
    field_name = "question" if kind == "ask" else "query"
    began = time.monotonic()
    seen = clients_ask(
        url, path=f"/v1/{kind}", bodies=[{field_name: question} for question in questions], clients=clients, seconds=seconds
    )
    took_s = time.monotonic() - began
    times = sorted(seen.answer_s) or [float("nan")]
    p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
    return Phase(
        name,
        kind,
        clients,
        len(seen.answer_s),
        len(seen.answer_s) / took_s,
        statistics.median(times) * 1000,
        p95 * 1000,
        seen.refused,
        seen.errors,
    )


def table(phases: Sequence[Phase]) -> str:
    rows = [
        "| | clients | answered | /s | p50 ms | p95 ms | refused, with Retry-After | errors |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {one.kind}, {one.name} | {one.clients} | {one.answered} | {one.per_s:.1f} | {one.p50_ms:.0f} | {one.p95_ms:.0f} "
        f"| {one.refused} | {len(one.errors)} |"
        for one in phases
    ]
    return "\n".join(rows)


def run(arguments: argparse.Namespace) -> list[Phase]:
    phases: list[Phase] = []
    with (
        tempfile.TemporaryDirectory(prefix="footnote-load-") as folder,
        Site(arguments.site, pages=arguments.pages) as site,
        ServiceProcess(data_dir=Path(folder) / "data", log_path=Path(folder) / "log") as service,
    ):
        first = {"urls": site.start_urls, "mode": site.mode, "max_pages": arguments.pages}
        _wait(service.url, _post(service.url, "/v1/ingest", first)["job_id"])
        pages = _get(service.url, f"/v1/pages?collection=default&limit={min(arguments.pages, 200)}")["pages"]
        questions = [f"What does the page {page['title']} tell about {page['title'].split()[-1]}?" for page in pages]
        if not questions:
            raise BenchError("No page could be ingested.")
        options: dict[str, Any] = {"questions": questions, "seconds": arguments.seconds}
        for kind in ("search", "ask"):
            phases.append(phase("alone, idle", service.url, kind=kind, clients=1, **options))
            phases.append(phase("idle", service.url, kind=kind, clients=arguments.clients, **options))
            again = {"urls": site.start_urls, "mode": site.mode, "max_pages": 1_000_000, "collection": f"crawled-{kind}"}
            job = _post(service.url, "/v1/ingest", again)["job_id"]
            phases.append(phase("during a crawl", service.url, kind=kind, clients=arguments.clients, **options))
            state = _get(service.url, f"/v1/jobs/{job}")
            if state["state"] != "running":
                raise BenchError(f"The crawl had {state['state']} before the clients were done: name a larger site.")
            print(f"{kind}: the crawl indexed {state['urls']['indexed']} pages meanwhile", file=sys.stderr)
            _post(service.url, f"/v1/jobs/{job}/cancel", {})
            _wait(service.url, job)
    return phases


def _get(url: str, path: str) -> Body:
    with Api(url) as api:  # a connection of its own: one that waits for a phase to end is closed by the server
        return api.get(path)


def _post(url: str, path: str, body: Body) -> Body:
    with Api(url) as api:
        return api.post(path, body)


def _wait(url: str, job: str) -> None:
    give_up_at = time.monotonic() + JOB_TIMEOUT_S
    while _get(url, f"/v1/jobs/{job}")["state"] not in ("succeeded", "failed", "cancelled"):
        if time.monotonic() > give_up_at:
            raise BenchError(f"The job {job} hasn't ended after {JOB_TIMEOUT_S:g} s.")
        time.sleep(JOB_POLL_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("site", type=Path, help="a folder of HTML pages, some hundred of them")
    parser.add_argument("--pages", type=int, default=30, help="pages that are searched (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=64, choices=range(1, 257), metavar="1-256", help="at once (default: 64)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    try:
        phases = run(arguments)
    except (BenchError, OSError) as exc:
        print(f"The benchmark broke off: {exc}", file=sys.stderr)
        return 1
    facts = machine.facts()
    print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}\n\n{table(phases)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "phases": [asdict(one) for one in phases]}, indent=2) + "\n")
    errors = [error for one in phases for error in one.errors]
    for error in errors[:5]:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
