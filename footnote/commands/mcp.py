"""``footnote mcp``."""

from __future__ import annotations

import typer

from footnote.commands.options import UrlOption, chosen_url
from footnote.connection import connect


def mcp(ctx: typer.Context, url: UrlOption = None) -> None:
    """Offer ask, search, read_page and ingest to an MCP client over stdin and stdout, until it closes them.

    For clients that start their servers themselves; a running service offers the same at /mcp.
    """
    with connect(chosen_url(ctx, url), with_worker=True, with_model=True) as client:
        from footnote.mcp_bridge import run  # the SDK takes a second to import

        run(client.base_url)
