"""``python -m bench SITE``: everything in one run, as one table."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bench import footprint, generation, ingest, machine, search, startup
from bench.clean_process import WAIT_POLICIES
from bench.errors import BenchError
from bench.report import Section, table
from bench.service import ServiceProcess
from bench.site import Site
from bench.stored import live_chunks, queries_from, questions_from
from corpus.errors import FootnoteError
from corpus.settings import load_settings
from corpus.weights import model_folder

SETTLE_S = 1.0


@dataclass(slots=True)
class Results:
    """What has been measured so far: a run that breaks off still shows it."""

    sections: list[Section] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    arguments = _arguments()
    results = Results()
    began = time.monotonic()
    status = 0
    signal.signal(signal.SIGTERM, _interrupt)  # else the processes that were started would outlive this one
    try:
        run(arguments, results)
    except (BenchError, FootnoteError, OSError) as exc:
        print(f"The benchmark broke off: {exc}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("The benchmark was interrupted.", file=sys.stderr)
        status = 130
    took_s = time.monotonic() - began
    if results.sections:
        facts = machine.facts()
        print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; the run took {took_s:.0f} s\n")
        print(table(results.sections))
        results.figures |= {"machine": facts, "run_s": took_s, "verdicts": _verdicts(results.sections)}
        if arguments.json:
            arguments.json.write_text(json.dumps(results.figures, indent=2) + "\n")
    return status


def run(arguments: argparse.Namespace, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as folder:
        measure_all(arguments, results, Path(folder))


def measure_all(arguments: argparse.Namespace, results: Results, work: Path) -> None:
    """First start and crawl; encode alone; then, beside the restarted service, search and generation."""
    data_dir = work / "data"
    settings = load_settings(data_dir=data_dir)
    folder = str(model_folder(settings.index.embedder, models_dir=settings.data_dir / "models"))
    device = None if settings.index.device == "auto" else settings.index.device

    with Site(arguments.site, pages=arguments.pages) as site:
        _tell("starting the service on an empty data directory")
        with ServiceProcess(data_dir=data_dir, log_path=work / "first.log") as service:
            first_start = service.times
            time.sleep(SETTLE_S)
            idle = machine.memory(service.pid)
            _tell(f"crawling {arguments.pages} pages")
            with machine.PeakMemory(service.pid) as peak:
                crawl = ingest.measure_crawl(service, site, pages=arguments.pages)
            after_ingest = machine.memory(service.pid)
            _tell("crawling them again")
            again = ingest.measure_crawl(service, site, pages=arguments.pages)
    memory = footprint.MemoryFigures(idle, after_ingest, peak.total_bytes)
    disk = footprint.disk(data_dir)
    chunks = live_chunks(data_dir)
    results.figures |= {"crawl": asdict(crawl), "crawl_again": asdict(again), "memory": asdict(memory), "disk": disk}

    _tell(f"encoding {len(chunks)} chunks with sentence-transformers alone")
    floor = ingest.measure_floor([c.embed_text for c in chunks], folder=folder, device=device, seed=arguments.seed)
    results.figures["encode"] = asdict(floor)
    results.sections.append(ingest.section(crawl, again, floor))

    # One process owns a Milvus Lite directory, so the bare libraries get copies.
    copies = [work / f"copy-{policy}" for policy in WAIT_POLICIES]
    for copy in copies:
        for name in ("vectors.db", "lexical"):
            shutil.copytree(data_dir / name, copy / name)
    tokens = Path(shutil.copy(data_dir / "tokens.sqlite", work))
    _tell("starting the service again, with data")
    with ServiceProcess(data_dir=data_dir, log_path=work / "second.log") as service:
        second_start = service.times
        queries = queries_from(chunks, count=arguments.queries, seed=arguments.seed)
        _tell(f"searching for {len(queries)} queries")
        searched = search.measure(service.url, queries, settings=settings, folder=folder, copies=copies)
        results.figures["search"] = asdict(searched)
        results.sections.append(search.section(searched))
        questions = questions_from(chunks, count=arguments.questions, seed=arguments.seed)
        _tell(f"asking {len(questions)} questions")
        generated = generation.measure(service.url, questions, settings=settings, data_dir=data_dir, tokens=tokens)
        results.figures["generation"] = asdict(generated) if generated else None
        results.sections.append(generation.section(generated))
    results.figures["start"] = {"first": asdict(first_start), "second": asdict(second_start)}
    results.sections += [
        startup.section(first_start, second_start),
        footprint.memory_section(memory),
        footprint.disk_section(disk, chunks=len(chunks)),
    ]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _verdicts(sections: list[Section]) -> list[dict[str, Any]]:
    return [
        {"section": section.title, "what": line.what, "figure": line.judged, "goal": str(line.goal), "verdict": line.verdict}
        for section in sections
        for line in section.lines
        if line.goal is not None
    ]


def _tell(stage: str) -> None:
    print(f"… {stage}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Footnote beside the bare libraries.")
    parser.add_argument("site", type=Path, metavar="SITE", help="a folder of HTML pages, which is served on loopback")
    parser.add_argument("--pages", type=_positive, default=60, help="pages crawled at most (60)")
    parser.add_argument("--queries", type=_positive, default=50, help="searches (50)")
    parser.add_argument("--questions", type=_positive, default=20, help="answers, of which the first two are warm-ups (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of queries and questions (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    return parser.parse_args()


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
