"""BM25, embedded and on a server, against the formula that both claim, and against rank_bm25."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tantivy
from rank_bm25 import BM25Okapi

from corpus.analysis import page_terms
from corpus.bm25 import MAX_QUERY_TERMS, TantivyIndex, url_prefixes
from corpus.settings import MilvusSettings
from corpus.store import IdRange, IndexFilter, IndexRow, LexicalIndex
from corpus.store_connection import MilvusServer
from corpus.store_server import ServerCollection, ServerWords

EVERYTHING = IndexFilter(collection_id=1)
K1, B = 1.2, 0.75


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[TantivyIndex]:
    opened = TantivyIndex(path=tmp_path / "lexical")
    yield opened
    opened.close()


class WordsOfServer(ServerWords):
    """A server's rows hold a vector each, which the words of this test don't need."""

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        self._collection.upsert(rows, np.ones((len(rows), 2), dtype=np.float32))


@pytest.fixture(params=["files", "server"])
def index(request: pytest.FixtureRequest) -> Iterator[LexicalIndex]:
    if request.param == "files":
        yield request.getfixturevalue("embedded")
        return
    server = MilvusServer(request.getfixturevalue("milvus_settings"))
    yield WordsOfServer(ServerCollection(server=server, name=server.settings.collection_prefix, dimension=2))
    server.close()


def row(
    key: str, text: str, *, url: str = "https://a.example/x", language: str = "en", collection: int = 1, headings: str = ""
) -> IndexRow:
    return IndexRow(key, "page", 1, collection, url, language, headings, text)


def ids(index: LexicalIndex, text: str, where: IndexFilter = EVERYTHING, limit: int = 100) -> list[str]:
    return [candidate.id for candidate in index.search(text, where=where, limit=limit)]


def put(index: LexicalIndex, *rows: IndexRow) -> None:
    index.upsert(rows)
    index.flush()


def test_what_a_commit_that_was_killed_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """The files of a commit are written first, and count once meta.json names them."""
    path = tmp_path / "lexical"
    opened = TantivyIndex(path=path)
    put(opened, *(row(f"{number}", f"valve number{number}") for number in range(10)))
    opened.close()
    before = (path / "meta.json").read_bytes()
    opened = TantivyIndex(path=path)
    opened.delete(["3"])
    opened.flush()
    opened.close()
    (path / "meta.json").write_bytes(before)  # killed just before it was replaced
    opened = TantivyIndex(path=path)
    assert opened.count() == 10
    opened.delete(["3"])
    opened.flush()
    assert opened.count() == 9
    opened.close()


def lucene_bm25(documents: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """Robertson & Zaragoza (2009), with Lucene's idf, which is never negative."""
    average = sum(map(len, documents)) / len(documents)
    held_by = Counter(term for document in documents for term in set(document))
    scores = []
    for document in documents:
        counts = Counter(document)
        norm = K1 * (1 - B + B * len(document) / average)
        idf = {term: math.log(1 + (len(documents) - held_by[term] + 0.5) / (held_by[term] + 0.5)) for term in query}
        scores.append(sum(idf[term] * counts[term] * (K1 + 1) / (counts[term] + norm) for term in query))
    return scores


def generated_documents(count: int, rng: random.Random) -> list[str]:
    """Words by Zipf's law. Up to 39 words: tantivy keeps longer lengths only roughly (one byte for each field length)."""
    vocabulary = [f"word{i}" for i in range(400)]
    weights = [1 / (i + 1) for i in range(400)]
    return [" ".join(rng.choices(vocabulary, weights, k=rng.randint(3, 39))) for _ in range(count)]


def test_scores_are_bm25_with_lucenes_idf(index: LexicalIndex) -> None:
    texts = ["red fox jumps", "red red fox sleeps deeply tonight", "blue whale sings"]
    put(index, *(row(str(i), text) for i, text in enumerate(texts)))
    scores = {candidate.id: candidate.score for candidate in index.search("red", where=EVERYTHING, limit=10)}
    # By hand: idf = ln(1 + 1.5 / 2.5) = .47000, average length 4; tf parts 2.2 / 1.975 and 4.4 / 3.65.
    assert scores == pytest.approx({"0": 0.47000 * 2.2 / 1.975, "1": 0.47000 * 4.4 / 3.65}, rel=1e-4)


