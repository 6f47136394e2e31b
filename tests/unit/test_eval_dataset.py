"""Test sets are read to the letter, and what is wrong with one is named with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus.errors import InvalidInput
from footnote.evaluation.dataset import Dataset, Document, Judgement, Query, pooled, read_dataset
from footnote.evaluation.questions import read_questions

HEADER = "query-id\tcorpus-id\tscore\n"
CORPUS = [{"_id": "a", "title": "Apples", "text": "Red."}, {"_id": "b", "title": "", "text": "Pears are green."}]
QUERIES = [{"_id": "1", "text": "Which fruit is red?"}, {"_id": "2", "text": "Which is blue?"}]


def write(
    folder: Path, *, corpus: object = CORPUS, queries: object = QUERIES, qrels: str = HEADER + "1\ta\t2\n1\tb\t0\n"
) -> Path:
    """A set in BEIR's layout; lists are written as JSON Lines, strings as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", qrels)):
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)  # type: ignore[attr-defined]
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder


def test_a_set_is_read_as_it_stands(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path / "fruit"))
    assert dataset.name == "fruit"
    assert dataset.documents == [Document("a", "Apples", "Red."), Document("b", "", "Pears are green.")]
    assert dataset.judgements[0].qrels == {"1": {"a": 2, "b": 0}}
    assert [query.id for query in dataset.answerable()] == ["1"]
    assert set(dataset.files) == {"corpus.jsonl", "queries.jsonl", "qrels.tsv"}
    assert all(len(digest) == 64 for digest in dataset.files.values())


def test_byte_order_mark_windows_line_ends_and_missing_header(tmp_path: Path) -> None:
    corpus = "\ufeff" + "".join(json.dumps(row) + "\r\n\r\n" for row in CORPUS)
    dataset = read_dataset(write(tmp_path, corpus=corpus, qrels="1\ta\t1\r\n"))
    assert [one.id for one in dataset.documents] == ["a", "b"]
    assert dataset.judgements[0].qrels == {"1": {"a": 1}}


def test_another_split_has_files_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "fruit")
    (tmp_path / "fruit/queries-train.jsonl").write_text('{"_id": "t", "text": "Green?"}\n')
    (tmp_path / "fruit/qrels-train.tsv").write_text(HEADER + "t\tb\t1\n")
    dataset = read_dataset(tmp_path / "fruit", split="train")
    assert [query.id for query in dataset.queries] == ["t"]
    assert dataset.label(dataset.judgements[0]) == "fruit (train)"
    with pytest.raises(InvalidInput, match=r"no relevance judgements for the split 'dev': one of .*qrels-dev\.tsv"):
        read_dataset(tmp_path / "fruit", split="dev")


