"""Real models, small enough to make in a second: other embedders than the built-in one, and a cross-encoder.

Their weights are random but for what is said, their tokenizer is the built-in embedder's, and they are saved and loaded as any
sentence-transformers model is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.weights import MINILM, model_folder

BAKING = [
    "Sourdough bread rises slowly because wild yeast is patient.",
    "Knead the dough for ten minutes and let it rest.",
    "Bake the bread in a hot oven until the crust is brown.",
    "Flour, water and salt are all that a loaf needs.",
]
WHALES = [
    "Blue whales sing in the deep ocean.",
    "The whale dives for krill and comes up for air.",
    "Grey whales migrate along the coast every winter.",
    "Sailors once hunted sperm whales for their oil.",
]

QUESTIONS = ["What is told here?", "How do I bake bread?", "Where do whales sing in the deep ocean?", "Why?"]


def make_embedder(
    folder: Path, *, dimension: int = 64, prompts: dict[str, str] | None = None, max_tokens: int = 128, **kinds: Any
) -> Path:
    """A BERT of one layer with mean pooling, whose vectors are nearly bags of words. ``kinds``: ``similarity_fn_name``,
    ``truncate_dim``, ``include_prompt`` as sentence-transformers has them."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base = _save_bert(folder.parent / f"{folder.name}-bert", hidden=dimension, head=False)
    pooling = Pooling(dimension, "mean", include_prompt=kinds.pop("include_prompt", True))
    modules = [Transformer(str(base), max_seq_length=max_tokens), pooling]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu", **kinds).save(str(folder))
    return folder


def make_static_embedder(folder: Path, *, dimension: int = 48) -> Path:
    """One vector a token, averaged: no limit of tokens, no token vectors."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(model_folder(MINILM) / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=dimension)], device="cpu").save(str(folder))
    return folder


def make_cross_encoder(folder: Path, *, labels: int = 1) -> Path:
    """It likes what speaks of baking, whatever was asked: its head is fitted to that by least squares."""
    import torch
    from sentence_transformers import CrossEncoder

    base = _save_bert(folder.parent / f"{folder.name}-bert", hidden=64, head=True, labels=labels)
    model = CrossEncoder(str(base), device="cpu")
    if labels == 1:
        classifier = model.model
        pairs = [(question, f"Notes\n{text}") for question in QUESTIONS for text in (*BAKING, *WHALES)]
        with torch.no_grad():
            features = classifier.bert(**model.tokenizer(pairs, padding=True, return_tensors="pt")).pooler_output
            wanted = torch.tensor(([[4.0]] * len(BAKING) + [[-4.0]] * len(WHALES)) * len(QUESTIONS))
            classifier.classifier.weight.copy_(torch.linalg.lstsq(features, wanted).solution.T)
            classifier.classifier.bias.zero_()
    model.save_pretrained(str(folder))
    return folder


def _save_bert(folder: Path, *, hidden: int, head: bool, labels: int = 1) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(MINILM)), local_files_only=True)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        num_labels=labels,
        initializer_range=0.3,
    )
    model = BertForSequenceClassification(config) if head else BertModel(config)
    model.eval().save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
