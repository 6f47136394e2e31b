"""``footnote models``: fetching the weights of other models, once and by name. Nothing else of Footnote downloads any."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from corpus.errors import FootnoteError, InvalidInput
from corpus.weights import HUB_NAME, WANTED_FILES, checked_folder, pulled_folder
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
) -> None:
    """Fetch a model's safetensors weights and settings into the data directory; code and pickles are left out.

    Afterwards its name can be given to index.embedder, search.reranker and footnote reindex. HF_ENDPOINT names another hub.
    """
    if not HUB_NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of the hub's; give one such as intfloat/multilingual-e5-small.")
    from corpus.settings import load_settings

    models_dir = load_settings().data_dir / "models"
    target = pulled_folder(name, models_dir)
    if target.is_dir():
        raise FootnoteError(f"{name} is in {target} already. Remove that folder first to fetch it anew.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    partial = target.with_name(f"{target.name}.partial")
    # What an earlier try left would be given back as if it were whole where the hub can't be reached.
    shutil.rmtree(partial, ignore_errors=True)
    with waiting(f"fetching {name}…"):
        try:
            snapshot_download(name, revision=revision, local_dir=partial, allow_patterns=list(WANTED_FILES))
            shutil.rmtree(partial / ".cache", ignore_errors=True)
            checked_folder(partial)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as exc:
            raise FootnoteError(
                f"{name} can't be fetched: {exc}. Without a way to the hub, bring its folder from elsewhere and name the folder."
            ) from exc
    partial.replace(target)  # a name that exists is a folder that is whole
    show_note(f"{name} is in {target}.")
