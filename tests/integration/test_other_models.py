"""Embedders other than the built-in one: what their own folder says is honoured, and what can't be is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.evidence import EvidenceFinder
from corpus.embedding import SentenceTransformerEmbedder
from corpus.errors import ModelMissing
from corpus.search import SearchQuery
from corpus.settings import IndexSettings, Settings
from corpus.weights import model_folder, pulled_folder
from tests.shelf import open_shelf
from tests.tiny_models import make_embedder, make_static_embedder

TEXTS = ["Sourdough bread rises slowly.", "A whale.", "word " * 300]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def prompted(models: Path) -> Path:
    return make_embedder(models / "prompted", prompts={"query": "ask: ", "passage": "read: "})


@pytest.fixture(scope="module")
def plain(models: Path) -> Path:
    return make_embedder(models / "plain")


def load(folder: Path, **options: str) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder.load(name=str(folder), device="cpu", **options)  # type: ignore[arg-type]


def reference(folder: Path, texts: Sequence[str], *, prompt: str = "") -> np.ndarray:
    """What sentence-transformers itself makes of it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return np.asarray(model.encode(texts, prompt=prompt, show_progress_bar=False))


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_models_own_prompts_lead_in_questions_and_passages(prompted: Path) -> None:
    embedder = load(prompted)
    assert (embedder.stamp.query_prompt, embedder.stamp.passage_prompt) == ("ask: ", "read: ")
    passages = np.stack([embedding.vector for embedding in embedder.embed_passages(TEXTS)])
    assert passages == pytest.approx(unit(reference(prompted, TEXTS, prompt="read: ")), abs=1e-4)
    assert embedder.embed_query(TEXTS[0]).vector == pytest.approx(
        unit(reference(prompted, TEXTS[:1], prompt="ask: "))[0], abs=1e-4
    )
    assert np.abs(passages[0] - embedder.embed_query(TEXTS[0]).vector).max() > 1e-2  # the prompts matter


def test_prompts_take_room_and_have_no_token_vectors(prompted: Path) -> None:
    embedder = load(prompted)
    short, _, long = embedder.embed_passages(TEXTS)
    assert len(short.tokens) == len(embedder.tokenizer.offsets("Sourdough bread rises slowly"))  # the full stop isn't one
    assert embedder.tokenizer.special_tokens == 4  # its two, "read" and ":"
    assert len(long.tokens) == embedder.stamp.max_tokens - embedder.tokenizer.special_tokens


def test_prompts_can_be_set_where_a_folder_names_none(plain: Path, prompted: Path) -> None:
    embedder = load(plain, query_prompt="ask: ", passage_prompt="read: ")
    assert (embedder.stamp.query_prompt, embedder.stamp.passage_prompt) == ("ask: ", "read: ")
    assert embedder.embed_query(TEXTS[0]).vector == pytest.approx(load(prompted).embed_query(TEXTS[0]).vector, abs=1e-4)
    assert load(prompted, passage_prompt="").stamp.passage_prompt == ""


def test_prompts_that_the_model_leaves_out_of_its_mean_are_left_out(models: Path) -> None:
    folder = make_embedder(models / "aside", prompts={"query": "ask: ", "document": "read: "}, include_prompt=False)
    passages = np.stack([embedding.vector for embedding in load(folder).embed_passages(TEXTS)])
    assert passages == pytest.approx(unit(reference(folder, TEXTS, prompt="read: ")), abs=1e-4)


def test_a_model_that_compares_by_dot_product_keeps_its_lengths(models: Path) -> None:
    folder = make_embedder(models / "dot", similarity_fn_name="dot", dimension=32)
    embedder = load(folder)
    assert not embedder.stamp.normalised
    assert embedder.stamp.dimension == 32
    vectors = np.stack([embedding.vector for embedding in embedder.embed_passages(TEXTS)])
    assert vectors == pytest.approx(reference(folder, TEXTS), abs=1e-3)
    assert np.linalg.norm(vectors, axis=1).min() > 1.5


def test_a_model_that_compares_by_distance_is_refused(models: Path) -> None:
    folder = make_embedder(models / "distance", similarity_fn_name="euclidean")
    with pytest.raises(ModelMissing, match="euclidean"):
        load(folder)


def test_dimensions_that_the_model_drops_are_dropped(models: Path) -> None:
    folder = make_embedder(models / "matryoshka", truncate_dim=16)
    embedder = load(folder)
    [embedding] = embedder.embed_passages(TEXTS[:1])
    assert embedder.stamp.dimension == len(embedding.vector) == 16
    assert embedding.vector == pytest.approx(unit(reference(folder, TEXTS[:1]))[0], abs=1e-4)


def test_weights_are_computed_in_what_is_asked_for(plain: Path) -> None:
    half, full = (load(plain, dtype=dtype).embed_query(TEXTS[0]).vector for dtype in ("bfloat16", "auto"))
    assert half.dtype == full.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.05


async def test_a_model_without_token_vectors_still_finds_and_weighs(models: Path, settings: Settings) -> None:
    embedder = load(make_static_embedder(models / "static"))
    assert embedder.stamp.max_tokens >= 8192
    async with open_shelf(settings, embedder) as shelf:
        await shelf.put("https://a.example/bread", "Sourdough bread rises slowly because wild yeast is patient.")
        await shelf.put("https://a.example/whales", "Blue whales sing in the deep ocean all winter.")
        found = await shelf.searcher.search(SearchQuery("Why does sourdough bread rise slowly?", shelf.collection))
        assert found.hits[0].chunk.url == "https://a.example/bread"
        assert embedder.token_spans(found.text) == []
        sentences = await EvidenceFinder(embedder=embedder, tokens=shelf.corpus.index.tokens).find(found)
        assert sentences[0].chunk.url == "https://a.example/bread"
        cosine = float(
            embedder.embed_query(found.text).vector @ embedder.embed_passages([f"Guide\n{sentences[0].text}"])[0].vector
        )
        assert sentences[0].score == pytest.approx(cosine, abs=0.2)
        assert sentences[0].score > sentences[-1].score


def test_a_chunk_size_beyond_the_models_limit_is_said(plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from corpus.opening import load_embedder

    settings = IndexSettings(embedder=str(plain), device="cpu", chunk_max_tokens=500)
    with caplog.at_level("WARNING"):
        load_embedder(settings, models_dir=tmp_path)
    assert "takes in 128 tokens" in caplog.text


# Names


def test_a_hubs_model_is_found_where_pull_put_it(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="footnote models pull some/model"):
        model_folder("some/model", models_dir=tmp_path)
    shutil.copytree(plain, pulled_folder("some/model", tmp_path))
    assert model_folder("some/model", models_dir=tmp_path) == tmp_path / "some--model"


def test_a_model_that_wants_code_of_its_own_is_refused(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(plain, folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelMissing, match="code of its own"):
        load(folder)


def test_a_folder_that_makes_no_sense_is_named(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(plain, folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelMissing, match="broken can't be loaded"):
        load(folder)
