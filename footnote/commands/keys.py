"""``footnote keys``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from corpus.errors import StartupError
from footnote import render
from footnote.client import Body, Client
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.terminal import err, out, show, show_json

if TYPE_CHECKING:
    from corpus.keys import ApiKey, Keys

T = TypeVar("T")
app = typer.Typer(help="API keys: who may use the service.", no_args_is_help=True)
_LASTS = re.compile(r"([0-9]{1,4})([dhw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class KeyScope(StrEnum):
    """As ``corpus.keys.Scope``."""

    QUERY = "query"
    INGEST = "ingest"
    ADMIN = "admin"


def _lasts(value: str | None) -> str | None:
    if value is not None and not _LASTS.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no time; give one such as 12h, 90d or 52w")
    return value


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(show_default=False, help="To know the key again by.")],
    scope: Annotated[
        list[KeyScope], typer.Option("--scope", help="What it may do; may be given again.", show_default="query")
    ] = [KeyScope.QUERY],  # noqa: B006
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", metavar="NAME", show_default="all", help="Where; may be given again."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", callback=_lasts, show_default="never", help="How long, such as 90d."),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key. It is shown once, on stdout.

    query: ask, search and read. ingest: put pages in and take them out. admin: everything.
    """
    expires_at = _expires_at(expires)

    async def make(keys: Keys) -> Body:
        from corpus.keys import Scope

        scopes = [Scope(one.value) for one in scope]
        key, token = await keys.create(name=name, scopes=scopes, collections=collection or None, expires_at=expires_at)
        return _body(key) | {"key": token}

    def ask(client: Client) -> Body:
        return client.create_key(
            name=name,
            scopes=[one.value for one in scope],
            collections=collection or None,
            expires_at=expires_at.isoformat() if expires_at else None,
        )

    made = _there_or_here(chosen_url(ctx, url), ask, make)
    if as_json:
        show_json(made)
        return
    print(made["key"])
    show(err(), Text(f"This is key {made['id']}. It isn't shown again. Send it as: Authorization: Bearer {made['key'][:11]}_…"))


@app.command("list")
def list_(ctx: typer.Context, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show all keys, without their secrets."""

    async def find(keys: Keys) -> list[Body]:
        return [_body(key) for key in await keys.list()]

    found = _there_or_here(chosen_url(ctx, url), lambda client: client.keys(), find)
    if as_json:
        show_json(found)
        return
    if found:
        render.keys(out(), found)
    else:
        show(err(), Text("There are no API keys. Make one with: footnote keys create NAME"))


@app.command()
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The key's id, as `keys list` shows it.")],
    url: UrlOption = None,
) -> None:
    """Revoke a key: from the next request on it holds no more."""

    async def end(keys: Keys) -> Body:
        return _body(await keys.revoke(key_id))

    render.keys(out(), [_there_or_here(chosen_url(ctx, url), lambda client: client.revoke_key(key_id), end)])


def _there_or_here(url: str | None, there: Callable[[Client], T], here: Callable[[Keys], Awaitable[T]]) -> T:
    """By the service at ``url``; without one in the database itself, where the first key has to come from."""
    if url is not None:
        with Client(base_url=url) as client:
            return there(client)
    return asyncio.run(_here(here))


async def _here(use: Callable[[Keys], Awaitable[T]]) -> T:
    from corpus.database import Database
    from corpus.datadir import DataDirectory
    from corpus.keys import Keys
    from corpus.opening import database_url
    from corpus.settings import load_settings

    settings = load_settings()
    directory = DataDirectory(settings.data_dir)
    try:
        directory.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise StartupError(
            f"The data directory {directory.path} can't be used ({exc.strerror}). Set FOOTNOTE_DATA_DIR to one that can."
        ) from exc
    async with Database(url=database_url(settings, directory)) as database:
        await database.migrate()
        return await use(Keys(database=database))


def _expires_at(lasts: str | None) -> datetime | None:
    if lasts is None or (found := _LASTS.fullmatch(lasts)) is None:
        return None
    return datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})


def _body(key: ApiKey) -> Body:
    """As the API gives it."""

    def at(time: datetime | None) -> str | None:
        return time.isoformat().replace("+00:00", "Z") if time else None

    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "collections": None if key.collections is None else sorted(key.collections),
        "created_at": at(key.created_at),
        "expires_at": at(key.expires_at),
        "revoked_at": at(key.revoked_at),
    }
