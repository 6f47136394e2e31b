"""``python -m bench.throughput SITE``: how many searches a second the service answers to 1, 8 and 32 clients at once.

Each client asks again as soon as it has its answer. The language model is left out: it has a queue of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import ingest, machine
from bench.errors import BenchError
from bench.http import Api
from bench.report import Line, Section, p50_p95, ratio, table
from bench.service import ServiceProcess
from bench.site import Site
from bench.stored import live_chunks, queries_from

CLIENTS = "1,8,32"
QUERIES = 200
WARM_UPS = 5


@dataclass(frozen=True, slots=True)
class Throughput:
    """``ms``: of each search. ``cpu_ms``: the service's processor time for one search. ``other_cores``: see ``OtherLoad``."""

    clients: int
    reranked: bool
    per_s: float
    ms: list[float]
    cpu_ms: float
    other_cores: float


def measure(service: ServiceProcess, queries: Sequence[str], *, clients: int, rerank: bool, seconds: float) -> Throughput:
    with Api(service.url) as api:
        for text in queries[:WARM_UPS]:
            api.post("/v1/search", {"query": text, "rerank": rerank})
    took_ms: list[list[float]] = [[] for _ in range(clients)]
    failures: list[Exception] = []
    began = time.perf_counter()
    until = began + seconds

    def ask(number: int) -> None:
        try:
            with Api(service.url) as api:
                at = number
                while (asked := time.perf_counter()) < until:
                    api.post("/v1/search", {"query": queries[at % len(queries)], "rerank": rerank})
                    took_ms[number].append((time.perf_counter() - asked) * 1000)
                    at += clients
        except (BenchError, OSError) as exc:
            failures.append(exc)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    used_s = machine.cpu_s(service.pid)
    with machine.OtherLoad() as load:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s = time.perf_counter() - began
    used_s = machine.cpu_s(service.pid) - used_s
    if failures:
        raise BenchError(f"A search failed: {failures[0]}")
    ms = [one for each in took_ms for one in each]
    return Throughput(clients, rerank, len(ms) / wall_s, ms, used_s / len(ms) * 1000, load.cores)


def section(found: Sequence[Throughput], *, chunks: int) -> Section:
    lines = []
    for one in found:
        alone = next(other for other in found if other.reranked == one.reranked)
        lines.append(
            Line(
                f"{one.clients} client{'s' if one.clients > 1 else ''}, {'reranked' if one.reranked else 'not reranked'}",
                f"{one.per_s:.1f} /s, {p50_p95(one.ms)}, {one.cpu_ms:.0f} ms of processor each",
                f"{alone.per_s:.1f} /s with {alone.clients}",
                ratio(one.per_s, alone.per_s),
            )
        )
    loads = ", ".join(f"{one.other_cores:.1f}" for one in found)
    return Section(f"Searches at once, {chunks} chunks", lines, (f"Cores busy with something else: {loads}.",))


def main() -> int:
    arguments = _arguments()
    found: list[Throughput] = []
    try:
        with tempfile.TemporaryDirectory(prefix="footnote-bench-") as folder, Site(arguments.site, pages=arguments.pages) as site:
            data_dir = Path(folder) / "data"
            with ServiceProcess(data_dir=data_dir, log_path=Path(folder) / "serve.log") as service:
                print(f"… crawling {arguments.pages} pages", file=sys.stderr, flush=True)
                ingest.measure_crawl(service, site, pages=arguments.pages)
                chunks = live_chunks(data_dir)
                queries = queries_from(chunks, count=QUERIES, seed=arguments.seed)
                for rerank in (False, True):
                    for clients in arguments.clients:
                        print(f"… {clients} at once", file=sys.stderr, flush=True)
                        seconds = arguments.seconds
                        found.append(measure(service, queries, clients=clients, rerank=rerank, seconds=seconds))
    except (BenchError, OSError) as exc:
        print(f"The benchmark broke off: {exc}", file=sys.stderr)
        return 1
    print(table([section(found, chunks=len(chunks))]))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description="Measure searches by many clients at once.")
    parser.add_argument("site", type=Path, metavar="SITE", help="a folder of HTML pages, which is served on loopback")
    parser.add_argument("--pages", type=int, default=8, help="pages crawled at most (8)")
    parser.add_argument("--clients", type=_counts, default=_counts(CLIENTS), help=f"clients, comma-separated ({CLIENTS})")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement (6)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of queries (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return counts


if __name__ == "__main__":
    sys.exit(main())
