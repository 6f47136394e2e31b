"""``footnote verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from footnote import render
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.connection import connect
from footnote.terminal import out, show_json, waiting


def verify(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the database and the indexes hold the same, and that every page is whole.

    Works beside a service that is answering and ingesting. Fails if anything differed, mended or not.
    """
    with connect(chosen_url(ctx, url)) as client, waiting("verifying…"):
        found = client.verify(repair=repair)
    if as_json:
        show_json(found)
    else:
        render.verification(out(), found)
    raise typer.Exit(0 if found["clean"] else 1)
