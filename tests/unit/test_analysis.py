"""What the lexical index makes of words."""

from __future__ import annotations

import pytest

from corpus.analysis import MAX_TERM_CHARS, page_terms, query_terms


def terms(text: str, *languages: str) -> list[tuple[str, ...]]:
    return query_terms(text, languages or ["en"], limit=64)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("os.path.join(a)", {"os", "path", "join", "os.path.join", "a"}),
        ("await asyncio.wait_for(x)", {"asyncio.wait_for", "wait_for", "wait", "asyncio"}),
        ("std::vector", {"std::vector", "std", "vector"}),
        ("--max-depth=2", {"--max-depth", "max", "depth", "2"}),
        ("use -v.", {"-v", "v"}),
        ("CVE-2024-3094 leaks", {"cve-2024-3094", "cve", "2024", "3094"}),
        ("ORA\u201100942", {"ora-00942", "ora", "00942"}),
        ("| ?? | a <=> b", {"??", "<=>"}),
        ("use `->` or (==), then a || b", {"->", "==", "||"}),
        ("setContentType", {"setcontenttyp", "set", "content", "type"}),
        ("XMLHttpRequest", {"xml", "http", "request"}),
        ("max_wal_size", {"max_wal_size", "max", "wal", "size"}),
        ("café ﬁne Ｆｕｌｌ", {"cafe", "fine", "full"}),
        ("东京大学 AI", {"东京", "京大", "大学", "京", "ai"}),
        ("ภาษาไทย", {"ภา", "ไท"}),
        ("한국어", {"한국", "국어"}),
    ],
)
def test_terms_of_a_page(text: str, held: set[str]) -> None:
    assert held <= set(page_terms(text, "en"))


@pytest.mark.parametrize("letter", ["w", "щ", "ß", "𝔴", "ⵣ", "ä"])
def test_a_word_of_the_greatest_length_is_found_in_any_script(letter: str) -> None:
    word = letter * MAX_TERM_CHARS
    [alternatives] = terms(word, "en", "ru")
    assert set(alternatives) & set(page_terms(word, "ru"))
    assert terms(letter * (MAX_TERM_CHARS + 1)) == []


def test_hyphens_and_underscores_alone_make_no_identifier() -> None:
    assert set(page_terms("well-known __ _x- - a_ ---", "en")) == {"well", "known", "x", "a"}


@pytest.mark.parametrize("text", ["What??", "a -- b", "| --- | ---- |", "wait ... what?!", "x :", "====== **bold**", "(see a/b)"])
def test_punctuation_makes_no_operator(text: str) -> None:
    assert all(term.isalnum() for term in page_terms(text, "en"))


@pytest.mark.parametrize("operator", ["??", "<=>", "->", "==", "!=", "&&", "||", ":=", "=>", "|>", "**", "<<", "=~"])
def test_an_operator_is_found_however_it_is_asked_for(operator: str) -> None:
    held = page_terms(f"The {operator} operator compares.", "en")
    assert operator in held
    for question in (f"What does {operator} do?", f"what is `{operator}`", operator, f'What does "{operator}" mean?'):
        assert (operator,) in terms(question)


def test_every_term_of_a_question_can_be_found_on_a_page_with_the_same_text() -> None:
    text = "How do I call os.path.join or --max-depth in 东京大学, Häuser, setContentType, don't, x2.5, ﬁne?"
    for language in ("en", "de", "fr", "ja", "ru", "", "xx"):
        found = set(page_terms(text, language))
        assert all(found & set(alternatives) for alternatives in terms(text, language, "es"))


def test_a_language_is_stemmed_by_its_own_rules() -> None:
    assert set(page_terms("Häuser", "de")) == {"haus"}
    assert set(page_terms("Häuser", "xx")) == {"hauser"}
    assert terms("Häuser", "en", "de") == [("hauser", "haus")]


def test_stop_words_are_those_of_the_language_that_has_most_of_them() -> None:
    assert [word for word, *_ in terms("why did the lamp die in it", "en", "de")] == ["whi", "did", "lamp", "die"]
    assert [word for word, *_ in terms("Wann ist die Lampe alt", "de", "en")] == ["wann", "lamp", "alt"]


def test_stop_words_count_where_there_is_nothing_else() -> None:
    assert terms("to be or not to be") == [("to",), ("be",), ("or",), ("not",)]


def test_a_question_has_at_most_so_many_terms() -> None:
    assert len(query_terms(" ".join(f"word{n}" for n in range(100_000)), ["en", "de"], limit=64)) == 64
    assert query_terms("word " * 100_000 + "late", ["en"], limit=64) == [("word",)]


@pytest.mark.parametrize(
    "text", ["", " \n\t", "?!…", "🙂👩‍👩‍👧", "\x00", "\ud800", "\u202e", "w" * (MAX_TERM_CHARS + 1), "a_" * 400]
)
def test_nothing_breaks_it(text: str) -> None:
    for word in terms(text, "en", "zh"):
        assert all(0 < len(term) <= MAX_TERM_CHARS for term in word)
    page_terms(text, "en")
