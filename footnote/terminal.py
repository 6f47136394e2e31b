"""The terminal: which console to write on, and what foreign text may do there, which is nothing.

Titles, headings, quotes and server messages are written by strangers. They reach a console only through :func:`clean`,
and only as ``rich.text.Text``, never as markup: a page title must not colour, move, link or rename anything.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

# Whole escape sequences (ECMA-48), so that their parameters don't stay behind as litter: strings (OSC, DCS, SOS, PM, APC)
# up to their terminator, CSI sequences, then any other two-byte escape.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they reorder what stands beside them
_CONTROLS = re.compile(rf"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_BIDI}]")
_LINE_ENDS = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # can't be encoded
_UNSAFE_IN_JSON = re.compile(rf"[\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}]")


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Foreign text without escape sequences, control characters and bidirectional controls.

    Line ends and tabs become single spaces, or stay with ``keep_lines``.
    """
    text = _LINE_ENDS.sub("\n", _ESCAPES.sub("", text))
    if not keep_lines:
        text = re.sub(r"[\n\t]+", " ", text)
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))


def out() -> Console:
    """stdout, for results. Nothing is taken for markup."""
    return Console(markup=False, highlight=False, emoji=False)


def err() -> Console:
    """stderr, for people: progress, questions, errors."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def show(console: Console, text: Text, *, indent: int = 0) -> None:
    """Print ``text`` wrapped and indented on a terminal; elsewhere line by line as it is, for the next program to read."""
    if not console.is_terminal:
        for line in text.plain.split("\n"):
            print(f"{' ' * indent}{line}" if line else "", file=console.file)
        return
    for wrapped in text.wrap(console, max(20, console.width - indent)):
        wrapped.rstrip()
        console.print(Text(" " * indent) + wrapped if wrapped else wrapped, soft_wrap=True)


def show_error(message: str) -> None:
    text = Text("Error: ", style="bold red") + Text(clean(message, keep_lines=True), style="not bold default")
    show(err(), text)


def show_note(message: str) -> None:
    show(err(), Text(clean(message, keep_lines=True), style="dim"))


def show_json(value: Any) -> None:
    """``value`` as JSON on stdout. What could drive a terminal is written as \\u escapes, which mean the same to a program."""
    encoded = json.dumps(value, ensure_ascii=False, indent=2)
    print(_UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", encoded), file=sys.stdout)


@contextmanager
def waiting(message: str) -> Iterator[Callable[[str], None]]:
    """While the block runs, a spinner on stderr; call what it gives to change its words. Off a terminal, a line for each."""
    console = err()
    if not console.is_terminal:
        said = [message]
        show(console, Text(clean(message)))

        def say(text: str) -> None:
            if said[-1] != text:
                said.append(text)
                show(console, Text(clean(text)))

        yield say
        return
    with console.status(Text(clean(message))) as status:
        yield lambda text: status.update(Text(clean(text)))
