"""Whether two pages say the same. Pure.

Near-duplicates are found by their SimHash (Charikar, "Similarity estimation techniques from rounding algorithms", 2002; kept
in bands so that an index finds candidates, after Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling",
2007) and then compared word by word: a fingerprint only proposes. Two texts that differ in a number or a name say different
things, however much they share.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import blake2b

import numpy as np

from corpus.model import PageText

SHINGLE_WORDS = 5
SIMHASH_BITS = 64
BANDS = 4
# Up to 3 bits apart, one of four bands is equal, by the pigeonhole principle; of those 6 apart, it is in 62 of 100 cases.
MAX_DISTANCE_BITS = 6
NEAR_DUPLICATE = 0.95  # Jaccard similarity of the shingle sets
CONTAINED = 0.8
MIN_WORDS = 50  # of shorter texts, a word is much
MAX_WORDS = 200_000  # of longer ones, shingles take too much memory (about 200 bytes each)

_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?<=[^\W\d_][ ,;])[ ]?([^\W\d_]\w*)")  # a word that begins no sentence


def simhash(page: PageText) -> tuple[int, ...]:
    """The SimHash of a page's text over its distinct words, as four bands of 16 bits, the highest first.

    Words and not longer shingles: a word that differs is then one feature in hundreds and not five. Texts of 400 words with
    one to three words changed were 2 bits apart on average, and 95 of 100 were proposed (measured on documentation).
    """
    words = set(_words(page.text))
    hashes = (blake2b(word.encode(errors="replace"), digest_size=SIMHASH_BITS // 8).digest() for word in words)
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), dtype=np.uint8)).reshape(len(words), SIMHASH_BITS)
    value = int.from_bytes(np.packbits(2 * bits.sum(axis=0, dtype=np.int64) > len(words)).tobytes())
    width_bits = SIMHASH_BITS // BANDS
    return tuple(value >> shift & (1 << width_bits) - 1 for shift in range(SIMHASH_BITS - width_bits, -1, -width_bits))


def distance_bits(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """In how many bits two SimHashes differ."""
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def says_the_same(page: PageText, kept: PageText) -> bool:
    """Whether ``page`` may go because ``kept`` says all that it says.

    Equal title and text; or, from 50 words on: a Jaccard similarity of at least .95 between the sets of five-word shingles,
    the same numbers equally often (versions, prices and dates matter), and no name in ``page`` that ``kept`` doesn't know.
    """
    if page.content_hash == kept.content_hash:
        return True
    words, kept_words = _words(page.text), _words(kept.text)
    if not MIN_WORDS <= len(words) <= MAX_WORDS or not MIN_WORDS <= len(kept_words) <= MAX_WORDS:
        return False
    if _numbers(page) != _numbers(kept) or not _names(page) <= {*kept_words, *_words(kept.title)}:
        return False
    shingles, kept_shingles = _shingles(words), _shingles(kept_words)
    return len(shingles & kept_shingles) >= NEAR_DUPLICATE * len(shingles | kept_shingles)


def is_contained(page: PageText, whole: PageText) -> bool:
    """Whether ``whole`` holds the text of ``page``: at least .8 of its shingles, or the same title and text."""
    if page.content_hash == whole.content_hash:
        return True
    words, whole_words = _words(page.text), _words(whole.text)
    if not words or max(len(words), len(whole_words)) > MAX_WORDS:
        return False
    width = min(SHINGLE_WORDS, len(words))
    shingles = _shingles(words, width)
    return len(shingles & _shingles(whole_words, width)) >= CONTAINED * len(shingles)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _shingles(words: list[str], width: int = SHINGLE_WORDS) -> set[tuple[str, ...]]:
    return set(zip(*(words[place:] for place in range(width)), strict=False))


def _numbers(page: PageText) -> Counter[str]:
    """Words with a digit in them, signs and currencies included, the punctuation around them not."""
    tokens = f"{page.title}\n{page.text}".split()
    return Counter(token.strip(".,;:!?()[]{}<>\"'*_`|") for token in tokens if _DIGIT.search(token))


def _names(page: PageText) -> set[str]:
    """Capitalised words that begin no sentence, and those of the title, in lower case."""
    found = (match[1] for match in _NAME.finditer(page.text))
    titled = (word for word in _WORD.findall(page.title))
    return {word.casefold() for word in (*found, *titled) if word[0].isupper()}
