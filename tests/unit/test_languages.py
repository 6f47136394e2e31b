"""In which language the service says its own few words."""

from __future__ import annotations

import re
import unicodedata

import pytest

from app.languages import PHRASES, language_of

QUESTIONS = {
    "ar": "كم تكلفة الاشتراك في السنة؟",
    "de": "Wie hoch ist der Turm in der Stadt?",
    "en": "How tall is the tower in the town?",
    "es": "¿Cuánto cuesta la suscripción al año?",
    "fr": "Combien coûte l'abonnement par an ?",
    "it": "Quanto costa l'abbonamento all'anno?",
    "ja": "タワーの高さはどれくらいですか？",
    "ko": "구독료는 일 년에 얼마인가요?",
    "nl": "Hoeveel kost het abonnement per jaar?",
    "pl": "Ile kosztuje abonament na rok?",
    "pt": "Quanto custa a assinatura por ano?",
    "ru": "Сколько стоит подписка на год?",
    "zh": "这座塔有多高？",
}
SCRIPTS = {
    "ar": "ARABIC",
    "el": "GREEK",
    "he": "HEBREW",
    "ja": "HIRAGANA",
    "ko": "HANGUL",
    "ru": "CYRILLIC",
    "uk": "CYRILLIC",
    "zh": "CJK",
}


@pytest.mark.parametrize(("language", "question"), QUESTIONS.items())
def test_the_language_of_a_question_is_told(language: str, question: str) -> None:
    assert language_of(question) == language


@pytest.mark.parametrize("text", ["", "zebra option", "asyncio.gather", "Kosten?", "🙂", "12 + 3", "x" * 4000, "\ud800"])
def test_what_cannot_be_told_is_english(text: str) -> None:
    assert language_of(text) == "en"


@pytest.mark.parametrize("language", PHRASES)
def test_phrases_are_whole_and_each_in_its_script(language: str) -> None:
    phrases = PHRASES[language]
    assert re.search(r"[.。।]$", phrases.abstention)
    assert re.search(r"[:：]$", phrases.says)
    for text in (phrases.abstention, phrases.says):
        letters = [unicodedata.name(letter) for letter in text if letter.isalpha()]
        assert sum(SCRIPTS.get(language, "LATIN") in name for name in letters) > len(letters) / 5, text


def test_no_two_languages_say_the_same() -> None:
    assert len({phrases.abstention for phrases in PHRASES.values()}) == len(PHRASES)