def test_the_layout_that_beir_ships(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels/test.tsv")
    assert read_dataset(folder).judgements[0].grades("1")["a"] == 2


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"corpus": '{"_id": "a", "text": "x"}\n{"_id": "b"'}, r"corpus\.jsonl, line 2: this is no JSON"),
        ({"corpus": "[1]\n"}, r"corpus\.jsonl, line 1: .*no object"),
        ({"corpus": '{"_id": 7, "text": "x"}\n'}, r"corpus\.jsonl, line 1: '_id' must be a string, and is 7"),
        ({"corpus": '{"text": "x"}\n'}, r"line 1: '_id' is missing"),
        ({"corpus": '{"_id": " ", "text": "x"}\n'}, r"line 1: '_id' is empty"),
        ({"corpus": [*CORPUS, CORPUS[0]]}, r"corpus\.jsonl, line 3: the _id 'a' was there before"),
        ({"corpus": '{"_id": "a", "text": "\\ud800"}\n'}, r"line 1: 'text' holds a character that is no text"),
        ({"corpus": '{"_id": "a", "text": "x\\u0000"}\n'}, r"line 1: 'text' holds a character that is no text"),
        ({"corpus": '{"_id": "a", "text": "\udcff"}\n'}, r"corpus\.jsonl, line 1: this is not UTF-8"),
        ({"corpus": "[" * 100_000}, r"corpus\.jsonl, line 1: this is no JSON"),
        ({"corpus": ""}, r"corpus\.jsonl holds no documents"),
        ({"queries": '{"_id": "1", "text": ["no"]}\n'}, r"queries\.jsonl, line 1: 'text' must be a string"),
        ({"queries": [*QUERIES, QUERIES[1]]}, r"queries\.jsonl, line 3: the _id '2' was there before"),
        ({"queries": '{"_id": "1", "text": "  "}\n'}, r"line 1: the query '1' has no text"),
        ({"queries": "\n"}, r"queries\.jsonl holds no queries"),
        ({"qrels": HEADER + "1\ta\n"}, r"qrels\.tsv, line 2: three fields .* there are 2"),
        ({"qrels": HEADER + "1 a 1\n"}, r"qrels\.tsv, line 2: three fields"),
        ({"qrels": HEADER + "1\ta\t.5\n"}, r"qrels\.tsv, line 2: the score must be a whole number, and is '\.5'"),
        ({"qrels": HEADER + "9\ta\t1\n"}, r"qrels\.tsv, line 2: there is no query '9'"),
        ({"qrels": HEADER + "1\tz\t1\n"}, r"qrels\.tsv, line 2: there is no document 'z'"),
        ({"qrels": HEADER + "1\ta\t1\n1\ta\t2\n"}, r"qrels\.tsv, line 3: .* were judged otherwise before"),
        ({"qrels": HEADER + "1\ta\t0\n"}, r"names no relevant document for any query"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, files: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_dataset(write(tmp_path / "set", **files))  # type: ignore[arg-type]


def test_a_folder_or_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no folder .*nowhere"):
        read_dataset(tmp_path / "nowhere")
    (write(tmp_path) / "corpus.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"There is no file .*corpus\.jsonl"):
        read_dataset(tmp_path)


def test_only_the_first_answerable_queries(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path, qrels=HEADER + "2\tb\t1\n"))
    assert [query.id for query in dataset.limited(1).queries] == ["2"]
    assert dataset.limited(None) is dataset


def one_language(name: str, *documents: str) -> Dataset:
    return Dataset(
        name,
        [Document(one, "", f"{name} {one}") for one in documents],
        [Query("1", "?")],
        [Judgement("", {"1": {documents[0]: 2}})],
    )


def test_parallel_sets_are_judged_within_and_across_languages() -> None:
    pool = pooled([one_language("en", "p0", "p1"), one_language("de", "p0", "p1"), one_language("zh", "p0", "p1")])
    assert len(pool.documents) == 6
    within, across = pool.judgements
    assert within.grades("de/1") == {"de/p0": 2}
    assert across.grades("de/1") == {"en/p0": 2, "zh/p0": 2}
    assert across.counted("de/1", ["de/p0", "en/p0", "zh/p1", "de/p1"]) == ["en/p0", "zh/p1"]
    assert within.counted("de/1", ["de/p0", "en/p0"]) == ["de/p0", "en/p0"]


def test_sets_without_the_same_documents_are_judged_once() -> None:
    pool = pooled([one_language("en", "p0"), one_language("news", "n0")])
    assert [judgement.name for judgement in pool.judgements] == [""]
    with pytest.raises(InvalidInput, match="told apart by their names"):
        pooled([one_language("en", "p0"), one_language("en", "p0")])


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_questions_of_ones_own(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "\ufeffTopic,Question,expected_url\r\n"
        'x,"What, then?",https://a.example/1#part; https://a.example/2\r\n'
        "x,Why?,http://b.example/\r\n"
        '"","What, then?",https://a.example/3\r\n',
    )
    dataset = read_questions(path)
    assert [query.text for query in dataset.queries] == ["What, then?", "Why?"]
    assert list(dataset.judgements[0].grades("q1")) == ["https://a.example/1", "https://a.example/2", "https://a.example/3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question;expected_url\nWhy?;https://a.example/\n", r"line 1: it must name the columns"),
        ("question,question,expected_url\n", r"line 1: it must name"),
        ("", r"line 1: it must name"),
        ("question,expected_url\n", r"holds no questions"),
        ("question,expected_url\n,https://a.example/\n", r"line 2: the column question is empty"),
        ("question,expected_url\nWhy?\n", r"line 2: the column expected_url is empty"),
        ("question,expected_url\nWhy?, ;\n", r"line 2: the column expected_url is empty"),
        ("question,expected_url\nWhy?,a.example/1\n", r"line 2: 'a\.example/1' is no URL"),
        ("question,expected_url\nWhy, oh why?,https://a.example/\n", r"line 2: there are more fields than columns"),
        ('question,expected_url\n"Why?,https://a.example/\n', r"line 2: this is no CSV"),
    ],
)
def test_mistakes_in_a_csv_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_questions(csv_file(tmp_path, text))


def test_a_csv_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes("question,expected_url\nWofür?,https://a.example/\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"not UTF-8"):
        read_questions(path)
    with pytest.raises(InvalidInput, match=r"There is no file"):
        read_questions(tmp_path / "nowhere.csv")
