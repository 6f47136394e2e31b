"""Reranking by a cross-encoder, which reads question and passage together (Nogueira & Cho, "Passage Re-ranking with BERT", 2019).

Any sentence-transformers CrossEncoder from a local folder. Importing this module loads neither torch nor a model.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from app.reranker import reordered
from corpus.embedding import torch_dtype, usable_device
from corpus.errors import ModelMissing
from corpus.model import Chunk
from corpus.search import SearchResult
from corpus.weights import model_folder


class CrossEncoderReranker:
    def __init__(self, *, model: Any, name: str, weight: float, batch_size: int) -> None:
        """``weight`` of the cross-encoder against the first stage's scores, in [0, 1]."""
        self.name = name
        self._model = model
        self._weight = weight
        self._batch_size = batch_size
        # The fast tokenizer's padding and truncation state is shared and mutable, hence not safe for two threads.
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, *, name: str, models_dir: Path, device: str, dtype: str, weight: float, batch_size: int
    ) -> CrossEncoderReranker:
        """Load the model (seconds) from its folder; ``name`` as in ``search.reranker``.

        Raises:
            ModelMissing: there is no such folder, it holds files that can run code, or what it holds gives no single score.
            StartupError: the device was asked for by name and isn't there.
        """
        folder = model_folder(name, models_dir=models_dir, setting="search.reranker")
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        usable = usable_device(device, setting="index.device")
        try:
            model = CrossEncoder(
                str(folder),
                device=usable,
                local_files_only=True,
                trust_remote_code=False,
                # Logits: a sigmoid keeps their order until it runs out of digits, and then makes good passages equal.
                activation_fn=Identity(),
                model_kwargs={"dtype": torch_dtype(dtype, device=usable), "use_safetensors": True},
            ).eval()
        except (OSError, ValueError, KeyError) as exc:  # what transformers raises for a folder that it can't make sense of
            raise ModelMissing(f"The cross-encoder folder {folder} can't be loaded: {exc}") from exc
        if model.num_labels != 1:
            raise ModelMissing(
                f"search.reranker is {name!r}, a classifier of {model.num_labels} classes. A reranker gives one score."
            )
        return cls(model=model, name=folder.name, weight=weight, batch_size=batch_size)

    @property
    def device(self) -> str:
        return str(self._model.device)

    async def rerank(self, result: SearchResult, *, limit: int) -> SearchResult:
        """The best ``limit`` hits in their new order. What is beyond the model's input limit is cut, the longer text first."""
        started = time.perf_counter()
        scores = await asyncio.to_thread(self._score, result.text, [hit.chunk for hit in result.hits])
        return reordered(result, scores, weight=self._weight, limit=limit, started=started)

    def _score(self, question: str, chunks: list[Chunk]) -> dict[str, float]:
        if not chunks:
            return {}
        with self._lock:
            scores = self._model.predict(
                [(question, in_context(chunk)) for chunk in chunks], batch_size=self._batch_size, show_progress_bar=False
            )
        return {chunk.id: float(score) for chunk, score in zip(chunks, scores, strict=True)}


def in_context(chunk: Chunk) -> str:
    """A passage as it is read: under its headings, for "It returns None." means little without."""
    return "\n".join((*(chunk.heading_path or (chunk.title,)), chunk.text))
