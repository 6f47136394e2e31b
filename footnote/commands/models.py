"""``footnote models``: fetching the weights of other models, once and by name. Nothing else of Footnote downloads any."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import FootnoteError, InvalidInput
from corpus.weights import HUB_NAME, WANTED_FILES, checked_folder, made_once, pulled_folder
from footnote.terminal import show_note, waiting

app = typer.Typer(help="Fetch embedders and cross-encoders by name.", no_args_is_help=True)


@app.callback()
def models() -> None:
    """Fetch embedders and cross-encoders by name."""


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(metavar="OWNER/MODEL", help="The model's name on the Hugging Face hub.")],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="REV", show_default=False, help="A commit, tag or branch of it.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", show_default=False, help="Take it from this folder, without a way to the hub."),
    ] = None,
) -> None:
    """Fetch a model's safetensors weights and settings into the data directory; code and pickles are left out.

    Afterwards its name can be given to index.embedder, search.reranker, llm.model and footnote reindex. HF_ENDPOINT names another
    hub.
    """
    if not HUB_NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of the hub's; give one such as intfloat/multilingual-e5-small.")
    if folder is not None and not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder. Name the one that holds the model's config.json.")
    if folder is not None and revision is not None:
        raise InvalidInput("--revision chooses among the hub's versions; a folder (--from) has one. Give one of the two.")
    from corpus.settings import load_settings

    target = pulled_folder(name, load_settings().data_dir / "models")
    if target.is_dir():
        raise FootnoteError(f"{name} is in {target} already. Remove that folder first to fetch it anew.")
    fetch = partial(_copy, folder) if folder is not None else partial(_download, name, revision)
    with waiting(f"fetching {name}…"):
        made_once(target, fetch, what=name)
    show_note(f"{name} is in {target}.")


def _copy(folder: Path, to: Path) -> None:
    for pattern in WANTED_FILES:
        for file in folder.rglob(pattern):
            (to / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / file.relative_to(folder))
    checked_folder(to)


def _download(name: str, revision: str | None, to: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(name, revision=revision, local_dir=to, allow_patterns=list(WANTED_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as exc:
        raise FootnoteError(
            f"{name} can't be fetched: {exc}. Without a way to the hub, bring its folder from elsewhere: "
            f"footnote models pull {name} --from FOLDER."
        ) from exc
    shutil.rmtree(to / ".cache", ignore_errors=True)
    checked_folder(to)
