"""``footnote backup`` and ``footnote restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from footnote.commands.options import JsonOption
from footnote.terminal import clean, out, show, show_json, waiting

if TYPE_CHECKING:
    from corpus.backup import Backup
    from corpus.datadir import DataDirectory

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: FileArgument, as_json: JsonOption = False) -> None:
    """Copy all that can't be made again into FILE, also while the service runs.

    That is the pages' texts, sources, jobs and keys; the indexes are made from them when it is restored.
    """
    # Imported here: they cost time that `footnote --help` must not.
    from corpus.backup import back_up

    with waiting("copying the database…"):
        made = back_up(_directory(), file)
    _tell("Backed up", made, as_json=as_json)


def restore(file: FileArgument, as_json: JsonOption = False) -> None:
    """Put a backup into a data directory that holds none yet. The next start makes the indexes, which takes as long as
    embedding all pages does."""
    from corpus import backup as backups

    with waiting("checking and copying the backup…"):
        made = backups.restore(_directory(), file)
    _tell("Restored", made, as_json=as_json)


def _directory() -> DataDirectory:
    from corpus.datadir import DataDirectory
    from corpus.errors import InvalidInput
    from corpus.settings import load_settings

    settings = load_settings()
    if settings.database.url.get_secret_value():
        raise InvalidInput("The metadata is on a PostgreSQL server (database.url): use pg_dump and pg_restore there.")
    return DataDirectory(settings.data_dir)


def _tell(done: str, made: Backup, *, as_json: bool) -> None:
    if as_json:
        show_json({"file": str(made.file), "size_bytes": made.size_bytes, "pages": made.pages, "chunks": made.chunks})
        return
    content = f"{made.pages:,} pages, {made.chunks:,} chunks, {made.size_bytes / 1e6:,.1f} MB"
    show(out(), Text(f"{done}: {content}, in {clean(str(made.file))}"))
