"""The data directory: what lies where, and that only one process owns it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from corpus.errors import DataDirectoryLocked, StartupError, StorageFull

# Beyond this, Milvus Lite takes most of a query's time (85 ms at 100,000 rows; a Milvus server takes 4 ms).
LITE_ADVISED_CHUNKS = 50_000
LEAST_FREE_BYTES = 100_000_000
LOCK_TRIES, LOCK_RETRY_S = 5, 0.05


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The files of one index."""

    folder: Path

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors.db"

    @property
    def lexical(self) -> Path:
        return self.folder / "lexical"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.sqlite"

    def size_bytes(self) -> int:
        return sum(self.sizes_bytes().values())

    def sizes_bytes(self) -> dict[str, int]:
        """By part. What is removed while it is measured counts for nothing."""
        tokens = sum(map(_size_bytes, self.folder.glob("tokens.sqlite*")))
        return {"vectors": _size_bytes(self.vectors), "lexical": _size_bytes(self.lexical), "tokens": tokens}

    def remove(self) -> None:
        """Remove the index, which must be closed."""
        for path in (self.vectors, self.lexical):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("tokens.sqlite*"):
            path.unlink(missing_ok=True)
        if self.folder.name.startswith("index-"):
            shutil.rmtree(self.folder, ignore_errors=True)


def _size_bytes(path: Path) -> int:
    """Of a file, or of all below a folder."""
    if path.is_dir():
        return sum(_size_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class DataDirectory:
    """Holds an exclusive lock on the directory while open: SQLite would allow a second owner, Milvus Lite would not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        return self.path / "footnote.sqlite"

    @property
    def queue(self) -> Path:
        return self.path / "queue.sqlite"

    @property
    def vectors(self) -> Path:
        return self.index(1).vectors

    @property
    def lexical(self) -> Path:
        return self.index(1).lexical

    @property
    def tokens(self) -> Path:
        return self.index(1).tokens

    def index(self, number: int) -> IndexFiles:
        """Where the index of that number lies (``corpus/reindexing.py``): the first in the directory itself."""
        return IndexFiles(self.path if number == 1 else self.path / f"index-{number}")

    def index_numbers(self) -> set[int]:
        """The indexes of which anything lies here."""
        numbers = {int(path.name.removeprefix("index-")) for path in self.path.glob("index-[0-9]*") if path.is_dir()}
        return numbers | ({1} if self.index(1).size_bytes() else set())

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def evaluations(self) -> Path:
        """Where reports lie that the web page shows."""
        return self.path / "evaluations"

    @property
    def service_file(self) -> Path:
        return self.path / "service.json"

    @property
    def life_file(self) -> Path:
        """Touched every few seconds by a worker without a service, which nobody could ask whether it is well."""
        return self.path / "alive"

    def __enter__(self) -> Self:
        """Raises: DataDirectoryLocked, StorageFull, StartupError (not writable)."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StartupError(
                f"The data directory {self.path} can't be used ({exc.strerror}). Set FOOTNOTE_DATA_DIR to one that can."
            ) from exc
        try:
            self._take_lock(self._lock)
        except OSError as exc:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            self._lock = None
            raise DataDirectoryLocked(
                f"The data directory {self.path} is in use by another Footnote (process {owner}). Talk to that one, stop it, "
                "or set FOOTNOTE_DATA_DIR to another directory.",
                process=owner,
            ) from exc
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        free = os.statvfs(self.path)
        if free.f_bavail * free.f_frsize < LEAST_FREE_BYTES:
            self.__exit__()
            raise StorageFull(
                f"Less than {LEAST_FREE_BYTES // 1_000_000} MB are free on the disk of {self.path}. Free some space first."
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self.service_file.unlink(missing_ok=True)
            self.life_file.unlink(missing_ok=True)
            os.close(self._lock)  # releases the lock
            self._lock = None

    @staticmethod
    def _take_lock(lock: int) -> None:
        """Several tries, for the command line holds the lock for a blink when it looks whether it is taken."""
        for _ in range(LOCK_TRIES - 1):
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_RETRY_S)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def identity(self) -> str:
        """What tells this directory from all others, wherever they lie: drawn when it was first asked for."""
        path = self.path / "identity"
        if not path.exists():
            path.write_text(str(uuid.uuid4()))
        return path.read_text().strip()

    def announce(self, url: str) -> None:
        """Tell the command line where the service listens. At once, so that nobody reads half of it."""
        unfinished = self.service_file.with_suffix(".new")
        unfinished.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        unfinished.replace(self.service_file)

    def announced(self) -> dict[str, Any] | None:
        """Where a service says that it listens; it may be dead by now."""
        try:
            found = json.loads(self.service_file.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None
