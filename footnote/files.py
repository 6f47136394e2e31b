"""Writing the files that a person named."""

from __future__ import annotations

from pathlib import Path

from corpus.errors import InvalidInput


def check_writable(file: Path) -> None:
    """Before hours of work, not after them. Raises: InvalidInput."""
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InvalidInput(f"{file} can't be written: {'it is a folder' if file.is_dir() else 'its folder does not exist'}.")


def write_whole(file: Path, text: str) -> None:
    """At once, so that what was there isn't lost to a full disk. Raises: InvalidInput."""
    unfinished = file.with_name(f"{file.name}.new")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as exc:
        unfinished.unlink(missing_ok=True)
        raise InvalidInput(f"{file} can't be written: {exc.strerror}.") from exc