def test_words_of_headings_are_found_and_count_a_little_more(index: LexicalIndex) -> None:
    put(index, row("text", "whale song"), row("heading", "song", headings="whale"), row("neither", "song bird"))
    scores = {candidate.id: candidate.score for candidate in index.search("whale", where=EVERYTHING, limit=10)}
    assert set(scores) == {"text", "heading"}
    assert scores["text"] < scores["heading"] < 2 * scores["text"]


def test_both_engines_give_the_same_scores(embedded: TantivyIndex, milvus_settings: MilvusSettings) -> None:
    """Headings, filters, other languages and identifiers included."""
    server = MilvusServer(milvus_settings)
    served = WordsOfServer(ServerCollection(server=server, name=milvus_settings.collection_prefix, dimension=2))
    rows = [
        row("a", "The os.path.join function joins paths", headings="Joining paths"),
        row("b", "Call --max-depth to set max_depth", headings="Options"),
        row("c", "Die Häuser der Stadt und ihre Pfade", language="de", headings="Häuser"),
        row("d", "东京大学在日本。", language="zh"),
        row("e", "Paths and options, joined", url="https://a.example/y/z"),
    ]
    for index in (embedded, served):
        put(index, *rows)
    for question in ("How to join paths with os.path.join?", "--max-depth option", "Haus Stadt", "大学", "paths options houses"):
        for where in (EVERYTHING, IndexFilter(1, url_prefix="https://a.example/y/"), IndexFilter(1, language="de")):
            one, other = (
                {candidate.id: candidate.score for candidate in index.search(question, where=where, limit=10)}
                for index in (embedded, served)
            )
            assert one == pytest.approx(other, rel=1e-4), (question, where)
    server.close()


def test_ranking_agrees_with_rank_bm25_and_the_formula(index: LexicalIndex) -> None:
    rng = random.Random(7)
    texts = generated_documents(300, rng)
    put(index, *(row(f"{i:03}", text) for i, text in enumerate(texts)))
    documents = [page_terms(text, "en") for text in texts]
    oracle = BM25Okapi(documents, k1=K1, b=B)
    for _ in range(40):
        # Rare words: rank_bm25 floors the idf of those that half of the documents hold.
        query = list(dict.fromkeys(f"word{rng.randint(10, 399)}" for _ in range(rng.randint(1, 4))))
        terms = page_terms(" ".join(query), "en")
        found = {candidate.id: candidate.score for candidate in index.search(" ".join(query), where=EVERYTHING, limit=300)}
        formula = {f"{i:03}": score for i, score in enumerate(lucene_bm25(documents, terms)) if score > 0}
        assert found == pytest.approx(formula, rel=1e-3)
        if len(terms) == 1:  # idf is a common factor then, so the order must be the same whichever it is
            by_oracle = dict(zip((f"{i:03}" for i in range(300)), oracle.get_scores(terms), strict=True))
            assert rank_correlation(found, by_oracle) > 0.999
        else:
            by_oracle = dict(zip((f"{i:03}" for i in range(300)), oracle.get_scores(terms), strict=True))
            assert rank_correlation(found, by_oracle) > 0.95


def rank_correlation(found: dict[str, float], expected: dict[str, float]) -> float:
    """Share of pairs that both order alike (Kendall); pairs that either holds equal say nothing."""
    keys = sorted(found)
    pairs = [(a, b) for i, a in enumerate(keys) for b in keys[i + 1 :]]
    told_apart = [(a, b) for a, b in pairs if abs(found[a] - found[b]) > 1e-4 and abs(expected[a] - expected[b]) > 1e-4]
    agreeing = sum((found[a] > found[b]) == (expected[a] > expected[b]) for a, b in told_apart)
    return agreeing / len(told_apart) if told_apart else 1.0


