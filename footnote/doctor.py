"""What would run where on this machine, and why; what is missing, and the command that mends it.

Looks only: loads no model, imports no heavy package, writes nothing. Each check gives findings and depends on nothing but
its arguments, the file system and package metadata.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.datadir import LEAST_FREE_BYTES, LITE_ADVISED_CHUNKS, DataDirectory
from corpus.errors import FootnoteError, ModelMissing, StartupError
from corpus.weights import (
    E5,
    E5_MODULE,
    E5_PACKAGE,
    GEMMA,
    GEMMA_MODULE,
    GEMMA_PACKAGE,
    MINILM,
    MINILM_PACKAGE,
    model_folder,
    package_folder,
)
from footnote.client import Client
from footnote.connection import PROBE_TIMEOUT_S, is_locked, running_service

if TYPE_CHECKING:
    from corpus.settings import Settings

DISTRIBUTION = "footnote-rag"
COMFORTABLE_FREE_BYTES = 2_000_000_000


class Status(StrEnum):
    """``missing`` stops `footnote serve`; ``warn`` doesn't."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` says what is there and why it will be used; ``remedy`` what to do about it, if anything."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(*, deep: bool = False) -> list[Finding]:
    """All findings, in the order in which a start would meet the problems. ``deep``: servers are asked and models loaded too
    (``footnote/doctor_deep.py``)."""
    findings = [check_python(), check_packages()]
    try:
        # Imported here: if pydantic-settings is missing, the checks above say so.
        from corpus.settings import load_settings

        settings = load_settings()
    except (ImportError, StartupError, tomllib.TOMLDecodeError) as exc:
        return [*findings, Finding("settings", Status.MISSING, str(exc), "correct what is named")]
    findings.append(check_settings_sources())
    findings += check_data_directory(settings.data_dir)
    findings += [check_embedder(settings), check_reranker(settings), check_language_model(settings), check_gpu()]
    findings += [check_threads(settings)]
    findings += check_browser(settings)
    findings += check_service(settings)
    if deep:
        from footnote.doctor_deep import examine_servers

        findings += examine_servers(settings)
    return findings


def check_python() -> Finding:
    """Informs only: pip installs Footnote into no Python that is too old."""
    return Finding("python", Status.OK, f"{platform.python_version()} at {sys.executable}")


