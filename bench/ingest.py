"""Ingest: a crawl over HTTP, beside the time that embedding the same chunks takes by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.clean_process import WAIT_POLICIES, CleanProcess, together
from bench.errors import BenchError
from bench.http import Api, Body
from bench.machine import OtherLoad, cpu_s
from bench.report import Goal, Line, Section, ratio
from bench.service import ServiceProcess
from bench.site import Site

CRAWL_TIMEOUT_S = 900.0
POLL_S = 0.1
ENCODE_TIMEOUT_S = 600.0
BATCH_SIZES = (16, 32, 64)
MOST_CHUNKS = 1000  # encoded at batch 16; of more, this many are chosen at random
FULL_BELOW_S = 30.0  # if that takes longer, the other batch sizes are measured on a sample
SAMPLE_CHUNKS = 256
TRIAL_CHUNKS = 32  # they decide how OpenMP's threads wait
TRIALS = 2
WALL_GOAL = Goal("at most", 1.2)


@dataclass(frozen=True, slots=True)
class CrawlFigures:
    """``cpu_s``: processor seconds of the service and its parsers. ``other_cores``: cores that others kept busy meanwhile."""

    pages: int
    chunks: int
    urls: dict[str, int]
    wall_s: float
    cpu_s: float
    other_cores: float


@dataclass(frozen=True, slots=True)
class FloorFigures:
    """Seconds that encoding all chunks takes, by batch size. ``encoded``: how many of them were; where not all, the time is
    scaled up, for batch 16 by the texts' length, for the others by what batch 16 took. ``openmp``: see ``WAIT_POLICIES``."""

    chunks: int
    threads: int
    device: str
    openmp: str
    wall_s: dict[int, float]
    cpu_s: dict[int, float]
    encoded: dict[int, int]
    other_cores: float


def measure_crawl(service: ServiceProcess, site: Site, *, pages: int) -> CrawlFigures:
    """Run one ingest job to its end."""
    cpu_before_s = cpu_s(service.pid)
    with OtherLoad() as load, Api(service.url) as api:
        began = time.perf_counter()
        body = {"urls": site.start_urls, "mode": site.mode, "max_pages": pages}
        job = _finished(api, service, api.post("/v1/ingest", body)["job_id"])
        wall_s = time.perf_counter() - began
    done = job["urls"]["indexed"] + job["urls"]["unchanged"]
    if not done:
        reasons = sorted({f"{failure['reason']}: {failure['message']}" for failure in job["failures"]})
        raise BenchError(f"No page could be indexed ({job['error']}) {' '.join(reasons[:3])}\n{service.log_tail()}")
    return CrawlFigures(done, job["chunks"], job["urls"], wall_s, cpu_s(service.pid) - cpu_before_s, load.cores)


def measure_floor(texts: Sequence[str], *, folder: str, device: str | None, seed: int) -> FloorFigures:
    """``SentenceTransformer.encode`` of the same texts, in a clean process, after its model is loaded and warm."""
    first, *others = BATCH_SIZES
    trial = random.Random(seed).sample(texts, min(len(texts), TRIAL_CHUNKS))
    with ExitStack() as stack, OtherLoad() as load:
        encoders = {name: stack.enter_context(_Encoder(policy)) for name, policy in WAIT_POLICIES.items()}
        together(*(partial(encoder.load, folder, device) for encoder in encoders.values()))
        trials = {name: min(encoder.encode(trial, first)[0] for _ in range(TRIALS)) for name, encoder in encoders.items()}
        policy = min(trials, key=lambda name: trials[name])
        encoder = encoders[policy]
        most = random.Random(seed).sample(texts, min(len(texts), MOST_CHUNKS))
        found = encoder.encode(most, first)
        scale = sum(map(len, texts)) / sum(map(len, most))
        whole = (found[0] * scale, found[1] * scale)
        times = {first: whole}
        sample = most[:SAMPLE_CHUNKS] if whole[0] > FULL_BELOW_S else most
        reference = encoder.encode(sample, first) if len(sample) < len(most) else found
        for batch_size in others:
            found = encoder.encode(sample, batch_size)
            times[batch_size] = (whole[0] * found[0] / reference[0], whole[1] * found[1] / reference[1])
    return FloorFigures(
        chunks=len(texts),
        threads=encoder.threads,
        device=encoder.device,
        openmp=policy,
        wall_s={size: wall_s for size, (wall_s, _) in times.items()},
        cpu_s={size: used_s for size, (_, used_s) in times.items()},
        encoded={first: len(most), **dict.fromkeys(others, len(sample))},
        other_cores=load.cores,
    )


class _Encoder(CleanProcess):
    """``encode`` gives wall and processor seconds."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__("bench.bare_encoder", environment=environment)
        self.threads, self.device = 0, ""

    def load(self, folder: str, device: str | None) -> None:
        facts = self.call("load", timeout_s=ENCODE_TIMEOUT_S, folder=folder, device=device)
        self.threads, self.device = facts["threads"], facts["device"]

    def encode(self, texts: Sequence[str], batch_size: int) -> tuple[float, float]:
        found = self.call("encode", timeout_s=ENCODE_TIMEOUT_S, texts=list(texts), batch_size=batch_size)
        return found["wall_s"], found["cpu_s"]


def section(first: CrawlFigures, again: CrawlFigures, floor: FloorFigures) -> Section:
    fastest = min(floor.wall_s, key=lambda size: floor.wall_s[size])
    leanest = min(floor.cpu_s, key=lambda size: floor.cpu_s[size])
    lines = [
        Line("pages", f"{first.pages / first.wall_s:.2f} /s ({first.pages} in {first.wall_s:.1f} s)"),
        *(
            Line(
                f"chunks, encode alone at batch {size}" + (", the best" if size == fastest else ""),
                f"{first.chunks / first.wall_s:.1f} /s ({first.chunks} in {first.wall_s:.1f} s)",
                f"{floor.chunks / wall_s:.1f} /s ({'about ' if floor.encoded[size] < floor.chunks else ''}{wall_s:.1f} s)",
                ratio(first.wall_s, wall_s),
                WALL_GOAL,
            )
            for size, wall_s in floor.wall_s.items()
        ),
        Line(
            f"processor time, encode alone at batch {leanest}",
            f"{first.cpu_s:.1f} s",
            f"{floor.cpu_s[leanest]:.1f} s",
            ratio(first.cpu_s, floor.cpu_s[leanest]),
        ),
        Line("pages, unchanged since", f"{again.pages / again.wall_s:.1f} /s ({again.pages} in {again.wall_s:.1f} s)"),
    ]
    outcome = ", ".join(f"{count} {state}" for state, count in first.urls.items() if count)
    return Section(
        "Ingest",
        lines,
        (
            f"URLs: {outcome}. Encode, its loading not counted: {floor.threads} threads on {floor.device}; OpenMP's waiting: "
            f"{floor.openmp}.",
            f"Cores busy with something else: {first.other_cores:.1f} during the crawl, {floor.other_cores:.1f} during encode.",
        ),
    )


def _finished(api: Api, service: ServiceProcess, job_id: str) -> Body:
    deadline = time.monotonic() + CRAWL_TIMEOUT_S
    while True:
        job = api.get(f"/v1/jobs/{job_id}")
        if job["finished_at"] is not None:
            return job
        if time.monotonic() > deadline:
            raise BenchError(f"The crawl didn't end within {CRAWL_TIMEOUT_S:g} s. Try fewer --pages.\n{service.log_tail()}")
        time.sleep(POLL_S)
