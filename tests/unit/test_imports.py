"""The house's own rules: arrows go one way, and importing does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "pymilvus",
    "milvus_lite",
    "fastapi",
    "dbos",
    "xllamacpp",
    "trafilatura",
)

# Audit hooks see every open(), whichever library does it. __main__ and migrations are scripts: running is what they are for.
WATCHED_IMPORTS = """
import importlib, json, os, pkgutil, sys
seen, current = [], None
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
def watch(event, args):
    if event == "open" and current is not None:
        path, mode, flags = args
        if isinstance(flags, int) and flags & WRITING and path != os.devnull:
            seen.append([current, str(path)])
    elif event in ("os.mkdir", "os.rename", "os.remove", "socket.connect") and current is not None:
        seen.append([current, event + " " + str(args)])
sys.addaudithook(watch)
names = []
for room in ("corpus", "app", "ingest", "footnote"):
    names += [room, *(m.name for m in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."))]
names = [n for n in names if not n.endswith("__main__") and not n.startswith("corpus.migrations")]
for current in names:
    importlib.import_module(current)
current = None
print(json.dumps({"imported": names, "seen": seen}))
"""


def python(code: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**clean, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def loaded_by(module: str) -> set[str]:
    return set(
        json.loads(
            python(f"import json, sys, {module}; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))")
        )
    )


def test_import_contracts_hold() -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--config", "pyproject.toml", "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 broken" in ran.stdout


def test_importing_any_module_writes_nothing_and_calls_nobody(tmp_path: Path) -> None:
    found = json.loads(python(WATCHED_IMPORTS, HOME=str(tmp_path)))
    assert {"app.main", "corpus.search", "footnote.cli", "ingest.worker"} <= set(found["imported"])
    assert found["seen"] == []
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("ingest.worker", {"fastapi", "starlette", "uvicorn", "pypdfium2", "mammoth", "mdit_py_plugins"}),
        ("footnote.cli", set(HEAVY)),
        ("footnote.__main__", {"footnote.cli", "typer", "httpx2"}),
        ("app.main", {"torch", "transformers", "sentence_transformers", "pymilvus", "milvus_lite", "xllamacpp"}),
        ("corpus.opening", {"fastapi", "torch", "transformers", "sentence_transformers", "pymilvus", "milvus_lite"}),
    ],
)
def test_what_importing_a_module_must_not_load(module: str, forbidden: set[str]) -> None:
    assert loaded_by(module) & forbidden == set()
