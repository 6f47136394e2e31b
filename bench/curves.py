"""``python -m bench.curves SITE``: how the first stage grows with the corpus, beside the bare libraries in the same run.

At each size the same texts and vectors go to Footnote (as a crawl writes them), Milvus Lite, tantivy, bm25s and rank-bm25,
each in processes of its own; then each query goes to all in turn. Embedding is left out on all sides: it costs the same at any
size. ``--keep`` keeps what was built, so that a large size can be built in one hour and asked in another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import machine, synthetic
from bench.clean_process import CleanProcess
from bench.errors import BenchError
from bench.machine import OtherLoad
from bench.plot import Curve, line_plot
from bench.report import Goal, Line, Section, bytes_text, median, p50_p95, ratio, table
from corpus.settings import load_settings

SIZES = "1000,10000,100000"
LEXICAL = ("tantivy", "bm25s", "rank-bm25")
ENGINES = ("footnote", "milvus", *LEXICAL)
BUILD_TIMEOUT_S = 3600.0
QUERY_TIMEOUT_S = 120.0
WARM_UPS = 3
ENVIRONMENTS = {"footnote": {"OPENBLAS_NUM_THREADS": "1"}}  # as the command line sets it; the libraries have their defaults
GOAL = Goal("at most", 1.3)


@dataclass(slots=True)
class EngineFigures:
    """``memory_bytes``: what the process made for itself since before it opened the index; mapped files are not in it."""

    build_s: float = 0.0
    open_s: float = 0.0
    disk_bytes: int = 0
    memory_bytes: int = 0
    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    lexical_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class SizeFigures:
    chunks: int
    text_bytes: int
    engines: dict[str, EngineFigures] = field(default_factory=dict)
    other_cores: float = 0.0

    @property
    def slower_ms(self) -> float:
        """The median of whichever is the slower of the raw calls that a hybrid search can't do without."""
        return max(median(self.engines[name].ms) for name in ("milvus", "tantivy"))


def measure(work: Path, *, chunks: int, sentences: list[str], queries: list[str], limit: int, seed: int) -> SizeFigures:
    texts = work / f"texts-{chunks}.jsonl"
    synthetic.write_texts(texts, sentences, count=chunks, seed=seed)
    figures = SizeFigures(chunks, texts.stat().st_size)
    with texts.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folders = {name: work / f"{name}-{chunks}-{digest}" for name in ENGINES}
    for name, folder in folders.items():
        build_s = _build(name, texts, folder, what=f"{chunks} chunks: {name}")
        figures.engines[name] = EngineFigures(build_s=build_s, disk_bytes=machine.folder_bytes(folder))
    print(f"… {chunks} chunks: {len(queries)} queries", file=sys.stderr, flush=True)
    with ExitStack() as stack:
        processes = {name: stack.enter_context(_process(name)) for name in ENGINES}
        before = {name: machine.memory(process.pid).private_bytes for name, process in processes.items()}
        for name, process in processes.items():
            opened = process.call("open", timeout_s=BUILD_TIMEOUT_S, name=name, folder=str(folders[name]), queries=len(queries))
            figures.engines[name].open_s = opened["open_s"]
        with OtherLoad() as load:
            for number, text in enumerate([*queries[:WARM_UPS], *queries]):
                for name, process in processes.items():
                    found = process.call(
                        "search", timeout_s=QUERY_TIMEOUT_S, text=text, number=number % len(queries), limit=limit
                    )
                    if number >= WARM_UPS:
                        figures.engines[name].ms.append(found["ms"])
                        figures.engines[name].cpu_ms.append(found["cpu_ms"])
                        if "lexical_ms" in found:
                            figures.engines[name].lexical_ms.append(found["lexical_ms"])
        figures.other_cores = load.cores
        for name, process in processes.items():
            figures.engines[name].memory_bytes = machine.memory(process.pid).private_bytes - before[name]
            process.call("close", timeout_s=QUERY_TIMEOUT_S)
    return figures


