"""A cross-encoder as the reranker: a real one, made small (``tests/tiny_models.py``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cross_encoder import CrossEncoderReranker, in_context
from corpus.errors import ModelMissing
from corpus.search import SearchQuery
from tests.shelf import Shelf, urls
from tests.tiny_models import BAKING, WHALES, make_cross_encoder

QUESTION = "Where do whales sing in the deep ocean?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("models") / "cross-encoder")


def load(folder: Path, *, weight: float = 1.0, batch_size: int = 3) -> CrossEncoderReranker:
    return CrossEncoderReranker.load(
        name=str(folder), models_dir=folder.parent, device="cpu", dtype="auto", weight=weight, batch_size=batch_size
    )


async def fill(shelf: Shelf) -> None:
    for number, text in enumerate((*BAKING, *WHALES)):
        await shelf.put(f"https://a.example/{number}", text, title="Notes")


async def test_the_scores_are_the_models_own_and_decide_the_order(shelf: Shelf, folder: Path) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery(QUESTION, shelf.collection, limit=8))
    reranked = await load(folder).rerank(found, limit=8)
    assert urls(found.hits)[0] == "https://a.example/4"  # the first stage is not fooled
    assert set(urls(reranked.hits)[:4]) == {f"https://a.example/{number}" for number in range(4)}  # this model loves baking

    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    reference = CrossEncoder(str(folder), device="cpu", activation_fn=Identity())
    expected = reference.predict([(QUESTION, in_context(hit.chunk)) for hit in reranked.hits], show_progress_bar=False)
    assert [hit.stages["rerank"].score for hit in reranked.hits] == pytest.approx(list(map(float, expected)), abs=1e-3)
    assert [hit.stages["rerank"].rank for hit in reranked.hits] == list(range(1, 9))
    assert {"dense", "fusion", "rerank"} <= set(reranked.hits[0].stages)
    assert reranked.timings_ms["rerank"] > 0


async def test_the_first_stage_counts_as_much_as_is_set(shelf: Shelf, folder: Path) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery(QUESTION, shelf.collection, limit=8))
    assert urls((await load(folder, weight=0.0).rerank(found, limit=3)).hits) == urls(found.hits)[:3]


async def test_texts_beyond_the_models_limit_are_cut(shelf: Shelf, folder: Path) -> None:
    await shelf.put("https://a.example/", "whale " * 150)
    found = await shelf.searcher.search(SearchQuery("whale " * 2000, shelf.collection))
    assert len((await load(folder).rerank(found, limit=5)).hits) == 1


async def test_nothing_found_stays_nothing(shelf: Shelf, folder: Path) -> None:
    found = await shelf.searcher.search(SearchQuery("anything", shelf.collection))
    assert (await load(folder).rerank(found, limit=5)).hits == []


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="classifier of 3 classes"):
        load(make_cross_encoder(tmp_path / "classifier", labels=3))


def test_what_can_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelMissing, match="can run code"):
        load(tmp_path)


def test_a_name_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"search\.reranker is 'owner/model'.*footnote models pull owner/model"):
        load(Path("owner/model"))
