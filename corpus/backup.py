"""A backup is the metadata database alone, in one file: every index can be made from it again (``corpus/mending.py``).

SQLite's own online backup takes a consistent copy while others read and write, and begins again by itself when they get in its
way too often; PostgreSQL has tools of its own (``pg_dump``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from corpus.database import is_disk_full, migrations
from corpus.datadir import DataDirectory
from corpus.errors import Conflict, InvalidInput, NotFound, StorageFull

PAGES_AT_ONCE = 4096  # of SQLite's; between two lots, writers get their turn


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    file: Path
    size_bytes: int
    pages: int
    chunks: int


def back_up(directory: DataDirectory, to: Path) -> Backup:
    """Copy the database of a data directory, which may be in use, to a file that isn't there yet. It is whole, or isn't there.

    Raises: NotFound without a database, Conflict if the file exists, InvalidInput if it can't be made, StorageFull.
    """
    if not directory.database.is_file():
        raise NotFound(f"There is no database in {directory.path}. Set FOOTNOTE_DATA_DIR to the one you mean.")
    with _whole_file(to) as unfinished:
        with (
            closing(_to_read(directory.database, timeout_s=60)) as source,
            closing(sqlite3.connect(unfinished)) as target,
        ):
            source.backup(target, pages=PAGES_AT_ONCE)
            target.execute("PRAGMA journal_mode=DELETE")  # so that it is one file, wherever it is copied
        _check(unfinished)
    return _describe(to)


def restore(directory: DataDirectory, backup: Path) -> Backup:
    """Put a backup's database into a data directory that has none. The next start makes the indexes.

    Raises: NotFound, InvalidInput if the file is no whole backup that this release can read, Conflict if there is a database
    already; DataDirectoryLocked, StorageFull.
    """
    if not backup.is_file():
        raise NotFound(f"There is no file {backup}.")
    _check(backup)
    with directory, _whole_file(directory.database) as unfinished, backup.open("rb") as source, unfinished.open("wb") as target:
        while part := source.read(1 << 20):
            target.write(part)
    return _describe(directory.database)


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A file beside ``path``, readable by its owner alone, which takes its name once the block ends well."""
    if path.exists():
        raise Conflict(f"{path} exists already. Move it away, or choose another name.")
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield unfinished
        with unfinished.open("rb+") as whole:
            os.fsync(whole.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except (OSError, sqlite3.OperationalError) as exc:
        if is_disk_full(exc):
            raise StorageFull(f"There is no room for {path}. Nothing was changed.") from exc
        raise InvalidInput(f"{path} can't be written: {exc}") from exc
    finally:
        unfinished.unlink(missing_ok=True)


def _to_read(file: Path, *, timeout_s: float = 5.0) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout_s)


def _check(file: Path) -> None:
    """Raises: InvalidInput."""
    try:
        with closing(_to_read(file)) as connection:
            [(found,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
            [(revision,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except (sqlite3.DatabaseError, ValueError) as exc:
        raise InvalidInput(f"{file} is no backup of Footnote's, or a damaged one: {exc}") from exc
    if found != "ok":
        raise InvalidInput(f"{file} is damaged: {found}")
    if revision not in _known_revisions():
        raise InvalidInput(f"{file} is of a newer release of Footnote (schema {revision}). Restore it with that one.")


def _known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions()}


def _describe(file: Path) -> Backup:
    live = "SELECT count(*), coalesce(sum(chunk_count), 0) FROM pages JOIN generations ON generations.id = live_generation"
    with closing(_to_read(file)) as connection:
        [(pages, chunks)] = connection.execute(live).fetchall()
    return Backup(file=file, size_bytes=file.stat().st_size, pages=pages, chunks=chunks)