def _build(name: str, texts: Path, folder: Path, *, what: str) -> float:
    """Seconds that building took, now or in an earlier run that kept it. One that was broken off is begun again."""
    done = folder.with_name(f"{folder.name}.json")
    if not done.is_file():
        print(f"… {what} is built", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with _process(name) as process:
            built = process.call("build", timeout_s=BUILD_TIMEOUT_S, name=name, texts=str(texts), folder=str(folder))
        done.write_text(json.dumps(built))
    return float(json.loads(done.read_text())["build_s"])


def _process(engine: str) -> CleanProcess:
    return CleanProcess("bench.curve_engines", environment=ENVIRONMENTS.get(engine))


def section(figures: SizeFigures) -> Section:
    ours, milvus, tantivy = (figures.engines[name] for name in ("footnote", "milvus", "tantivy"))
    beside = milvus if median(milvus.ms) >= median(tantivy.ms) else tantivy
    lexical = median(ours.lexical_ms)
    disk, memory = (getattr(milvus, name) + getattr(tantivy, name) for name in ("disk_bytes", "memory_bytes"))
    return Section(
        f"{figures.chunks:,} chunks",
        [
            Line(
                "first stage, beside Milvus alone" if beside is milvus else "first stage, beside tantivy alone",
                p50_p95(ours.ms),
                p50_p95(beside.ms),
                ratio(median(ours.ms), figures.slower_ms),
                GOAL,
            ),
            Line(
                "the same, the best of all",
                f"{min(ours.ms):.1f} ms",
                f"{min(beside.ms):.1f} ms",
                ratio(min(ours.ms), min(beside.ms)),
            ),
            Line(
                "the same, processor time",
                p50_p95(ours.cpu_ms),
                p50_p95(beside.cpu_ms),
                ratio(median(ours.cpu_ms), median(beside.cpu_ms)),
            ),
            *(
                Line(
                    f"by words alone, beside {name}",
                    p50_p95(ours.lexical_ms),
                    p50_p95(other.ms),
                    ratio(lexical, median(other.ms)),
                )
                for name, other in figures.engines.items()
                if name in LEXICAL
            ),
            Line(
                "build, beside Milvus and tantivy one after the other",
                f"{ours.build_s:.1f} s",
                f"{milvus.build_s + tantivy.build_s:.1f} s",
                ratio(ours.build_s, milvus.build_s + tantivy.build_s),
            ),
            Line("disk, beside both", bytes_text(ours.disk_bytes), bytes_text(disk), ratio(ours.disk_bytes, disk)),
            Line("memory, beside both", bytes_text(ours.memory_bytes), bytes_text(memory), ratio(ours.memory_bytes, memory)),
        ],
        (
            "Build, disk, memory of "
            + "; ".join(
                f"{name} {one.build_s:.1f} s, {bytes_text(one.disk_bytes)}, {bytes_text(one.memory_bytes)}"
                for name, one in figures.engines.items()
                if name != "footnote"
            )
            + ".",
            f"{len(ours.ms)} queries; texts {bytes_text(figures.text_bytes)}; cores busy with something else: "
            f"{figures.other_cores:.1f}.",
        ),
    )


def plot(sizes: list[SizeFigures]) -> str:
    """The medians as an SVG picture."""
    curves = [Curve(name, [(one.chunks, median(one.engines[name].ms)) for one in sizes]) for name in ENGINES]
    curves.append(Curve("footnote, by words", [(one.chunks, median(one.engines["footnote"].lexical_ms)) for one in sizes]))
    return line_plot(curves, title="Search, median", x_label="chunks", y_label="ms")


def main() -> int:
    arguments = _arguments()
    found: list[SizeFigures] = []
    status = 0
    try:
        sentences = synthetic.sentences_of(arguments.site)
        queries = synthetic.queries(sentences, count=arguments.queries, seed=arguments.seed)
        for chunks in arguments.sizes:
            with _work(arguments.keep) as work:
                limit = load_settings(data_dir=work).search.candidates
                found.append(measure(work, chunks=chunks, sentences=sentences, queries=queries, limit=limit, seed=arguments.seed))
    except (BenchError, OSError) as exc:
        print(f"The benchmark broke off: {exc}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("The benchmark was interrupted.", file=sys.stderr)
        status = 130
    if found:
        print(table([section(one) for one in found]))
        if arguments.json:
            figures = {"machine": machine.facts(), "sizes": [asdict(one) for one in found]}
            arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
        if arguments.svg:
            arguments.svg.write_text(plot(found))
    return status


@contextmanager
def _work(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="footnote-curves-") as folder:
            yield Path(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.curves", description="Measure the first stage at several sizes beside the bare libraries."
    )
    parser.add_argument("site", type=Path, metavar="SITE", help="a folder of HTML pages, whose sentences make the texts")
    parser.add_argument("--sizes", type=_sizes, default=_sizes(SIZES), help=f"chunks, comma-separated ({SIZES})")
    parser.add_argument("--queries", type=int, default=50, help="searches at each size (50)")
    parser.add_argument("--seed", type=int, default=1, help="of texts and queries (1)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what is built here, and use what an earlier run kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the medians here")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",")]
    if min(sizes) < 100:
        raise argparse.ArgumentTypeError("must be at least 100")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
