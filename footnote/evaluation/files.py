"""Reading evaluation files strictly: each mistake is named with its file and line, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a JSON Lines file that holds an object."""

    path: Path
    line: int
    fields: dict[str, Any]

    def string(self, name: str, *, default: str | None = None) -> str:
        """The text in a field. Raises: InvalidInput, if it isn't one, or is missing without a ``default``."""
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            lacks = "is missing" if name not in self.fields else f"must be a string, and is {_short(value)}"
            raise self.refused(f"{name!r} {lacks}")
        if "\x00" in value or not _encodes(value):
            raise self.refused(f"{name!r} holds a character that is no text (NUL, or half of a surrogate pair)")
        return value

    def identifier(self, name: str = "_id") -> str:
        """The text in a field, which must not be empty. Raises: InvalidInput."""
        value = self.string(name).strip()
        if not value:
            raise self.refused(f"{name!r} is empty")
        return value

    def refused(self, why: str) -> InvalidInput:
        return refused(self.path, self.line, why)


def refused(path: Path, line: int, why: str) -> InvalidInput:
    """The error for a line that can't be used."""
    return InvalidInput(f"{path}, line {line}: {why}. Correct the file and run this again.", file=str(path), line=line)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that hold anything, with their numbers from 1. A byte order mark is passed over.

    Raises: InvalidInput, if there is no such file, it can't be read, or a line is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as exc:
                    raise refused(path, number, f"this is not UTF-8 ({exc.reason} at byte {exc.start + 1})") from exc
                if text.strip():
                    yield number, text
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.", file=str(path)) from exc
    except OSError as exc:
        raise InvalidInput(f"{path} can't be read: {exc.strerror}.", file=str(path)) from exc


def records(path: Path) -> Iterator[Record]:
    """The objects of a JSON Lines file. Raises: InvalidInput, naming the line, for anything else."""
    for number, text in lines(path):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise refused(path, number, f"this is no JSON ({exc})") from exc
        if not isinstance(fields, dict):
            raise refused(path, number, f"this is JSON, but no object in braces: {_short(fields)}")
        yield Record(path, number, fields)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=True)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
