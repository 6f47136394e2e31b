"""What the machine did during a phase: the processor time of a process tree, memory, disk, and the load that wasn't ours.

Everything is read from ``/proc`` (Linux).
"""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.5
VERSIONS_OF = ("torch", "sentence-transformers", "transformers", "pymilvus", "milvus-lite", "tantivy", "xllamacpp", "fastapi")


def facts() -> dict[str, object]:
    """Processor, cores, memory, Python and the libraries that are measured."""
    versions = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": versions,
    }


def cores() -> int:
    """Cores that this process may use, which a container or taskset may have limited."""
    return len(os.sched_getaffinity(0))


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """Processor seconds of a process tree so far, those of children that have ended included."""
    return sum(sum(map(int, fields[11:15])) for one in tree(pid) if (fields := _stat(one))) / _TICKS_PER_S


def busy_s() -> float:
    """Processor seconds that the whole machine has worked since it started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes: ``private`` is what the process made, ``files`` what is mapped and shared, such as model weights."""

    private_bytes: int
    files_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.private_bytes + self.files_bytes


def memory(pid: int) -> Memory:
    """Of a process tree, summed. Pages that two of its processes share count twice."""
    private = files = 0
    for one in tree(pid):
        values = _status(one)
        private += values.get("RssAnon", 0)
        files += values.get("RssFile", 0) + values.get("RssShmem", 0)
    return Memory(private, files)


def folder_bytes(path: Path) -> int:
    """Bytes that a file or folder occupies; 0 where there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


class OtherLoad:
    """How many cores were busy with something else, on average, during the block (a context manager)."""

    def __init__(self) -> None:
        self.cores = 0.0

    def __enter__(self) -> Self:
        self._began = (time.monotonic(), busy_s(), cpu_s(os.getpid()))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        wall_s, busy, ours = (
            now - then for now, then in zip((time.monotonic(), busy_s(), cpu_s(os.getpid())), self._began, strict=True)
        )
        self.cores = max(0.0, (busy - ours) / wall_s) if wall_s else 0.0


class PeakMemory:
    """The most resident bytes that a process tree had during the block, sampled (a context manager)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        self.total_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.total_bytes = max(self.total_bytes, memory(self._pid).total_bytes)
            if self._over.wait(SAMPLE_S):
                return


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command's name, which may hold spaces; None once the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _status(pid: int) -> dict[str, int]:
    """The sizes of /proc/PID/status in bytes; empty once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, _, value in pairs if value.strip().endswith("kB")}
