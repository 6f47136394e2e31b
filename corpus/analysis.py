"""Words as the lexical index holds them: stems in the language of the page, identifiers (``os.path``, CVE-2024-3094) whole and in
parts, operators (``<=>``) as they are, and scripts that put no spaces between words in pairs of characters.

A page is analysed in its own language. The language of a question can't be told from three words, so each of its words may
match as it would be stemmed in any language that the index holds pages of. The figures for all this stand in
``docs/retrieval.md``. Snowball's stemmers and stop words (Porter, 2001) are tantivy's.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import tantivy

# 1 stemmed everything as English, 2 knew neither operators nor identifiers with hyphens. Files of another version are emptied
# when they are opened, and made anew; an index server's need `footnote reindex --anyway`, as ``corpus/opening.py`` says.
ANALYSIS_VERSION = 3
MAX_TERM_CHARS = 64
MAX_QUERY_TOKENS = 1_000  # of a pasted page; far more than the terms that are used
DEFAULT_LANGUAGE = "en"  # of pages too short to tell

STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
_NO_STOP_WORDS = {"arabic", "greek", "romanian", "tamil", "turkish"}  # tantivy has no list of theirs

# Thai and Lao, Burmese, Khmer, kana, Han, and Hangul, whose words end in particles.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]+")
_LETTERS = rf"[^\W{UNSPACED}]+"
# An operator stands by itself or in marks: what ends a word is punctuation, and a row of hyphens a rule.
_OPERATOR = r"(?<![^\s`\"'(\[|])(?!--|\.\.|\|-)[!%&*+\-./:<=>?@\\^|~]{2,4}(?![^\s`\"')\],;|])"
_TOKEN = re.compile(
    rf"(?P<unspaced>[{UNSPACED}]+)|(?P<operator>{_OPERATOR})|(?P<word>(?:(?<![\w-])--?(?=[^\W\d_]))?{_LETTERS}(?:(?:\.|::|->|-){_LETTERS})*)"
)
_HYPHENS = {0x2010: "-", 0x2011: "-"}  # the typographic ones
_PART = re.compile(r"[^\W_]+")
_NAME = re.compile(r"\w+")
_HUMP = re.compile(r"[a-z][A-Z]")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def has_no_spaces(text: str) -> bool:
    """Whether most letters of a text belong to scripts that put no spaces between words, or join their particles to them."""
    unspaced = sum(map(len, _UNSPACED_RUN.findall(text)))
    return 2 * unspaced > sum(character.isalpha() for character in text)


def english_analyzer() -> tantivy.TextAnalyzer:
    """The content words of an English text alone: no stop words, stems, no identifiers as wholes."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(MAX_TERM_CHARS))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def page_terms(text: str, language: str) -> list[str]:
    """The terms of a text, with repetitions and in no order. ``language`` is a primary subtag (BCP 47), or empty."""
    words: list[str] = []
    terms: list[str] = []
    for token in _tokens(text):
        if run := token["unspaced"]:
            terms += (*run, *_pairs(run))
        elif operator := token["operator"]:
            terms.append(operator)
        else:
            words += _words(token["word"])
            terms += _identifiers(token["word"])
    return [*_analyzer(_stemmer(language)).analyze(" ".join(words)), *terms]


def query_terms(text: str, languages: Iterable[str], *, limit: int) -> list[tuple[str, ...]]:
    """The first ``limit`` distinct terms of a question; each is a tuple of what the word may look like in the index, by the
    ``languages`` that the index holds. Stop words count only in a question of nothing but stop words."""
    stemmers = list(dict.fromkeys(_stemmer(language) for language in languages)) or [_stemmer(DEFAULT_LANGUAGE)]
    tokens = list(itertools.islice(_tokens(text), MAX_QUERY_TOKENS))
    words = dict.fromkeys(word.lower() for token in tokens for word in _words(token["word"] or ""))
    for dropped in (_stop_words(list(words), stemmers), frozenset[str]()):
        terms = dict.fromkeys(itertools.islice(_query_terms(tokens, stemmers, dropped), 4 * limit))
        if terms:
            break
    return list(terms)[:limit]


def _query_terms(tokens: Iterable[re.Match[str]], stemmers: Sequence[str], dropped: frozenset[str]) -> Iterator[tuple[str, ...]]:
    for token in tokens:
        if run := token["unspaced"]:
            yield from ((pair,) for pair in _pairs(run) or [run])
            continue
        if operator := token["operator"]:
            yield (operator,)
            continue
        for word in _words(token["word"]):
            if word.lower() not in dropped and len(word) <= MAX_TERM_CHARS:
                stems = dict.fromkeys(stem for stemmer in stemmers for stem in _analyzer(stemmer).analyze(word) if stem)
                if stems:
                    yield tuple(stems)
        yield from ((name,) for name in _identifiers(token["word"]))


def _stop_words(words: Sequence[str], stemmers: Sequence[str]) -> frozenset[str]:
    """Those of the language that has most of them among ``words``: "die" is one in German questions and none in English."""
    by_language = [frozenset(words) - frozenset(_stop_word_filter(stemmer).analyze(" ".join(words))) for stemmer in stemmers]
    most = max(map(len, by_language))
    return frozenset().union(*(found for found in by_language if len(found) == most))


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return _TOKEN.finditer(unicodedata.normalize("NFKC", text).translate(_HYPHENS))


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]


def _words(token: str) -> list[str]:
    """The parts of a token that are words, and those of a part in camelCase besides."""
    words: list[str] = []
    for part in _PART.findall(token):
        words.append(part)
        if _HUMP.search(part):
            words += _CAMEL.findall(part)
    return words


def _identifiers(token: str) -> list[str]:
    """``os.path.join``, ``--max-depth``, ``max_depth``, ``CVE-2024-3094``: what is looked up as a whole. A word with hyphens and
    no digit is none."""
    names = [name for name in _NAME.findall(token) if "_" in name.strip("_")]
    is_numbered = "-" in token and any(map(str.isdigit, token))
    if token.startswith("-") or "." in token or ":" in token or ">" in token or is_numbered:
        names.append(token)
    return [name.lower() for name in dict.fromkeys(names) if len(name) <= MAX_TERM_CHARS]


@lru_cache(maxsize=len(STEMMERS) + 1)
def _analyzer(stemmer: str) -> tantivy.TextAnalyzer:
    """Lower-case, stem, then fold accents, which some stemmers go by. Words of a language without a stemmer stay whole."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    builder = builder.filter(tantivy.Filter.remove_long(4 * MAX_TERM_CHARS + 1)).filter(tantivy.Filter.lowercase())  # bytes
    if stemmer:
        builder = builder.filter(tantivy.Filter.stemmer(stemmer))
    return builder.filter(tantivy.Filter.ascii_fold()).build()


@lru_cache(maxsize=len(STEMMERS) + 1)
def _stop_word_filter(stemmer: str) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    if stemmer and stemmer not in _NO_STOP_WORDS:
        builder = builder.filter(tantivy.Filter.stopword(stemmer))
    return builder.build()


def _stemmer(language: str) -> str:
    return STEMMERS.get(language or DEFAULT_LANGUAGE, "")
