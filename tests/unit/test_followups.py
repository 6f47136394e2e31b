"""What a follow-up leaves out is taken from the questions before it, and from nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.followups import MAX_PHRASES, FollowUps

standalone = FollowUps().standalone


@pytest.mark.parametrize(
    ("history", "question", "carried"),
    [
        (["How do I train a guide dog?"], "How long does it take?", ["guide dog"]),
        (["What is the capital of Peru?", "How many people live there?"], "And how old is it?", ["Peru"]),
        (["Tell me about the Danube."], "Why?", ["Danube"]),
        (["Which ports does the backup service use?"], "Can they be changed?", ["backup service"]),
        (["Who wrote the Iliad?"], "What else?", ["Iliad"]),
    ],
)
def test_a_question_that_leans_on_others_gets_what_they_are_about(history: list[str], question: str, carried: list[str]) -> None:
    rewritten = standalone(question, history)
    assert rewritten.startswith(f"{question} (")
    assert all(phrase in rewritten for phrase in carried)


@pytest.mark.parametrize(
    "question",
    [
        "Which database versions does the exporter support?",
        "How do I rotate the encryption keys of old snapshots?",
        "Welche Datenbanken unterstützt der Export?",
    ],
)
def test_a_question_that_stands_on_its_own_stays(question: str) -> None:
    assert standalone(question, ["How do I train a guide dog?"]) == question


def test_without_a_history_nothing_changes() -> None:
    assert standalone("How long does it take?", []) == "How long does it take?"


def test_a_history_that_names_nothing_changes_nothing() -> None:
    assert standalone("Why is that?", ["Really?", "Tell me more.", "🙂", ""]) == "Why is that?"


def test_what_the_question_says_already_is_not_said_again() -> None:
    assert standalone("Is a guide dog expensive to train?", ["How is a guide dog chosen?"]).count("guide dog") == 1


def test_later_questions_count_for_more_than_the_middle_ones() -> None:
    history = ["Tell me about bees.", "And wasps?", "And hornets?", "And ants?", "And beetles?", "And termites?"]
    rewritten = standalone("Do they sting?", history)
    assert "termites" in rewritten
    assert "bees" in rewritten  # what it all began with
    assert "wasps" not in rewritten


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=6))
def test_a_rewrite_begins_with_the_question_and_invents_nothing(question: str, history: list[str]) -> None:
    rewritten = standalone(question, history)
    assert rewritten.startswith(question)
    added = rewritten.removeprefix(question).strip(" ()")
    phrases = added.split(", ") if added else []
    assert len(phrases) <= MAX_PHRASES
    assert all(word in " ".join(history) for phrase in phrases for word in phrase.split())


@pytest.mark.parametrize(
    ("history", "question"),
    [
        (["Wie hoch ist der Turm in Paris?"], "Warum?"),
        (["¿Cuánto cuesta el iPhone 15 en España?"], "¿Y él, he de pagar impuestos?"),
        (["Hvor meget koster billetten til toget?"], "Hvad koster den her?"),
        (["iPhone 15 的价格是多少？"], "北京的人口是多少？"),
    ],
)
def test_a_conversation_in_another_language_is_left_as_it_is(history: list[str], question: str) -> None:
    assert standalone(question, history) == question
