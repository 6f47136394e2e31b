"""The multilingual embedder: unpacked once from its package, then as any other, with abstentions that are its own."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from app.answering import Answer, Answerer, AnswerState
from app.citations import CitationChecker
from app.confidence import MINILM_CALIBRATION
from app.evidence import EvidenceFinder
from corpus.embedding import SentenceTransformerEmbedder
from corpus.errors import ModelMissing, StorageFull
from corpus.search import SearchQuery
from corpus.settings import Settings
from corpus.weights import E5, model_folder
from tests.shelf import open_shelf

GOLDEN = [0.828, 0.8315, 0.6935]


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def e5(models_dir: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder.load(name=E5, models_dir=models_dir, device="cpu")


def test_the_stamp(e5: SentenceTransformerEmbedder) -> None:
    stamp = e5.stamp
    assert (stamp.name, stamp.dimension, stamp.max_tokens, stamp.normalised) == (E5, 384, 512, True)
    assert (stamp.query_prompt, stamp.passage_prompt) == ("query: ", "passage: ")


def test_golden_numbers_across_languages(e5: SentenceTransformerEmbedder) -> None:
    question = e5.embed_query("Wie lange muss Sauerteig ruhen?").vector
    texts = ["Sourdough rests for twelve hours.", "酸面团要静置十二个小时。", "Blue whales sing in the deep ocean."]
    cosines = [float(question @ embedding.vector) for embedding in e5.embed_passages(texts)]
    assert cosines == pytest.approx(GOLDEN, abs=2e-3)
    assert min(cosines[:2]) > cosines[2] + 0.05


def test_texts_have_as_many_tokens_as_in_the_packages_own_engine(e5: SentenceTransformerEmbedder) -> None:
    """Its counts, noted once: another normaliser or vocabulary would give others."""
    texts = ["how much protein per day", "Straße", "中文文本处理，可以吗？", "ﬁne ½ cup　full", "a\tb\nc\u200bd x²"]
    tokens = [len(e5.tokenizer.offsets(f"passage: {text}")) + 2 for text in texts]
    assert tokens == [9, 5, 12, 8, 10]


@pytest.mark.parametrize("before", ["", "Titel > Was ist neu?\n", "标题\n"])
def test_token_vectors_stand_where_it_says(e5: SentenceTransformerEmbedder, before: str) -> None:
    for text in ("Der Turm, 330 m hoch, steht.", "中文文本处理，可以吗？", "ﬁne ½ cup　full", "a\tb\nc\u200bd x² — , 🙂"):
        [leading, embedding] = e5.embed_passages([before, before + text])
        spans = e5.token_spans(text)
        assert len(leading.tokens) + len(spans) == len(embedding.tokens)
        assert spans == sorted(spans)


def test_it_is_unpacked_once(models_dir: Path, e5: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (models_dir / E5 / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("corpus.e5_weights._Packed", lambda data: pytest.fail("unpacked again"))
    assert model_folder(E5, models_dir=models_dir) == models_dir / E5
    assert (models_dir / E5 / "model.safetensors").stat().st_mtime_ns == before
    assert not list(models_dir.glob("*.partial"))


def test_other_weights_than_promised_and_a_full_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("corpus.e5_weights.UNPACKED_BYTES", 1 << 60)
        with pytest.raises(StorageFull):
            model_folder(E5, models_dir=tmp_path)
    monkeypatch.setattr("corpus.e5_weights.PACKED_SHA256", "0" * 64)
    with pytest.raises(ModelMissing, match="not the expected ones"):
        model_folder(E5, models_dir=tmp_path)
    assert not (tmp_path / E5).exists()


def test_without_its_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"pip install 'footnote-rag\[multilingual\]'"):
        model_folder(E5, models_dir=tmp_path)


def test_numbers_are_finite_for_anything(e5: SentenceTransformerEmbedder) -> None:
    for embedding in e5.embed_passages(["", "🙂", "word " * 2000, "\x00\x01", "¿?"]):
        assert np.isfinite(embedding.vector).all()
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("fact", "answered", "unanswered"),
    [
        (
            "Der Turm in der Stadt ist 330 Meter hoch.",
            "Wie hoch ist der Turm in der Stadt?",
            "Welche Zinsen verlangt die Bank für einen Kredit?",
        ),
        ("这座城市的塔高三百三十米。", "这座城市的塔有多高？", "银行贷款的利率是多少？"),
    ],
)
async def test_what_the_pages_do_not_answer_is_refused(
    tmp_path: Path, e5: SentenceTransformerEmbedder, fact: str, answered: str, unanswered: str
) -> None:
    """By the built-in embedder's curve nothing would be: all scores of this one lie above its middle."""
    settings = Settings(data_dir=tmp_path, llm={"engine": "none"}, index={"embedder": E5})
    async with open_shelf(settings, e5) as shelf:
        await shelf.put("https://a.example/", fact)
        answerer = Answerer(
            searcher=shelf.searcher,
            reranker=None,
            evidence=EvidenceFinder(embedder=e5, tokens=shelf.corpus.index.tokens),
            checker=CitationChecker(pages=shelf.pages),
            model=None,
            search=settings.search,
            answer=settings.answer,
            llm=settings.llm,
        )
        states = []
        for question in (answered, unanswered):
            async with aclosing(answerer.ask(SearchQuery(question, shelf.collection))) as events:
                answer = [event async for event in events][-1]
            assert isinstance(answer, Answer)
            assert MINILM_CALIBRATION.confidence(answer.evidence_score) > settings.answer.abstain_below
            states.append(answer.state)
    assert states == [AnswerState.QUOTED, AnswerState.ABSTAINED]