@pytest.mark.parametrize(
    "query",
    [
        "AND OR NOT",
        "text:whale^2 +(a -b) {x TO y} [1 TO *]",
        '"unclosed quote',
        "whale~2 wh?le wh*le /wh.le/",
        "\\ : ! ( ) { } [ ] ^ ~ * ? /",
        "🙂 🐳 👩‍👩‍👧",
        "مرحبا بالعالم שלום",
        "\u202ewhale\u202c",
        "مِنْ -- 'a' OR `b` || c && d ;DROP TABLE tokens; --",
        "",
        "\x00\x01",
        "w" * 100_000,
    ],
)
def test_no_query_is_a_syntax_error(index: LexicalIndex, query: str) -> None:
    put(index, row("whale", "The blue whale sings."), row("fox", "The red fox jumps."))
    assert set(ids(index, query)) <= {"whale"}


def test_a_pasted_page_as_query_is_cut_to_its_first_terms(index: LexicalIndex) -> None:
    put(index, row("first", "word0"), row("late", "word9999"))
    assert ids(index, " ".join(f"word{i}" for i in range(10_000))) == ["first"]
    assert ids(index, "word0 " * MAX_QUERY_TERMS + "word9999") == ["first", "late"]  # distinct terms are what counts


def test_words_match_by_stem_case_and_accent(index: LexicalIndex) -> None:
    put(index, row("a", "Cancelling tasks at the Café"))
    assert ids(index, "cancelled TASK cafe") == ["a"]


def test_words_of_other_scripts_are_found(index: LexicalIndex) -> None:
    put(index, row("greek", "Ο πύργος είναι ψηλός"), row("arabic", "مرحبا بالعالم"))
    assert ids(index, "πύργος") == ["greek"]
    assert ids(index, "مرحبا") == ["arabic"]


def test_a_question_of_stop_words_alone_finds_them_and_others_ignore_them(index: LexicalIndex) -> None:
    put(index, row("hamlet", "To be, or not to be"), row("fox", "Red foxes jump"))
    assert ids(index, "to be or not to be") == ["hamlet"]
    assert ids(index, "Is it to be a fox?") == ["fox"]


def test_pages_are_stemmed_in_their_own_language_whatever_the_question_is_in(index: LexicalIndex) -> None:
    put(
        index, row("de", "Die Häuser der Stadt", language="de"), row("en", "Houses of the city"), row("pl", "Domy", language="pl")
    )
    assert ids(index, "Haus") == ["de"]
    assert ids(index, "house") == ["en"]
    assert ids(index, "domy") == ["pl"]
    assert ids(index, "Haus", IndexFilter(1, language="de")) == ["de"]


def test_a_language_that_hardly_any_page_is_in_does_not_shape_questions(index: LexicalIndex) -> None:
    put(index, *(row(f"{number}", "data", language="en") for number in range(120)), row("de", "Haus", language="de"))
    assert ids(index, "Häuser") == []
    put(index, *(row(f"de{number}", "Haus", language="de") for number in range(10)))
    assert len(ids(index, "Häuser")) == 11


def test_identifiers_are_found_whole_before_their_parts(index: LexicalIndex) -> None:
    put(
        index,
        row("join", "os.path.join(path, *paths) returns a path."),
        row("parts", "The path to join: os, a path, a join. Join the path. Path, join, os."),
        row("option", "Give --max-depth=2 to stop early."),
        row("words", "The max depth is the depth at most; max depth, depth."),
    )
    assert ids(index, "How does os.path.join treat a path?") == ["join", "parts"]
    assert ids(index, "--max-depth") == ["option", "words"]
    assert set(ids(index, "maximum depth")) == {"option", "words"}


def test_scripts_without_spaces_are_found_by_parts_of_a_sentence(index: LexicalIndex) -> None:
    put(index, row("zh", "东京大学在日本。", language="zh"), row("other", "北京在中国。", language="zh"))
    assert ids(index, "大学在哪里") == ["zh"]
    assert ids(index, "京") == ["other", "zh"]


