"""Embeddings: one vector per text for retrieval, and one per token for late interaction.

Reimers & Gurevych, "Sentence-BERT" (2019) for the sentence vectors; Khattab & Zaharia, "ColBERT" (2020) for scoring by
token vectors. Importing this module loads neither torch nor a model; :meth:`SentenceTransformerEmbedder.load` does.
"""

from __future__ import annotations

import math
import string
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpus.errors import ModelMissing, StartupError
from corpus.weights import E5, MINILM, MINILM_SHA256, model_folder, weights_revision

Float32 = NDArray[np.float32]
BUILT_IN = (MINILM, E5)
# Under which names models keep what a question and a passage are to be led in with.
QUERY_PROMPTS = ("query", "search_query", "retrieval.query")
PASSAGE_PROMPTS = ("document", "passage", "corpus", "search_document", "retrieval.passage")
UNLIMITED_TOKENS = 8192  # for models that have no limit of their own


@dataclass(frozen=True, slots=True)
class Embedding:
    """``vector``: shape (dimension,), unit length unless the model compares by dot product. ``tokens``: shape (tokens,
    dimension), each row of unit length, special and punctuation tokens left out; none where the model has no token vectors."""

    vector: Float32
    tokens: Float32


@dataclass(frozen=True, slots=True)
class EmbedderStamp:
    """What an index must remember of the embedder that made it: vectors of two embedders can't be compared."""

    name: str
    revision: str
    dimension: int
    max_tokens: int
    normalised: bool
    query_prompt: str
    passage_prompt: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class TokenOffsets:
    """The embedder's tokenizer as the chunker needs it (see ``corpus.chunking.Tokenizer``)."""

    def __init__(self, *, backend: Tokenizer, max_tokens: int, special_tokens: int) -> None:
        # A copy: the model's own is set to pad and truncate by every call of the embedder.
        self._tokenizer = Tokenizer.from_str(backend.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.max_tokens = max_tokens
        self.special_tokens = special_tokens

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def offsets_without(self, text: str, skipped_ids: NDArray[Any]) -> list[tuple[int, int]]:
        """Of all tokens but those."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return list(compress(encoding.offsets, ~np.isin(encoding.ids, skipped_ids)))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, special ones left out."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class Embedder(Protocol):
    """Thread-safe. All methods block: call them off the event loop."""

    stamp: EmbedderStamp
    tokenizer: TokenOffsets

    def embed_query(self, text: str) -> Embedding: ...

    def embed_queries(self, texts: Sequence[str]) -> list[Embedding]: ...

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]: ...

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        """Sentence vectors alone, shape (len(texts), dimension), unit length."""
        ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token vector that :meth:`embed_passages` makes of the text stands in it, in their order. Of a text that
        others were put before, they are the last."""
        ...


class SentenceTransformerEmbedder:
    """Any sentence-transformers model from a local folder, in process. Prompts, input limit, dimension, and whether vectors are
    compared by cosine or dot product are the model's own, as its folder says."""

    def __init__(self, *, model: Any, stamp: EmbedderStamp, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        # The fast tokenizer's padding and truncation state is shared and mutable, hence not safe for two threads.
        self._lock = threading.Lock()
        self.stamp = stamp
        tokenizer = model.tokenizer
        is_bare = isinstance(tokenizer, Tokenizer)  # a static embedding's: no special tokens, no token vectors
        backend = tokenizer if is_bare else tokenizer.backend_tokenizer
        special = 0 if is_bare else tokenizer.num_special_tokens_to_add(pair=False)
        self.tokenizer = TokenOffsets(backend=backend, max_tokens=stamp.max_tokens, special_tokens=special)
        # Every passage begins with the model's prompt, whose tokens take room as special ones do.
        self.tokenizer.special_tokens += len(self.tokenizer.offsets(stamp.passage_prompt))
        self._knows_tokens = not is_bare
        self._skipped_ids = np.array([] if is_bare else sorted(_skipped_token_ids(tokenizer)))

    @classmethod
    def load(
        cls,
        *,
        name: str,
        models_dir: Path | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 16,
        query_prompt: str | None = None,
        passage_prompt: str | None = None,
    ) -> SentenceTransformerEmbedder:
        """Load the model (seconds) from its folder. ``models_dir``: where pulled and unpacked models are. The prompts are the
        model's own unless given.

        Raises:
            ModelMissing: the weights aren't there, or aren't the ones the built-in name promises, or can't be used here.
            StartupError: the device was asked for by name and isn't there.
        """
        folder = model_folder(name, models_dir=models_dir)
        revision = weights_revision(folder)
        if name == MINILM and revision != MINILM_SHA256:
            raise ModelMissing(
                f"The installed weights of {MINILM} are not the expected ones (sha256 {revision}). Reinstall their package."
            )
        model = _load_model(folder, device=device, dtype=dtype)
        similarity = str(model.similarity_fn_name or "cosine")
        if similarity not in ("cosine", "dot"):
            raise ModelMissing(f"The embedder {name} compares vectors by {similarity}; Footnote's index does by cosine or dot.")
        stamp = EmbedderStamp(
            name=name if name in BUILT_IN else folder.name,
            revision=revision,
            dimension=int(model.get_embedding_dimension() or 0),
            max_tokens=UNLIMITED_TOKENS if math.isinf(model.max_seq_length or math.inf) else int(model.max_seq_length),
            normalised=similarity == "cosine",
            query_prompt=_first(model.prompts, QUERY_PROMPTS) if query_prompt is None else query_prompt,
            passage_prompt=_first(model.prompts, PASSAGE_PROMPTS) if passage_prompt is None else passage_prompt,
        )
        return cls(model=model, stamp=stamp, batch_size=batch_size)

    @property
    def device(self) -> str:
        return str(self._model.device)

    def embed_query(self, text: str) -> Embedding:
        return self.embed_queries([text])[0]

    def embed_queries(self, texts: Sequence[str]) -> list[Embedding]:
        return self._encode(texts, prompt=self.stamp.query_prompt)

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]:
        return self._encode(texts, prompt=self.stamp.passage_prompt)

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        if not texts:
            return np.zeros((0, self.stamp.dimension), dtype=np.float32)
        return np.stack([embedding.vector for embedding in self._encode(texts, prompt=self.stamp.passage_prompt)])

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self.tokenizer.offsets_without(text, self._skipped_ids) if self._knows_tokens else []

    def _encode(self, texts: Sequence[str], *, prompt: str) -> list[Embedding]:
        """One forward pass gives both kinds of vectors. Batches are sorted by tokens, so that little is padding (by characters
        a quarter more of what is computed was)."""
        lengths = self.tokenizer.lengths(texts) if len(texts) > self._batch_size else [0] * len(texts)
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        embeddings: list[Embedding | None] = [None] * len(texts)
        for begin in range(0, len(order), self._batch_size):
            batch = order[begin : begin + self._batch_size]
            for index, embedding in zip(batch, self._forward([texts[i] for i in batch], prompt), strict=True):
                embeddings[index] = embedding
        return [embedding for embedding in embeddings if embedding is not None]

    def _forward(self, texts: list[str], prompt: str) -> list[Embedding]:
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            with self._lock:
                features = self._model.preprocess(texts, prompt=prompt or None)
            features = {k: v.to(self._model.device) if hasattr(v, "to") else v for k, v in features.items()}
            output = self._model(features)
            # Matryoshka models say how many of their dimensions are to be kept.
            sentences = output["sentence_embedding"].float()[:, : self.stamp.dimension]
            vectors = (normalize(sentences, dim=-1) if self.stamp.normalised else sentences).cpu().numpy()
            if "token_embeddings" not in output:
                none = np.zeros((0, self.stamp.dimension), dtype=np.float32)
                return [Embedding(vector=vector, tokens=none) for vector in vectors]
            tokens = normalize(output["token_embeddings"].float(), dim=-1).cpu().numpy()
        ids, mask = features["input_ids"].cpu().numpy(), features["attention_mask"].cpu().numpy()
        keep = (mask == 1) & ~np.isin(ids, self._skipped_ids)
        keep &= np.cumsum(mask, axis=1) > int(features.get("prompt_length", 0))  # the prompt is no part of the text
        return [Embedding(vector=v, tokens=t[k]) for v, t, k in zip(vectors, tokens, keep, strict=True)]


def usable_device(device: str, *, setting: str) -> str | None:
    """The device to name to sentence-transformers; None lets it take a GPU where one is there. Raises: StartupError."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise StartupError(f"{setting} is {device!r}, but no CUDA device is available. Set it to auto or cpu.")
    return None if device == "auto" else device


def torch_dtype(dtype: str, *, device: str | None) -> Any:
    """What to compute in. ``auto``: as the weights were saved where there is a GPU, else float32, for a CPU is slow at less."""
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    on_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return "auto" if (device is None and on_gpu) or (device or "cpu") != "cpu" else torch.float32


def _load_model(folder: Path, *, device: str, dtype: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    usable = usable_device(device, setting="index.device")
    try:
        return SentenceTransformer(
            str(folder),
            device=usable,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": torch_dtype(dtype, device=usable), "use_safetensors": True},
        ).eval()
    except (OSError, ValueError, KeyError) as exc:  # what transformers raises for a folder that it can't make sense of
        raise ModelMissing(f"The model folder {folder} can't be loaded: {exc}") from exc


def _first(prompts: dict[str, str], names: Sequence[str]) -> str:
    return next((prompts[name] for name in names if prompts.get(name)), "")


def _skipped_token_ids(tokenizer: Any) -> set[int]:
    """Special tokens, and punctuation: ColBERT leaves it out of its passages, for it matches everything a little."""
    punctuation = {i for token, i in tokenizer.get_vocab().items() if token and all(c in string.punctuation for c in token)}
    return punctuation | set(tokenizer.all_special_ids)
