"""What a language model will take of a device's memory, figured before anything is loaded.

The weights are read off the safetensors headers, the rest off the model's configuration. The working space follows how
transformers' continuous batching lays its tensors out (``PagedAttentionMemoryHandler``), rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any, Literal

from corpus.errors import ModelTooLarge

Quantisation = Literal["nf4", "int8", "bf16"]

PAGE_TOKENS = 256  # of the KV cache, for all layers: what is handed out at once
SPARE_PAGES = 2  # for the rounding where layers attend differently far
TRASH_PAGES = 3  # transformers sets two sectors aside, each up to a page and a half
BF16_BYTES = 2
FP32_BYTES = 4
# 4 bits, a byte of scale for each 64 weights, and a float for each 256 of those scales (Dettmers et al., QLoRA, 2023).
BYTES_PER_WEIGHT: dict[Quantisation, float] = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.01, "bf16": 2.0}
CUDA_RESERVE_BYTES = 700_000_000  # the CUDA context, cuBLAS' workspaces, fragments


@dataclass(frozen=True, slots=True)
class Weights:
    """``linear``: weights that are quantised; ``other_bytes``: everything that stays as it is; ``largest``: of one tensor."""

    linear: int
    other_bytes: int
    largest: int

    def bytes(self, quantisation: Quantisation) -> int:
        return int(self.linear * BYTES_PER_WEIGHT[quantisation]) + self.other_bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model's configuration decides on memory."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    masks: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """From a transformers configuration."""
        text = config.get_text_config()
        heads = text.num_attention_heads
        return cls(
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
            heads=heads,
            kv_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
            vocabulary=text.vocab_size,
            masks=1 if getattr(text, "sliding_window", None) is None else 2,
        )

    @property
    def cache_bytes_per_token(self) -> int:
        return self.layers * 2 * self.kv_heads * self.head_dim * BF16_BYTES


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """In bytes. ``pages``: of the KV cache, PAGE_TOKENS each."""

    weights: int
    cache: int
    working: int
    pages: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.working


def read_weights(folder: Path, *, is_quantised: bool) -> Weights:
    """From the headers of the folder's safetensors files. ``is_quantised``: the files hold quantised weights already."""
    from safetensors import safe_open

    linear = other = largest = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no dictionary)
                part = tensors.get_slice(name)
                count = prod(part.get_shape())
                largest = max(largest, count)
                if is_quantised:
                    other += count * _item_bytes(part.get_dtype())
                elif len(part.get_shape()) == 2 and not any(kept in name for kept in _NOT_QUANTISED):
                    linear += count
                else:
                    other += count * BF16_BYTES
    return Weights(linear, other, largest)


# bitsandbytes replaces nn.Linear, but for the output layer; a mixture's experts are no nn.Linear in transformers 5.
_NOT_QUANTISED = ("embed", "lm_head", ".experts.", "norm")


def _item_bytes(dtype: str) -> int:
    return {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}.get(dtype, 1)


def plan(
    weights: Weights,
    shape: Shape,
    *,
    quantisation: Quantisation,
    slots: int,
    context_tokens: int,
    batch_tokens: int,
    on_gpu: bool,
) -> MemoryPlan:
    """For ``slots`` answers at once, each with a context of ``context_tokens``, in batches of ``batch_tokens`` at most."""
    pages = slots * ceil(context_tokens / PAGE_TOKENS) + SPARE_PAGES
    read_tokens = pages * PAGE_TOKENS
    keys_and_values = (2 * shape.heads + shape.kv_heads) * shape.head_dim * BF16_BYTES * (read_tokens + batch_tokens)
    masks = shape.masks * BF16_BYTES * batch_tokens * (read_tokens + batch_tokens)
    activations = batch_tokens * (4 * shape.hidden + 3 * shape.intermediate) * BF16_BYTES
    logits = 2 * slots * shape.vocabulary * FP32_BYTES
    return MemoryPlan(
        weights=weights.bytes(quantisation),
        cache=(pages + TRASH_PAGES) * PAGE_TOKENS * shape.cache_bytes_per_token,
        # one weight is whole in bf16 while it is quantised
        working=keys_and_values + masks + activations + logits + weights.largest * BF16_BYTES + on_gpu * CUDA_RESERVE_BYTES,
        pages=pages,
    )


def most_slots(slots: int, free: int, **options: Any) -> int:
    """How many of ``slots`` answers at once would fit, 0 if not even one. ``options`` as for :func:`plan`."""
    return next((n for n in range(slots, 0, -1) if plan(slots=n, **options).total <= free), 0)


def refuse_unless_it_fits(needed: MemoryPlan, *, free: int, device: str, name: str, slots: int, fitting_slots: int) -> None:
    """Raises: ModelTooLarge, with figures and remedies."""
    if needed.total <= free:
        return
    remedies = ["take a smaller model", "lower llm.context_tokens", "or ask a server that spreads it (docs/scaling.md)"]
    if fitting_slots:
        remedies.insert(0, f"set llm.slots to {fitting_slots}, which fits")
    raise ModelTooLarge(
        f"{name} needs {_gb(needed.total)} on {device}, where {_gb(free)} are free: weights {_gb(needed.weights)}, cache for "
        f"{slots} answers at once {_gb(needed.cache)}, working space {_gb(needed.working)}. To mend it, {', '.join(remedies)}.",
        needed_bytes=needed.total,
        free_bytes=free,
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