def test_an_index_of_another_version_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "lexical"
    path.mkdir()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=True, tokenizer_name="footnote_en")
    old = tantivy.Index(builder.build(), path=str(path))
    old.writer().commit()
    del old
    opened = TantivyIndex(path=path)
    put(opened, row("a", "whale"))
    opened.close()
    opened = TantivyIndex(path=path)
    assert ids(opened, "whale") == ["a"]
    opened.close()


def test_filters_are_exact_and_do_not_change_scores(index: LexicalIndex) -> None:
    put(
        index,
        row("a", "whale song", url="https://a.example/docs/x", language="en"),
        row("b", "whale song", url="https://a.example/docs-old/x", language="de"),
        row("c", "whale song", url="https://b.example/docs/x", collection=2),
    )
    assert set(ids(index, "whale")) == {"a", "b"}
    assert ids(index, "whale", IndexFilter(1, url_prefix="https://a.example/docs/")) == ["a"]
    assert ids(index, "whale", IndexFilter(1, language="de")) == ["b"]
    assert ids(index, "whale", IndexFilter(2)) == ["c"]
    assert ids(index, "whale", IndexFilter(1, url_prefix="https://a.example/docs/", language="de")) == []
    plain = [hit for hit in index.search("whale", where=EVERYTHING, limit=5) if hit.id == "a"]
    filtered = index.search("whale", where=IndexFilter(1, url_prefix="https://a.example/docs/", language="en"), limit=5)
    assert filtered[0].score == pytest.approx(plain[0].score)


def test_the_same_id_again_overwrites(index: LexicalIndex) -> None:
    put(index, row("a", "whale"))
    put(index, row("a", "fox"))
    assert (ids(index, "whale"), ids(index, "fox"), index.count()) == ([], ["a"], 1)
    put(index, row("b", "first"), row("b", "second"))  # and within one batch
    assert (ids(index, "first"), ids(index, "second"), index.count()) == ([], ["b"], 2)


def test_writes_show_at_the_flush(embedded: TantivyIndex) -> None:
    embedded.upsert([row("a", "whale")])
    assert (ids(embedded, "whale"), embedded.present(["a"])) == ([], set())
    embedded.flush()
    assert (ids(embedded, "whale"), embedded.present(["a", "z"])) == (["a"], {"a"})


def test_deleted_is_not_found(index: LexicalIndex) -> None:
    put(index, row("a", "whale"), row("b", "whale"))
    index.delete(["a", "was-never-there"])
    index.flush()
    assert (ids(index, "whale"), index.present(["a", "b"]), index.count()) == (["b"], {"b"}, 1)


def test_ids_by_their_beginning(index: LexicalIndex) -> None:
    put(index, row("0a", "whale"), row("0f", "whale"), row("1a", "whale"), row("zz", "whale"))
    index.delete(["0f"])
    index.flush()
    assert index.ids(IdRange("0", "0")) == ["0a"]
    assert sorted(index.ids(IdRange())) == ["0a", "1a", "zz"]
    assert index.ids(IdRange("2", "f")) == []


def test_presence_of_thousands_of_ids(index: LexicalIndex) -> None:
    keys = [f"{i:05}" for i in range(3000)]
    put(index, *(row(key, "whale") for key in keys))
    assert index.present([*keys, "z"]) == set(keys)
    assert index.present([]) == set()


def test_it_is_there_again_after_reopening(tmp_path: Path) -> None:
    first = TantivyIndex(path=tmp_path / "lexical")
    put(first, row("a", "whale"))
    first.close()
    second = TantivyIndex(path=tmp_path / "lexical")
    assert ids(second, "whale") == ["a"]
    second.close()


def test_url_prefixes_end_at_path_segments() -> None:
    assert url_prefixes("https://a.example/docs/api/x.html?p=1") == [
        "https://a.example/",
        "https://a.example/docs/",
        "https://a.example/docs/api/",
        "https://a.example/docs/api/x.html",
        "https://a.example/docs/api/x.html?p=1",
    ]
    assert url_prefixes("https://a.example/") == ["https://a.example/"]
    assert url_prefixes("https://a.example/docs/") == ["https://a.example/", "https://a.example/docs/"]
