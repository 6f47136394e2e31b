"""``footnote eval retrieval`` over real indexes; only the embedder is the bag of words of ``tests/fakes.py``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from corpus.errors import InvalidInput
from corpus.model import SearchMode
from corpus.search import SearchQuery
from corpus.settings import DatabaseSettings, Settings
from footnote.cli import app
from footnote.evaluation.configurations import CONFIGURATIONS
from footnote.evaluation.dataset import Dataset, pooled, read_dataset
from footnote.evaluation.engines import IndexEngine
from footnote.evaluation.index import FilledIndex, index_folder, open_filled_index
from footnote.evaluation.progress import Progress
from footnote.evaluation.retrieval import Plan, evaluate_datasets
from tests.fakes import FakeEmbedder
from tests.small_sets import ENGLISH, GERMAN, GERMAN_QUESTIONS, write_set

ALL = [one.name for one in CONFIGURATIONS if one.name != "cross-encoder"]
PLAN = Plan(resamples=200)


@pytest.fixture(autouse=True)
def _bag_of_words(fake_embedder: FakeEmbedder) -> Iterator[None]:
    with patch("corpus.opening.load_embedder", return_value=fake_embedder):
        yield


@pytest.fixture
def harbour(tmp_path: Path) -> Dataset:
    return read_dataset(write_set(tmp_path / "harbour"))


async def evaluate(*datasets: Dataset, settings: Settings, keep: Path | None = None, plan: Plan = PLAN) -> dict[str, Any]:
    return await evaluate_datasets(datasets, plan=plan, settings=settings, keep=keep, progress=Progress())


async def test_every_configuration_is_measured_on_the_real_search(harbour: Dataset, settings: Settings) -> None:
    body = await evaluate(harbour, settings=settings)
    [one] = body["sets"]
    assert [configuration["name"] for configuration in one["configurations"]] == ALL
    assert body["default"] == "maxsim"
    assert body["left_out"] == {"cross-encoder": "there is none (search.reranker)"}
    assert (one["queries"], one["queries_without_relevant_documents"]) == (5, 1)
    assert one["index"]["unread"] == {"empty": "It has neither title nor text."}
    assert one["index"]["pages"] == len(ENGLISH) - 1
    for configuration in one["configurations"]:
        measures = configuration["measures"]
        assert measures["recall@100"]["mean"] == 1.0, configuration["name"]
        assert measures["ndcg@10"]["mean"] > 0.9, configuration["name"]
        assert measures["ndcg@10"]["low"] <= measures["ndcg@10"]["mean"] <= measures["ndcg@10"]["high"]
        assert 0 < configuration["ms"]["p50"] <= configuration["ms"]["p95"]
    stages = {configuration["name"]: set(configuration["stages_ms"]) for configuration in one["configurations"]}
    assert {"lexical"} <= stages["bm25"]
    assert "dense" not in stages["bm25"]
    assert {"embed", "dense", "lexical", "fusion", "lookup", "rerank"} <= stages["maxsim"]
    assert "rerank" not in stages["convex"]
    assert len(one["differences"]) == len(ALL) * (len(ALL) - 1) / 2
    third = one["by_query"][2]
    assert third["relevant"] == {"gulls": 2, "market": 1}
    assert {"gulls", "market"} <= set(third["found"]["bm25"]["ranking"])
    assert one["texts"]["bell"]["title"] == "The harbour bell"
    json.dumps(body)


async def test_the_same_seed_gives_the_same_figures(harbour: Dataset, settings: Settings, tmp_path: Path) -> None:
    first, second = [await evaluate(harbour, settings=settings, keep=tmp_path / "kept") for _ in range(2)]

    def figures(body: dict[str, Any]) -> Any:
        one = body["sets"][0]
        return one["differences"], [(each["name"], each["measures"]) for each in one["configurations"]], one["by_query"]

    assert figures(first) == figures(second)


async def test_a_kept_index_is_not_made_again(harbour: Dataset, settings: Settings, tmp_path: Path) -> None:
    plan = Plan(configurations=["bm25"], resamples=10)
    first = await evaluate(harbour, settings=settings, keep=tmp_path / "kept", plan=plan)
    second = await evaluate(harbour, settings=settings, keep=tmp_path / "kept", plan=plan)
    chunks = first["sets"][0]["index"]["chunks"]
    assert first["sets"][0]["index"]["embedded_chunks"] == chunks > 0
    assert second["sets"][0]["index"]["embedded_chunks"] == 0
    assert second["sets"][0]["index"]["chunks"] == chunks
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert not settings.data_dir.joinpath("footnote.sqlite").exists(), "the user's own data directory was touched"


async def test_ones_own_database_is_left_alone_and_ones_own_models_are_used(
    harbour: Dataset, settings: Settings, tmp_path: Path
) -> None:
    nowhere = settings.model_copy(update={"database": DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))})
    (settings.data_dir / "models" / "owner--model").mkdir(parents=True)
    folder = tmp_path / "kept"
    for _ in range(2):
        async with open_filled_index(harbour, settings=nowhere, folder=folder, progress=Progress()) as index:
            assert index.corpus.directory.models.joinpath("owner--model").is_dir()
            assert index.filling.pages == len(ENGLISH) - 1


def test_other_documents_get_another_index(tmp_path: Path) -> None:
    one = read_dataset(write_set(tmp_path / "one" / "harbour"))
    changed = ENGLISH | {"bell": ("The harbour bell", "It was sold.")}
    other = read_dataset(write_set(tmp_path / "other" / "harbour", changed))
    assert index_folder(one, tmp_path) != index_folder(other, tmp_path)
    assert index_folder(one, tmp_path) == index_folder(one.limited(1), tmp_path)


async def test_an_interrupted_run_goes_on_where_it_was(
    harbour: Dataset, settings: Settings, tmp_path: Path, fake_embedder: FakeEmbedder
) -> None:
    embedded: list[str] = []
    embed = fake_embedder.embed_passages

    async def fill(stop_after: int | None) -> int:
        """Cancels itself, as Ctrl-C does, when so many texts were embedded; gives how many chunks were still lacking."""

        def counting(texts: Any) -> Any:
            embedded.extend(texts)
            if stop_after is not None and len(embedded) >= stop_after:
                loop.call_soon_threadsafe(task.cancel)
            return embed(texts)

        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(opened())
        with patch.object(fake_embedder, "embed_passages", counting), patch("footnote.evaluation.index.COMMIT_CHUNKS", 1):
            with suppress(asyncio.CancelledError):
                return await task
            return -1

    async def opened() -> int:
        async with open_filled_index(harbour, settings=settings, folder=tmp_path / "kept", progress=Progress()) as index:
            assert set(index.corpus.index.counts().values()) == {index.filling.chunks}
            return index.filling.embedded_chunks

    assert await fill(stop_after=3) == -1
    before = len(embedded)
    lacking = await fill(stop_after=None)
    assert before == 3
    assert len(embedded) - before == lacking
    assert lacking in (len(ENGLISH) - 1 - 2, len(ENGLISH) - 1 - 3)  # what was committed isn't embedded again


async def test_the_default_is_what_the_service_gives(harbour: Dataset, settings: Settings, tmp_path: Path) -> None:
    """As ``app/routes/search.py`` does it: the head of the ranking must be its answer, to the letter."""

    async def as_the_service(index: FilledIndex, text: str) -> list[str]:
        wanted = max(10, settings.search.rerank_candidates)
        found = await index.searcher.search(SearchQuery(text=text, collection_id=index.collection_id, limit=wanted))
        return [hit.chunk.id for hit in (await index.rerankers["maxsim"].rerank(found, limit=10)).hits]

    async with open_filled_index(harbour, settings=settings, folder=tmp_path / "kept", progress=Progress()) as index:
        engine = IndexEngine(index, documents=harbour.documents, settings=settings.search)
        for query in harbour.queries:
            ranked = await engine.search(query.text, mode=SearchMode.HYBRID, limit=30, reranker="maxsim")
            assert [hit.chunk for hit in ranked.hits][:10] == await as_the_service(index, query.text)


async def test_pooled_languages_are_judged_within_and_across(settings: Settings, tmp_path: Path) -> None:
    english = read_dataset(write_set(tmp_path / "en"))
    german = read_dataset(write_set(tmp_path / "de", GERMAN, GERMAN_QUESTIONS))
    body = await evaluate(pooled([english, german]), settings=settings, plan=Plan(configurations=["bm25"], resamples=10))
    within, across = body["sets"]
    assert (within["name"], across["name"]) == ("en+de: same language", "en+de: other languages")
    assert within["queries"] == across["queries"] == 7
    assert within["configurations"][0]["measures"]["ndcg@10"]["mean"] > 0.9
    question = next(one for one in across["by_query"] if one["id"] == "de/q1")
    assert question["relevant"] == {"en/bell": 2}
    assert not any(document.startswith("de/") for document in question["found"]["bm25"]["ranking"])


async def test_configurations_that_can_not_be_run(harbour: Dataset, settings: Settings) -> None:
    with pytest.raises(InvalidInput, match=r"There is no configuration 'best'\. There are: rank-bm25, bm25"):
        await evaluate(harbour, settings=settings, plan=Plan(configurations=["best"]))
    with pytest.raises(InvalidInput, match=r"'cross-encoder' can't be run: there is none"):
        await evaluate(harbour, settings=settings, plan=Plan(configurations=["cross-encoder"]))
    with patch("footnote.evaluation.engines.is_installed", return_value=False):
        body = await evaluate(harbour, settings=settings)
        assert "not installed" in body["left_out"]["rank-bm25"]
        assert [configuration["name"] for configuration in body["sets"][0]["configurations"]] == ALL[1:]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", "retrieval", *arguments])


def test_the_command_writes_table_json_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path / "mine"))
    folder = write_set(tmp_path / "harbour")
    json_file, html_file = tmp_path / "found.json", tmp_path / "found.html"
    files = ("--json", str(json_file), "--html", str(html_file), "--publish")
    done = run(str(folder), "--limit-queries", "3", "--configurations", "bm25,maxsim", *files)
    assert done.exit_code == 0, done.output
    assert "harbour: 3 questions, 8 documents" in done.stdout
    assert "nDCG@10\t95%\tbeside maxsim" in done.stdout
    body = json.loads(json_file.read_text())
    assert [one["name"] for one in body["sets"][0]["configurations"]] == ["bm25", "maxsim"]
    assert body["settings"]["search"]["rerank_candidates"] == 50
    assert body["sets"][0]["index"]["stamp"]["embedder"]["name"] == "bag-of-words"
    assert html_file.read_text().startswith("<!doctype html>")
    [published] = (tmp_path / "mine" / "evaluations").iterdir()
    assert json.loads(published.read_text()) == body
    assert published.name in done.stderr.replace("\n", "")
    assert not (tmp_path / "mine" / "footnote.sqlite").exists()


def test_a_limit_counts_for_each_pooled_set(tmp_path: Path) -> None:
    folders = [str(write_set(tmp_path / "en")), str(write_set(tmp_path / "de", GERMAN, GERMAN_QUESTIONS))]
    done = run(*folders, "--pool", "--limit-queries", "1", "--configurations", "bm25", "--json", "-")
    assert done.exit_code == 0, done.output
    assert [one["id"] for one in json.loads(done.stdout)["sets"][1]["by_query"]] == ["en/q1", "de/q1"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give test sets"),
        (["SET", "--questions", "x.csv"], 2, "give test sets"),
        (["SET", "--limit-queries", "0"], 2, "limit-queries"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_made(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    folder = write_set(tmp_path / "harbour")
    done = run(*(str(folder) if one == "SET" else one for one in arguments))
    assert done.exit_code == code
    assert said in done.output


def test_files_that_can_not_be_written_are_refused_at_once(tmp_path: Path) -> None:
    folder = str(write_set(tmp_path / "harbour"))
    for target in (tmp_path, tmp_path / "nowhere" / "x.json"):
        done = run(folder, "--json", str(target), "--keep", str(tmp_path / "kept"))
        assert isinstance(done.exception, InvalidInput)
        assert "can't be written" in done.exception.message
    assert not (tmp_path / "kept").exists()
