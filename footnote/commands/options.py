"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from corpus.errors import InvalidInput


def http_url(value: str | None) -> str | None:
    """A typer callback: refuses mistakes in the command line before anything is started."""
    if value is not None and not value.lower().startswith(("http://", "https://")):
        guess = value.partition("://")[2] or value
        raise typer.BadParameter(f"{value!r} must begin with http:// or https://, such as https://{guess}")
    return value


def http_urls(values: list[str]) -> list[str]:
    for value in values:
        http_url(value)
    return values


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", callback=http_url, show_default=False, help="Talk to this service instead of the one found here."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON on stdout, and nothing else there.")]
CollectionOption = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="The collection to use.")]
UrlPrefixOption = Annotated[
    str | None,
    typer.Option("--url-prefix", metavar="PREFIX", show_default=False, help="Only pages whose URL begins so."),
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="CODE", show_default=False, help="Only pages in this language, such as en.")
]

EVERY = re.compile(r"[0-9]+[smhdw]?")


def selectors(values: list[str] | None) -> list[str] | None:
    """A typer callback: CSS that can't be read is refused before anything is started."""
    from corpus.selectors import check_selectors

    try:
        return None if values is None else list(check_selectors(values))
    except InvalidInput as exc:
        raise typer.BadParameter(exc.message) from exc


KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="CSS",
        callback=selectors,
        show_default=False,
        help="What of the pages is content, as a CSS selector such as main; may be repeated.",
    ),
]
DropOption = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="CSS",
        callback=selectors,
        show_default=False,
        help="What of the pages is no content, as a CSS selector such as .ad; may be repeated.",
    ),
]


def every(value: str | None) -> str | None:
    """A typer callback: what can be no interval is refused before anything is started. Its bounds are the service's."""
    if value is not None and not EVERY.fullmatch(value.strip().lower()):
        raise typer.BadParameter(f"{value!r} is no interval; give one such as 90m, 12h, 1d or 1w")
    return value


DEFAULT_COLLECTION = "default"


def chosen_url(ctx: typer.Context, url: str | None) -> str | None:
    """--url given to the command, else the one given before it or in FOOTNOTE_URL."""
    return url or ctx.obj


def filters(*, url_prefix: str | None, language: str | None) -> dict[str, str]:
    given = {"url_prefix": url_prefix, "language": language}
    return {name: value for name, value in given.items() if value is not None}
