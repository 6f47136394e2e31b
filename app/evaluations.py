"""The reports of ``footnote eval … --publish``, as they lie in the data directory."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from corpus.errors import NotFound

log = logging.getLogger(__name__)

KINDS = ("retrieval", "answers")
MOST_SHOWN = 200
MAX_BYTES = 30_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A report, without what it holds. ``id`` is its file's name."""

    id: str
    kind: str
    made_at: str
    sets: tuple[str, ...]
    questions: int


class Evaluations:
    """``folder`` need not be there. Its files are read anew when they change; what is no report is passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self) -> list[Evaluation]:
        """The newest first, by when they were made. Blocks: it reads files."""
        files = sorted(self._folder.glob("*.json"), key=_written, reverse=True)[:MOST_SHOWN]
        found = [_summary(path, *_state(path)) for path in files if _is_readable(path)]
        return sorted(filter(None, found), key=lambda one: (one.made_at, one.id), reverse=True)

    def read(self, id: str) -> dict[str, Any]:
        """A whole report. Blocks. Raises: NotFound."""
        path = self._folder / f"{id}.json"
        body = _body(path) if _NAME.fullmatch(id) and _is_readable(path) else None
        if body is None:
            raise NotFound(f"There is no evaluation {id}. GET /v1/evaluations lists those there are.")
        return body


def _is_readable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_BYTES


def _written(path: Path) -> float:
    return path.lstat().st_mtime


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=MOST_SHOWN)
def _summary(path: Path, _changed_ns: int, _size: int) -> Evaluation | None:
    body = _body(path)
    if body is None:
        return None
    questions = sum(one.get("queries") or one.get("questions") or 0 for one in body["sets"])
    names = tuple(str(one.get("name", "")) for one in body["sets"])
    return Evaluation(path.stem, str(body["evaluation"]), str(body.get("made_at", "")), names, questions)


def _body(path: Path) -> dict[str, Any] | None:
    """The report in a file; None, and a line in the log, for a file that holds none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as exc:
        log.warning("%s is no evaluation: %s", path, exc)
        return None
    is_report = isinstance(body, dict) and body.get("evaluation") in KINDS and isinstance(body.get("sets"), list)
    if not is_report or not all(isinstance(one, dict) for one in body["sets"]):
        log.warning("%s is no evaluation that this release knows", path)
        return None
    return dict(body)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number in JSON")
