"""What somebody needs to know to get the same figures: versions, settings, machine, command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from corpus.settings import Settings

LIBRARIES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "tokenizers",
    "pymilvus",
    "milvus-lite",
    "tantivy",
    "rank-bm25",
    "numpy",
)


def facts(settings: Settings, *, seed: int, resamples: int, arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """JSON-serialisable. Of the settings those that decide what is found; none of them is a secret."""
    given = sys.argv[1:] if arguments is None else arguments
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["footnote", *given]),
        "seed": seed,
        "resamples": resamples,
        "footnote": _version("footnote-rag"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "settings": {"index": settings.index.model_dump(mode="json"), "search": settings.search.model_dump(mode="json")},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
