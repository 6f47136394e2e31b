"""Embeddings: one vector per text for retrieval, and one per token for late interaction.

Reimers & Gurevych, "Sentence-BERT" (2019) for the sentence vectors; Khattab & Zaharia, "ColBERT" (2020) for scoring by
token vectors. Importing this module loads neither torch nor a model; :meth:`SentenceTransformerEmbedder.load` does.
"""

from __future__ import annotations

import string
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpus.errors import ModelMissing, StartupError
from corpus.weights import MINILM, MINILM_SHA256, model_folder, weights_revision

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedding:
    """``vector``: shape (dimension,), unit length. ``tokens``: shape (tokens, dimension), each row of unit length,
    special and punctuation tokens left out."""

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

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, special ones left out."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class Embedder(Protocol):
    """Thread-safe. All methods block: call them off the event loop."""

    stamp: EmbedderStamp
    tokenizer: TokenOffsets

    def embed_query(self, text: str) -> Embedding: ...

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]: ...

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        """Sentence vectors alone, shape (len(texts), dimension), unit length."""
        ...


class SentenceTransformerEmbedder:
    """Any sentence-transformers model from a local folder, in process."""

    def __init__(self, *, model: Any, stamp: EmbedderStamp, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        # The fast tokenizer's padding and truncation state is shared and mutable, hence not safe for two threads.
        self._lock = threading.Lock()
        self.stamp = stamp
        tokenizer = model.tokenizer
        special = tokenizer.num_special_tokens_to_add(pair=False)
        self.tokenizer = TokenOffsets(backend=tokenizer.backend_tokenizer, max_tokens=stamp.max_tokens, special_tokens=special)
        self._skipped_ids = np.array(sorted(_skipped_token_ids(tokenizer)))

    @classmethod
    def load(cls, *, name: str, device: str = "auto", batch_size: int = 16) -> SentenceTransformerEmbedder:
        """Load the model (seconds) from its folder.

        Raises:
            ModelMissing: the weights aren't there, or aren't the ones the built-in name promises.
            StartupError: the device was asked for by name and isn't there.
        """
        folder = model_folder(name)
        revision = weights_revision(folder)
        if name == MINILM and revision != MINILM_SHA256:
            raise ModelMissing(
                f"The installed weights of {MINILM} are not the expected ones (sha256 {revision}). Reinstall their package."
            )
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise StartupError(f"index.device is {device!r}, but no CUDA device is available. Set it to auto or cpu.")
        model = SentenceTransformer(
            str(folder), device=None if device == "auto" else device, local_files_only=True, trust_remote_code=False
        ).eval()
        stamp = EmbedderStamp(
            name=name if name == MINILM else folder.name,
            revision=revision,
            dimension=int(model.get_embedding_dimension() or 0),
            max_tokens=int(model.max_seq_length or 512),
            normalised=True,
            query_prompt=model.prompts.get("query") or "",
            passage_prompt=model.prompts.get("document") or model.prompts.get("passage") or "",
        )
        return cls(model=model, stamp=stamp, batch_size=batch_size)

    @property
    def device(self) -> str:
        return str(self._model.device)

    def embed_query(self, text: str) -> Embedding:
        return self._encode([text], prompt=self.stamp.query_prompt)[0]

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]:
        return self._encode(texts, prompt=self.stamp.passage_prompt)

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        if not texts:
            return np.zeros((0, self.stamp.dimension), dtype=np.float32)
        return np.stack([embedding.vector for embedding in self._encode(texts, prompt=self.stamp.passage_prompt)])

    def _encode(self, texts: Sequence[str], *, prompt: str) -> list[Embedding]:
        """One forward pass gives both kinds of vectors. Batches are sorted by tokens, so that little is padding (by characters
        a quarter more of what is computed was)."""
        lengths = self.tokenizer.lengths(texts) if len(texts) > self._batch_size else [0] * len(texts)
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        embeddings: list[Embedding | None] = [None] * len(texts)
        for begin in range(0, len(order), self._batch_size):
            batch = order[begin : begin + self._batch_size]
            for index, embedding in zip(batch, self._forward([prompt + texts[i] for i in batch]), strict=True):
                embeddings[index] = embedding
        return [embedding for embedding in embeddings if embedding is not None]

    def _forward(self, texts: list[str]) -> list[Embedding]:
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            with self._lock:
                features = self._model.preprocess(texts)
            features = {k: v.to(self._model.device) if hasattr(v, "to") else v for k, v in features.items()}
            ids, mask = features["input_ids"].cpu().numpy(), features["attention_mask"].cpu().numpy()
            output = self._model(features)
            vectors = normalize(output["sentence_embedding"].float(), dim=-1).cpu().numpy()
            tokens = normalize(output["token_embeddings"].float(), dim=-1).cpu().numpy()
        keep = (mask == 1) & ~np.isin(ids, self._skipped_ids)
        return [Embedding(vector=v, tokens=t[k]) for v, t, k in zip(vectors, tokens, keep, strict=True)]


def _skipped_token_ids(tokenizer: Any) -> set[int]:
    """Special tokens, and punctuation: ColBERT leaves it out of its passages, for it matches everything a little."""
    punctuation = {i for token, i in tokenizer.get_vocab().items() if token and all(c in string.punctuation for c in token)}
    return punctuation | set(tokenizer.all_special_ids)
