"""Loading a transformers model: on which device, how quantised, and only where it fits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.llm.base import ModelFacts
from app.llm.memory import MemoryPlan, Quantisation, Shape, most_slots, plan, read_weights, refuse_unless_it_fits
from corpus.errors import ModelMissing, StartupError
from corpus.settings import LlmSettings
from corpus.weights import model_folder

# A batch is never broken off, so its size bounds how long a cancelled prefill goes on.
CPU_BATCH_TOKENS = 256
GPU_BATCH_TOKENS = 2048

_SAID: dict[Quantisation, str] = {
    "nf4": "NF4 (4 bits, double quantisation, bf16 compute)",
    "int8": "int8",
    "bf16": "none (bf16)",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A transformers model and its tokenizer. ``pages``: of KV cache, as planned; ``batch_tokens``: most tokens of a step."""

    model: Any
    tokenizer: Any
    facts: ModelFacts
    pages: int
    batch_tokens: int


def load(settings: LlmSettings, *, models_dir: Path | None) -> Loaded:
    """Blocks for seconds to minutes.

    Raises:
        ModelMissing: the weights or the packages aren't there.
        ModelTooLarge: they don't fit the device; the message has figures and remedies.
        StartupError: there is no such device, or the model can't be run this way.
    """
    need_packages(settings.quantisation)
    folder = model_folder(settings.model, models_dir=models_dir, setting="llm.model")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = choose_device(settings.device, cuda=torch.cuda.is_available())
    batch_tokens = max(settings.slots, CPU_BATCH_TOKENS if device == "cpu" else GPU_BATCH_TOKENS)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **local)
        stored = stored_quantisation(config)
        _refuse_context_beyond(config, settings.context_tokens)
        planned = plan_memory(
            folder, config, settings=settings, device=device, batch_tokens=batch_tokens, is_quantised=stored is not None
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        if device == "cpu" and settings.threads:
            torch.set_num_threads(settings.threads)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            device_map={"": device},
            use_safetensors=True,
            attn_implementation=_attention(device),
            **({} if stored else quantised(settings.quantisation)),
            **local,
        )
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise ModelMissing(f"transformers can't load {folder}: {exc}") from exc
    return Loaded(
        model=model.eval(),
        tokenizer=tokenizer,
        facts=_facts(
            settings, folder, tokenizer, device=device, quantisation=stored or _SAID[settings.quantisation], planned=planned
        ),
        pages=planned.pages,
        batch_tokens=batch_tokens,
    )


def _facts(
    settings: LlmSettings, folder: Path, tokenizer: Any, *, device: str, quantisation: str, planned: MemoryPlan
) -> ModelFacts:
    name = folder.name if Path(settings.model).expanduser().is_dir() else settings.model
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if settings.style == "chat" and not has_template:
        raise StartupError(f"llm.style is chat, but {name} has no chat template. Set it to completion, or to auto.")
    return ModelFacts(
        name=name,
        engine="transformers",
        device=_device_name(device),
        quantisation=quantisation,
        context_tokens=settings.context_tokens,
        style=settings.style if settings.style != "auto" else ("chat" if has_template else "completion"),
        memory_bytes=planned.total,
    )


def choose_device(asked: str, *, cuda: bool) -> str:
    """``auto`` is the GPU. Raises: StartupError rather than run on the CPU, 50 times slower, without being told to."""
    if asked == "cpu":
        return asked
    if not cuda:
        raise StartupError(
            f"llm.device is {asked!r}, and torch sees no CUDA device. Install a CUDA build of torch and the driver, or set "
            "llm.device to cpu to run on the CPU all the same, or llm.engine to llamacpp."
        )
    return "cuda:0" if asked in ("auto", "cuda") else asked


def plan_memory(
    folder: Path, config: Any, *, settings: LlmSettings, device: str, batch_tokens: int, is_quantised: bool
) -> MemoryPlan:
    """Raises: ModelTooLarge."""
    options: dict[str, Any] = {
        "weights": read_weights(folder, is_quantised=is_quantised),
        "shape": Shape.of(config),
        "quantisation": settings.quantisation,
        "context_tokens": settings.context_tokens,
        "batch_tokens": batch_tokens,
        "on_gpu": device != "cpu",
    }
    needed, free = plan(slots=settings.slots, **options), free_bytes(device)
    refuse_unless_it_fits(
        needed,
        free=free,
        device=device,
        name=settings.model,
        slots=settings.slots,
        fitting_slots=most_slots(settings.slots, free, **options),
    )
    return needed


def free_bytes(device: str) -> int:
    """Memory free on a device now."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def need_packages(quantisation: Quantisation) -> None:
    needed = ["accelerate"] if quantisation == "bf16" else ["accelerate", "bitsandbytes"]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ModelMissing(f"llm.engine transformers needs {' and '.join(missing)}. Run: pip install 'footnote-rag[gpu]'")


def quantised(quantisation: Quantisation) -> dict[str, Any]:
    if quantisation == "bf16":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    # For int8 it logs, at each multiplication, that its input is cast.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
    }
    if quantisation == "int8":
        options = {"load_in_8bit": True}
    return {"quantization_config": BitsAndBytesConfig(**options)}  # type: ignore[no-untyped-call]


def stored_quantisation(config: Any) -> str | None:
    """How the files are quantised already. Raises: StartupError, if by something other than bitsandbytes."""
    stored = getattr(config, "quantization_config", None)
    if not stored:
        return None
    method = str(stored.get("quant_method", "") if isinstance(stored, dict) else stored.quant_method)
    if "bitsandbytes" not in method:
        raise StartupError(
            f"The weights are quantised by {method}, which this engine doesn't run. Take the original weights, which are then "
            "quantised by llm.quantisation, or serve these with vLLM (docs/scaling.md)."
        )
    return "bitsandbytes, as stored"


def _refuse_context_beyond(config: Any, context_tokens: int) -> None:
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    if longest and context_tokens > longest:
        raise StartupError(f"llm.context_tokens is {context_tokens}, but the model reads {longest} at most. Lower it.")


def _attention(device: str) -> str:
    if device == "cpu":
        return "sdpa"
    from transformers.utils.import_utils import is_flash_attn_2_available

    return "flash_attention_2" if is_flash_attn_2_available() else "sdpa"


def _device_name(device: str) -> str:
    import torch

    if device == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return f"{torch.cuda.get_device_name(device)} ({device})"