def check_packages(distribution: str = DISTRIBUTION) -> Finding:
    """Footnote's own requirements, from its package metadata, against what is installed."""
    try:
        needed = list(_requirements(distribution))
    except PackageNotFoundError:
        return Finding("packages", Status.MISSING, f"{distribution} itself is not installed", "pip install .")
    missing, others = [], []
    for name, pinned in needed:
        try:
            installed = version(name)
        except PackageNotFoundError:
            missing.append(f"{name}=={pinned}" if pinned else name)
            continue
        if pinned and installed.partition("+")[0] != pinned:
            others.append(f"{name} {installed} (tested with {pinned})")
    if missing:
        return Finding("packages", Status.MISSING, f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    if others:
        return Finding("packages", Status.WARN, f"other versions: {', '.join(others)}", f"pip install {distribution}")
    return Finding("packages", Status.OK, f"{distribution} {version(distribution)} with all {len(needed)} requirements")


def check_settings_sources() -> Finding:
    path = Path(os.environ.get("FOOTNOTE_CONFIG", "footnote.toml"))
    names = sorted(name for name in os.environ if name.startswith("FOOTNOTE_"))
    sources = ([f"environment ({', '.join(names)})"] if names else []) + ([f"file {path.absolute()}"] if path.is_file() else [])
    return Finding("settings", Status.OK, f"{' over '.join(sources)} over the defaults" if sources else "the defaults alone")


def check_data_directory(path: Path) -> Iterator[Finding]:
    remedy = "set FOOTNOTE_DATA_DIR to a directory that can be written"
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("data directory", Status.MISSING, f"{path}: {existing} is not a writable directory", remedy)
        return
    state = "writable" if existing == path else "to be made at the first start"
    yield Finding("data directory", Status.OK, f"{path}, {state}")
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        yield Finding("disk", Status.MISSING, found, f"free some space: at least {LEAST_FREE_BYTES / 1e9:g} GB")
    elif free < COMFORTABLE_FREE_BYTES:
        yield Finding("disk", Status.WARN, found, "free some space before indexing much")
    else:
        yield Finding("disk", Status.OK, found)


def check_embedder(settings: Settings) -> Finding:
    name = settings.index.embedder
    try:
        folder = _folder_without_unpacking(name, models_dir=settings.data_dir / "models")
    except ModelMissing as exc:
        remedies = {MINILM: f"pip install {MINILM_PACKAGE}", E5: f"pip install '{E5_PACKAGE}'"}
        return Finding("embedder", Status.MISSING, exc.message, remedies.get(name, "correct index.embedder"))
    asked = settings.index.device
    cuda = has_nvidia() and not _is_cpu_build()
    if asked.startswith("cuda") and not cuda:
        return Finding("embedder", Status.MISSING, f"index.device is {asked}, but {_why_no_cuda()}", "set it to auto")
    if asked != "auto":
        return Finding("embedder", Status.OK, f"{name} on {asked}, as index.device says ({folder})")
    where = "on cuda, as an NVIDIA driver and a CUDA build of torch are here" if cuda else f"on the cpu, as {_why_no_cuda()}"
    return Finding("embedder", Status.OK, f"{name} {where} ({folder})")


def _folder_without_unpacking(name: str, *, models_dir: Path) -> Path:
    """Raises: ModelMissing."""
    if name == E5:
        return package_folder(E5_MODULE, package=f"'{E5_PACKAGE}'", purpose=f"the embedder {E5}")
    return model_folder(name, models_dir=models_dir)


def check_reranker(settings: Settings) -> Finding:
    name = settings.search.reranker
    if name == "none":
        return Finding("reranker", Status.WARN, "none (search.reranker): hits keep the order of the first stage")
    if name == "maxsim":
        return Finding("reranker", Status.OK, "maxsim over the embedder's token vectors")
    try:
        folder = model_folder(name, models_dir=settings.data_dir / "models", setting="search.reranker")
    except ModelMissing as exc:
        return Finding("reranker", Status.MISSING, exc.message, "correct search.reranker; maxsim needs no further weights")
    return Finding("reranker", Status.OK, f"the cross-encoder {name} ({folder}), where the embedder runs")


def check_language_model(settings: Settings) -> Finding:
    llm = settings.llm
    if llm.engine == "none":
        return Finding("language model", Status.WARN, "none (llm.engine): answers are quotes", "FOOTNOTE_LLM__ENGINE=llamacpp")
    if llm.engine == "openai":
        return Finding(
            "language model",
            Status.OK,
            f"{llm.model} at {llm.base_url}, {llm.slots} answers at once; /readyz tells if it answers",
        )
    if llm.engine in ("transformers", "langchain"):
        return check_optional_engine(settings)
    without = "FOOTNOTE_LLM__ENGINE=none answers with quotes alone"
    if importlib.util.find_spec("xllamacpp") is None:
        return Finding("language model", Status.MISSING, "xllamacpp is not installed", f"pip install xllamacpp; or {without}")
    if llm.model != GEMMA:
        path = Path(llm.model).expanduser()
        if not path.is_file():
            return Finding("language model", Status.MISSING, f"there is no GGUF file {path}", f"correct llm.model; or {without}")
        return Finding("language model", Status.OK, f"{path} in llama.cpp, {llm.slots} answers at once")
    try:
        package_folder(GEMMA_MODULE, package=GEMMA_PACKAGE, purpose=f"the language model {GEMMA}")
    except ModelMissing as exc:
        return Finding("language model", Status.MISSING, exc.message, f"pip install {GEMMA_PACKAGE}; or {without}")
    unpacked = any((settings.data_dir / "models").glob("*.gguf"))
    state = "unpacked" if unpacked else "to be unpacked at the first start"
    return Finding("language model", Status.OK, f"{GEMMA} (4-bit) in llama.cpp, {state}, {llm.slots} answers at once")


def check_optional_engine(settings: Settings) -> Finding:
    """The engines whose packages are extras."""
    llm = settings.llm
    is_local = llm.engine == "transformers"
    packages = (["accelerate"] + ["bitsandbytes"] * (llm.quantisation != "bf16")) if is_local else ["langchain"]
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        extra = "gpu" if is_local else "langchain"
        found = f"llm.engine {llm.engine} needs {', '.join(missing)}"
        return Finding("language model", Status.MISSING, found, f"pip install '{DISTRIBUTION}[{extra}]'")
    if not is_local:
        return Finding("language model", Status.OK, f"{llm.model} through LangChain, {llm.slots} answers at once")
    if llm.device != "cpu" and (not has_nvidia() or _is_cpu_build()):
        remedy = "mend that, or set FOOTNOTE_LLM__DEVICE=cpu to run it on the cpu all the same"
        return Finding("language model", Status.MISSING, f"llm.device is {llm.device}, but {_why_no_cuda()}", remedy)
    try:
        model_folder(llm.model, models_dir=settings.data_dir / "models", setting="llm.model")
    except ModelMissing as exc:
        return Finding("language model", Status.MISSING, exc.message, "fetch it, or correct llm.model")
    found = f"{llm.model}, {llm.quantisation} on {llm.device}, {llm.slots} answers at once; its memory is checked at the start"
    return Finding("language model", Status.OK, found)


def check_browser(settings: Settings) -> Iterator[Finding]:
    """Only where pages are to be rendered."""
    if settings.ingest.render == "never":
        return
    from ingest.browser import find_browser  # with the whole fetcher behind it

    try:
        found = find_browser(settings.ingest.browser_path)
    except StartupError as exc:
        yield Finding("browser", Status.MISSING, exc.message, "FOOTNOTE_INGEST__RENDER=never reads pages as they are sent")
        return
    if settings.ingest.browser_sandbox and os.geteuid() == 0:
        yield Finding("browser", Status.MISSING, f"{found} can't have its sandbox as root", "run as another user, or turn it off")
        return
    sandbox = "in its sandbox" if settings.ingest.browser_sandbox else "without its sandbox"
    yield Finding("browser", Status.OK, f"{found} renders pages ({settings.ingest.render}), {sandbox}")


def check_gpu() -> Finding:
    if not has_nvidia():
        return Finding("gpu", Status.OK, "no NVIDIA driver here: everything runs on the cpu")
    names = ", ".join(sorted(set(_nvidia_models()))) or "NVIDIA"
    if _is_cpu_build():
        return Finding("gpu", Status.WARN, f"{names}, but {_why_no_cuda()}", "install a CUDA build of torch")
    return Finding("gpu", Status.OK, f"{names}: the embedder uses it; llama.cpp as PyPI ships it is built for the cpu")


def check_threads(settings: Settings) -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = settings.llm.threads
    if asked > usable:
        remedy = "FOOTNOTE_LLM__THREADS=0 takes one per physical core"
        return Finding("threads", Status.WARN, f"llm.threads is {asked}, but {usable} cores may be used", remedy)
    return Finding("threads", Status.OK, f"{usable} cores may be used; llm.threads is {asked or '0: chosen from the cores'}")


def check_service(settings: Settings) -> Iterator[Finding]:
    directory = DataDirectory(settings.data_dir)
    url = running_service(settings)
    if url is None:
        if is_locked(directory):
            remedy = "wait a moment; if it stays so, see the log of the process"
            yield Finding("service", Status.WARN, "a process owns the data directory but doesn't answer (yet)", remedy)
        else:
            yield check_port(settings.server.host, settings.server.port)
        return
    try:
        with Client(base_url=url, read_timeout_s=PROBE_TIMEOUT_S) as client:
            readiness = client.readiness()
    except FootnoteError as exc:
        yield Finding("service", Status.WARN, exc.message, "see its log")
        return
    state = str(readiness["state"])
    degraded = [str(lack) for lack in readiness["degraded"]]
    status = Status.OK if state == "ready" and not degraded else Status.WARN
    where = state if state == "ready" else f"{state} ({readiness['stage']})"
    yield Finding("service", status, "; ".join([f"runs at {url}: {where}", *degraded]))
    if (chunks := readiness.get("chunks")) is not None:
        yield check_index_size(pages=readiness["pages"], chunks=chunks)


def check_index_size(*, pages: int, chunks: int) -> Finding:
    found = f"{pages:,} pages, {chunks:,} chunks"
    if chunks > LITE_ADVISED_CHUNKS:
        remedy = f"beyond {LITE_ADVISED_CHUNKS:,} chunks a Milvus server answers faster than Milvus Lite"
        return Finding("index", Status.WARN, found, remedy)
    return Finding("index", Status.OK, found)


def check_port(host: str, port: int) -> Finding:
    """Whether `footnote serve` could listen. Binds without listening, as the service does, and lets go at once."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            found = f"none runs, and {host}:{port} can't be listened on ({exc.strerror})"
            return Finding("service", Status.MISSING, found, "FOOTNOTE_SERVER__PORT=0 picks a free port")
    return Finding("service", Status.OK, f"none runs; `footnote serve` would listen on {host}:{port}")


def has_nvidia() -> bool:
    """An NVIDIA kernel driver or its tool is here. Not started: it takes longer than all else that is looked at."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _nvidia_models() -> Iterator[str]:
    for path in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        if model := re.search(r"^Model:\s*(.+)$", path.read_text(errors="replace"), re.MULTILINE):
            yield model.group(1)


def _is_cpu_build() -> bool:
    return _version("torch").endswith("+cpu")


def _why_no_cuda() -> str:
    return "no NVIDIA driver is here" if not has_nvidia() else f"torch is a CPU build ({_version('torch')})"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _requirements(distribution: str) -> Iterator[tuple[str, str]]:
    """Name and pinned version ("" if it isn't pinned) of each requirement that doesn't belong to an extra."""
    for requirement in requires(distribution) or ():
        specifier, _, marker = requirement.partition(";")
        if "extra" not in marker and (name := re.match(r"[\w.-]+", specifier)):
            pinned = re.search(r"==\s*([\w.]+)", specifier)
            yield name.group(), pinned.group(1) if pinned else ""
