"""``footnote settings``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from footnote.commands.options import JsonOption
from footnote.terminal import show_json


def settings(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write the reference of all settings instead.")] = False,
) -> None:
    """Show every setting's value in force."""
    # Imported here: pydantic's settings cost a quarter of a second that other commands don't need.
    from corpus.settings import load_settings
    from footnote.configuration import current, reference

    if markdown:
        print(reference(), end="")
        return
    values = current(load_settings())
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        print(f"{name} = {json.dumps(value, ensure_ascii=False)}")
