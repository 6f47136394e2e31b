"""``footnote pages``, ``footnote delete`` and ``footnote collections``."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer
from rich.text import Text

from corpus.errors import NotFound
from footnote import render
from footnote.client import Body, Client
from footnote.commands.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, UrlOption, UrlPrefixOption, chosen_url
from footnote.connection import connect
from footnote.terminal import clean, err, out, show, show_json, show_note

app = typer.Typer(help="What is indexed.", invoke_without_command=True)

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most pages shown.")]
MaxKeptOption = Annotated[
    float | None,
    typer.Option(
        "--max-kept",
        metavar="SHARE",
        min=0,
        max=1,
        show_default=False,
        help="Only those of which at most this share was kept, menus not counted.",
    ),
]


@app.callback()
def pages(
    ctx: typer.Context,
    collection: CollectionOption = DEFAULT_COLLECTION,
    url_prefix: UrlPrefixOption = None,
    max_kept: MaxKeptOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the indexed pages by URL, or show one."""
    if ctx.invoked_subcommand is None:
        list_pages(ctx, collection, url_prefix, max_kept, limit, url, as_json)


@app.command("list")
def list_pages(
    ctx: typer.Context,
    collection: CollectionOption = DEFAULT_COLLECTION,
    url_prefix: UrlPrefixOption = None,
    max_kept: MaxKeptOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the indexed pages by URL."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.pages(collection=collection, url_prefix=url_prefix, max_kept=max_kept, limit=limit + 1)
    if as_json:
        show_json({"pages": found[:limit]})
        return
    if not found:
        show_note("No pages. Index some with: footnote ingest URL" if max_kept is None else "There is no such page.")
        return
    render.pages(out(), found[:limit])
    if len(found) > limit:
        show_note(f"There are more; raise --limit ({limit}) or narrow with --url-prefix.")


@app.command("show")
def show_page(
    ctx: typer.Context,
    page: Annotated[str, typer.Argument(metavar="ID_OR_URL", show_default=False)],
    collection: CollectionOption = DEFAULT_COLLECTION,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a page's facts and its stored text, which citations quote from."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.page(_find(client, page, collection=collection)["id"])
    if as_json:
        show_json(found)
    else:
        render.page(out(), found)


@app.command("log")
def log(
    ctx: typer.Context,
    page: Annotated[str, typer.Argument(metavar="ID_OR_URL", show_default=False)],
    collection: CollectionOption = DEFAULT_COLLECTION,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Most visits shown.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each job made of a URL, the newest first: also of one that is no page, and why it is none."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.url_log(client.page(page)["url"] if is_id(page) else page, collection=collection, limit=limit)
    if as_json:
        show_json({"url": found["url"], "visits": found["visits"]})
    elif found["visits"]:
        if not is_id(page) and found["url"] != page:
            show_note(f"{page} is {found['url']} here.")
        render.visits(out(), found["visits"])
    else:
        show_note(f"No job in the collection {collection!r} knows {page}.")


def delete(
    ctx: typer.Context,
    pages: Annotated[list[str], typer.Argument(metavar="ID_OR_URL…", show_default=False)],
    collection: CollectionOption = DEFAULT_COLLECTION,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete pages. Once this has ended, no search and no answer shows them. If one is unknown, none is deleted."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; pass --yes to delete without being asked")
    with connect(chosen_url(ctx, url)) as client:
        found = list({page["id"]: page for page in (_find(client, one, collection=collection) for one in pages)}.values())
        if not yes:
            for page in found:
                show(err(), Text(clean(page["title"]) + "  ") + render.link(page["url"]), indent=2)
            if not typer.confirm(f"Delete {_pages(len(found))}?", err=True):
                raise typer.Exit(1)
        for page in found:
            client.delete_page(page["id"])
    if as_json:
        show_json({"deleted": [{"id": page["id"], "url": page["url"]} for page in found]})
    else:
        show_note(f"Deleted {_pages(len(found))}.")


def collections(ctx: typer.Context, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the collections."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.collections()
    if as_json:
        show_json({"collections": found})
    else:
        render.collections(out(), found)


def is_id(page: str) -> bool:
    """Whether a page is named by its id rather than by an address of it."""
    return re.fullmatch(r"[0-9a-f]{32}", page) is not None


def _find(client: Client, page: str, *, collection: str) -> Body:
    """The page with this id or address; what it is called here is said where that is another URL. Raises: NotFound."""
    if is_id(page):
        return client.page(page)
    found, alias = client.page_at(page, collection=collection)
    if found is None:
        raise NotFound(f"{page} is not indexed in the collection {collection!r}. See: footnote pages --url-prefix …")
    if alias is not None:
        show_note(f"{alias['url']} is another URL of {found['url']} ({alias['kind']}).")
    return found


def _pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"
