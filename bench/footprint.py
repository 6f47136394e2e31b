"""Footprint: the service's memory, and the disk that each chunk takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.machine import Memory, folder_bytes
from bench.report import Line, Section, bytes_text

# Beginnings of the names in the data directory; SQLite adds -wal and -shm.
COMPONENTS = {
    "database": "footnote.sqlite",
    "vectors": "vectors.db",
    "lexical": "lexical",
    "tokens": "tokens.sqlite",
    "job queue": "queue.sqlite",
    "model weights": "models",
}
NOT_PER_CHUNK = ("job queue", "model weights")


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """``peak_bytes``: the most during the crawl, parsing processes included."""

    idle: Memory
    after_ingest: Memory
    peak_bytes: int


def disk(data_dir: Path) -> dict[str, int]:
    """Bytes of each component."""
    return {name: sum(folder_bytes(path) for path in data_dir.glob(f"{begin}*")) for name, begin in COMPONENTS.items()}


def memory_section(figures: MemoryFigures) -> Section:
    return Section(
        "Memory (resident)",
        [
            Line("idle after the start", bytes_text(figures.idle.total_bytes), _split(figures.idle)),
            Line("after ingest", bytes_text(figures.after_ingest.total_bytes), _split(figures.after_ingest)),
            Line("peak during ingest, parsers included", bytes_text(figures.peak_bytes)),
        ],
    )


def disk_section(sizes: dict[str, int], *, chunks: int) -> Section:
    growing = {name: size for name, size in sizes.items() if name not in NOT_PER_CHUNK}
    lines = [Line(f"{name} per chunk", bytes_text(size / max(chunks, 1)), bytes_text(size)) for name, size in growing.items()]
    total = sum(growing.values())
    lines.append(Line("all per chunk", bytes_text(total / max(chunks, 1)), bytes_text(total)))
    lines += [Line(name, bytes_text(sizes[name])) for name in NOT_PER_CHUNK]
    return Section(f"Disk, {chunks} chunks", lines)


def _split(memory: Memory) -> str:
    return f"{bytes_text(memory.private_bytes)} private, {bytes_text(memory.files_bytes)} mapped files"
