"""The embedder: a contract that the fake one keeps too, and golden numbers of the built-in model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from corpus.embedding import Embedder, SentenceTransformerEmbedder
from corpus.errors import ModelMissing, StartupError
from corpus.settings import IndexSettings
from corpus.stamp import make_stamp
from corpus.weights import MINILM, MINILM_SHA256, model_folder

TEXTS = [
    "A cat sits outside.",
    "",
    "?!... --",
    "The quick brown fox jumps over the lazy dog, " * 3,
    "中文 und Deutsch 🙂",
    "x",
    "word " * 1000,
]


@pytest.fixture(params=["fake", "real"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    found: Embedder = request.getfixturevalue(f"{request.param}_embedder")
    return found


# The contract


def test_vectors_have_the_stamps_dimension_and_unit_length(embedder: Embedder) -> None:
    for embedding in [embedder.embed_query(TEXTS[0]), *embedder.embed_passages(TEXTS)]:
        assert embedding.vector.shape == (embedder.stamp.dimension,)
        assert embedding.vector.dtype == np.float32
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)


def test_token_vectors_have_unit_length_and_leave_special_and_punctuation_tokens_out(embedder: Embedder) -> None:
    one, empty, punctuation, *_ = embedder.embed_passages(TEXTS)
    assert one.tokens.shape == (4, embedder.stamp.dimension)  # a cat sits outside
    assert empty.tokens.shape == punctuation.tokens.shape == (0, embedder.stamp.dimension)
    for embedding in embedder.embed_passages(TEXTS):
        assert embedding.tokens.dtype == np.float32
        assert np.linalg.norm(embedding.tokens, axis=1) == pytest.approx(np.ones(len(embedding.tokens)), abs=1e-5)


def test_a_text_embeds_alike_whatever_is_beside_it(embedder: Embedder) -> None:
    together = embedder.embed_passages(TEXTS)
    for text, embedding in zip(TEXTS, together, strict=True):
        [alone] = embedder.embed_passages([text])
        assert alone.vector == pytest.approx(embedding.vector, abs=1e-4)
        assert alone.tokens == pytest.approx(embedding.tokens, abs=1e-3)
    backwards = embedder.embed_passages(TEXTS[::-1])[::-1]
    assert np.stack([e.vector for e in backwards]) == pytest.approx(np.stack([e.vector for e in together]), abs=1e-4)


def test_queries_embed_together_as_they_do_alone(embedder: Embedder) -> None:
    assert embedder.embed_queries([]) == []
    for text, embedding in zip(TEXTS, embedder.embed_queries(TEXTS), strict=True):
        alone = embedder.embed_query(text)
        assert alone.vector == pytest.approx(embedding.vector, abs=1e-4)
        assert alone.tokens == pytest.approx(embedding.tokens, abs=1e-3)


def test_sentences_are_passages_without_their_tokens(embedder: Embedder) -> None:
    vectors = embedder.embed_sentences(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.stamp.dimension)
    assert vectors == pytest.approx(np.stack([e.vector for e in embedder.embed_passages(TEXTS)]), abs=1e-5)


def test_nothing_in_nothing_out(embedder: Embedder) -> None:
    assert embedder.embed_passages([]) == []
    assert embedder.embed_sentences([]).shape == (0, embedder.stamp.dimension)


def test_what_is_alike_is_nearer_than_what_is_not(embedder: Embedder) -> None:
    question = embedder.embed_query("Where does the cat sit?").vector
    near, far = embedder.embed_sentences(["The cat and the dog sit outside.", "Interest rates were raised again."]) @ question
    assert near > far + 0.2


@pytest.mark.parametrize("before", ["", "Title > What's new?\n", "标题\n"])
def test_token_vectors_stand_where_it_says(embedder: Embedder, before: str) -> None:
    texts = [text for text in TEXTS if len(text) < 1000]
    [leading] = embedder.embed_passages([before])
    for text, embedding in zip(texts, embedder.embed_passages([before + text for text in texts]), strict=True):
        spans = embedder.token_spans(text)
        assert len(leading.tokens) + len(spans) == len(embedding.tokens)
        assert all(any(character.isalnum() for character in text[start:end]) for start, end in spans)
        assert spans == sorted(spans)


def test_texts_beyond_the_models_limit_are_cut(embedder: Embedder) -> None:
    limit = embedder.stamp.max_tokens
    long, longer = embedder.embed_passages(["word " * (limit + 50), "word " * (limit + 50) + "zebra " * 50])
    assert longer.vector == pytest.approx(long.vector, abs=1e-4)
    assert len(longer.tokens) == limit - embedder.tokenizer.special_tokens


def test_threads_do_not_disturb_each_other(embedder: Embedder) -> None:
    expected = [embedder.embed_query(text).vector for text in TEXTS]
    wrong: list[str] = []

    def embed(offset: int) -> None:
        for i in range(len(TEXTS)):
            at = (i + offset) % len(TEXTS)
            if not np.allclose(embedder.embed_query(TEXTS[at]).vector, expected[at], atol=1e-4):
                wrong.append(TEXTS[at])

    threads = [threading.Thread(target=embed, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_offsets_cover_the_text_without_truncation(embedder: Embedder) -> None:
    text = "A cat sits; outside, 🙂 naïvely. " * 60
    for _ in range(2):
        offsets = embedder.tokenizer.offsets(text)
        assert len(offsets) > embedder.tokenizer.max_tokens
        assert all(0 <= start < end <= len(text) for start, end in offsets)
        assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
        covered = {i for start, end in offsets for i in range(start, end)}
        assert all(char.isspace() or i in covered for i, char in enumerate(text))
        embedder.embed_query("An embedding sets the model's own tokenizer to truncate.")
    assert embedder.tokenizer.offsets("") == []
    assert embedder.tokenizer.max_tokens == embedder.stamp.max_tokens
    assert embedder.tokenizer.special_tokens == 2


def test_the_stamp_is_plain_data(embedder: Embedder) -> None:
    stamp = embedder.stamp.as_dict()
    assert all(isinstance(value, str | int | bool) for value in stamp.values())
    assert make_stamp(embedder.stamp, IndexSettings())["embedder"] == stamp


# The built-in model

GOLDEN = [
    ("The cat sits outside.", "A kitten is sitting outdoors.", 0.7929),
    ("How do I cancel a task?", "Call Task.cancel() to request cancellation.", 0.8705),
    ("The new movie is awesome.", "Interest rates were raised again.", 0.1186),
]


@pytest.mark.parametrize(("first", "second", "cosine"), GOLDEN)
def test_cosines_of_the_built_in_model(
    real_embedder: SentenceTransformerEmbedder, first: str, second: str, cosine: float
) -> None:
    a, b = real_embedder.embed_sentences([first, second])
    assert float(a @ b) == pytest.approx(cosine, abs=1e-3)


def test_vectors_are_those_of_sentence_transformers(real_embedder: SentenceTransformerEmbedder) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(model_folder(MINILM)), device="cpu", local_files_only=True)
    expected = reference.encode(TEXTS, normalize_embeddings=True)
    assert real_embedder.embed_sentences(TEXTS) == pytest.approx(expected, abs=1e-4)


def test_the_stamp_of_the_built_in_model(real_embedder: SentenceTransformerEmbedder) -> None:
    stamp = real_embedder.stamp
    assert (stamp.name, stamp.revision, stamp.dimension, stamp.max_tokens) == (MINILM, MINILM_SHA256, 384, 256)
    assert (stamp.normalised, stamp.query_prompt, stamp.passage_prompt) == (True, "", "")


def test_subwords_are_counted_as_the_model_counts_them(real_embedder: SentenceTransformerEmbedder) -> None:
    text = "unbelievably tokenised"
    pieces = [text[start:end] for start, end in real_embedder.tokenizer.offsets(text)]
    assert "".join(pieces) == text.replace(" ", "")
    assert len(pieces) > 2


# Loading


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(StartupError, match="no CUDA device"):
        SentenceTransformerEmbedder.load(name=MINILM, device="cuda")


@pytest.mark.parametrize("name", ["no-such-folder", "sentence-transformers/all-mpnet-base-v2"])
def test_a_model_that_is_no_folder_is_refused_and_never_downloaded(name: str) -> None:
    with pytest.raises(ModelMissing, match="footnote models pull"):
        model_folder(name)


@pytest.mark.parametrize("evil", ["modeling.py", "pytorch_model.bin", "deep/weights.pkl", "model.pt"])
def test_a_model_folder_that_can_run_code_is_refused(tmp_path: Path, evil: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / evil).parent.mkdir(exist_ok=True)
    (tmp_path / evil).write_bytes(b"")
    with pytest.raises(ModelMissing, match="can run code"):
        model_folder(str(tmp_path))


def test_a_model_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"no \.safetensors"):
        model_folder(str(tmp_path))


def test_weights_that_are_not_the_promised_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"tampered with")
    monkeypatch.setattr("corpus.embedding.model_folder", lambda _, **__: tmp_path)
    with pytest.raises(ModelMissing, match="not the expected ones"):
        SentenceTransformerEmbedder.load(name=MINILM, device="cpu")
