"""Which words of a question are identifiers, and where they stand."""

from __future__ import annotations

import time

import pytest

from app.hard_terms import MAX_TERMS, Requirement, hard_terms


def terms(question: str) -> list[str]:
    return [term.text for term in hard_terms(question)]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is CVE-2024-3094?", ["CVE-2024-3094"]),
        ("cve-2024-3094", ["cve-2024-3094"]),
        ("What is CVE\u20112024\u20113094 (the pump)?", ["CVE-2024-3094"]),
        ("What does error E2063 mean?", ["E2063"]),
        ("¿Qué significa el código E18?", ["E18"]),
        ("Was bedeutet der Fehler F7?", ["F7"]),
        ("エラーE2063とは何ですか", ["E2063"]),
        ("Ｅ２０６３ means what?", ["E2063"]),
        ("E5", ["E5"]),
        ("How do I fix ORA-00942 and ORA-00904?", ["ORA-00942", "ORA-00904"]),
        ("E2063/E2064", ["E2063", "E2064"]),
        ("What is CWE-79?", ["CWE-79"]),
        ("How does rfc 9110 define Accept?", ["rfc 9110"]),
        ("What does PEP 8 say?", ["PEP 8"]),
        ("What is MySQL error 1045?", ["1045"]),
        ("What does exit code 137 mean?", ["137"]),
        ("Is issue #42 closed?", ["42"]),
        ("What changed in v1.2.3?", ["v1.2.3"]),
        ("What changed in 3.6.19?", ["3.6.19"]),
        ("Who uses 0x80070005?", ["0x80070005"]),
        ("What is in commit 3fa85f6?", ["3fa85f6"]),
        ("What does max_wal_size do?", ["max_wal_size"]),
        ("What is __init__?", ["__init__"]),
        ("How does os.path.join work?", ["os.path.join"]),
        ("What is std::vector<int>?", ["std::vector"]),
        ("How do I call asyncio.wait_for(task)?", ["asyncio.wait_for"]),
        ("When is setContentType called?", ["setContentType"]),
        ("Why a ZeroDivisionError?", ["ZeroDivisionError"]),
        ("What does --max-depth=3 do?", ["--max-depth"]),
        ("What does -x do?", ["-x"]),
        ("What does the -maxdepth option do?", ["-maxdepth"]),
        ("Where is /etc/lamp/wick.conf?", ["/etc/lamp/wick.conf"]),
        ("What does the ?? operator do?", ["??"]),
        ("What is <=>?", ["<=>"]),
        ("What does `a  b` print?", ["a  b"]),
        ('What does "content_block" hold?', ["content_block"]),
    ],
)
def test_identifiers_of_a_question(question: str, expected: list[str]) -> None:
    assert terms(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "What happened in 1945 and in the 1960s?",
        "Which 3 ways are there to get 100,000 lamps?",
        "How far are 100km, 5GB, 20th-century lamps and 12-year-old wicks?",
        "Does Python 3.11 run on Win32 with SQLite3, IPv6 and H2O?",
        "When did the PS4, the F-16 and the A4 fly on YouTube with JavaScript?",
        "who won the world cup mid-1990 in Windows2000 in FY2020",
        "What is the U.S. position, e.g. on Node.js or booking.com?",
        "Was it on 12.05.2024 or 2024-05-12, at 10:30 a.m.?",
        "Was sind Privatpersonen und -organisationen?",
        "It works.What now -- or is it - well - over?",
        "Why does it fail ???",
        "Really ?! What ??",
        "What is 'wick' and what does \"the lamp is out\" mean?",
        "See https://a.example/E2063 or mail e2063@a.example",
        "which mode do I use with open() and print(x)?",
        "Größe2063 and Ärger",
        "什么是灯？？",
        "",
    ],
)
def test_what_only_looks_like_one(question: str) -> None:
    assert terms(question) == []


@pytest.mark.parametrize(
    ("question", "text", "stands"),
    [
        ("CVE-2025-6216", "CVE-2025-6216: a leak", True),
        ("CVE-2025-6216", "see (cve-2025-6216).", True),
        ("CVE-2025-6216", "CVE\u20112025\u20116216", True),
        ("CVE-2025-6216", "CVE-2025-62168 is another", False),
        ("CVE-2025-6216", "XCVE-2025-6216", False),
        ("CVE-2025-6216", "CVE-2025-6216-1", False),
        ("P-100-2", "P-100-21", False),
        ("E2063", "E2063 | net", True),
        ("E2063", "(E2063/E2064)", True),
        ("E2063", "E 2063", True),
        ("E2063", "E20631", False),
        ("E2063", "E2063.1", False),
        ("E2063", "FE2063", False),
        ("E2063", "エラーE2063が", True),
        ("RFC 9110", "RFC9110", True),
        ("RFC 9110", "RFC 91101", False),
        ("error 1045", "ERROR 1045 (28000)", True),
        ("error 1045", "10.1045 and 11045", False),
        ("v1.2.3", "version 1.2.3", True),
        ("v1.2.3", "1.2.3.4", True),
        ("v1.2.3", "1.2.31 and 11.2.3 and 0.1.2.3", False),
        ("max_wal", "max_wal_size", False),
        ("max_wal_size", "Set max_wal_size=1", True),
        ("os.path.join", "path.join(a)", True),
        ("os.path.join", "join(a)", True),
        ("os.path.join", "join the paths", False),
        ("--max", "--max-depth", False),
        ("--max-depth", "use --max-depth=3", True),
        ("-x", "-X and -xy", False),
        ("-x", "| -x | trace |", True),
        ("What does ?? do", "a ?? b", True),
        ("What does ?? do", "a ??= b", False),
        ("What does || do", r"| a \|\| b |", True),
        ("What does `set -e` do", "write set -e first", True),
        ("What does `set -e` do", "set -euo", False),
    ],
)
def test_where_an_identifier_stands(question: str, text: str, stands: bool) -> None:
    required = Requirement(question)
    assert len(required.terms) == 1
    assert bool(required.held_by(text)) is stands


def test_headings_speak_for_what_names_no_sibling() -> None:
    required = Requirement("What is CVE-2024-3094?")
    assert required.held_by("It leaks oil.", under=["CVE-2024-3094", "Pumps"]) == 1
    assert required.held_by("CVE-2024-3095 slips.", under=["CVE-2024-3094 and others"]) == 0
    assert required.held_by("It slips.", under=["CVE-2024-3095", "CVE-2024-3094"]) == 0
    assert required.strays_in("CVE-2024-3095 slips.")
    assert not required.strays_in("CVE-2024-3094 leaks, as CVE-2024-3095 does.")
    assert not required.strays_in("It leaks.")


def test_where_it_stands_in_the_question_is_told() -> None:
    question = "What do „E2063“, RFC 9110 and `a` mean?"
    assert [question[term.start : term.end] for term in hard_terms(question)] == ["E2063", "a", "RFC 9110"]


@pytest.mark.parametrize(
    "part", ["E2063 ", "a_", "A1-", "1.", "`", '"', "a.b", "::", "??", "-x", "/a", "Aa", "(", "\\|", "中", "ﬁ"]
)
def test_long_questions_and_texts_take_linear_time(part: str) -> None:
    required = Requirement("E2063 CVE-2024-3094 a_b a.b.c -x <=> v1.2.3 `a b`")
    started = time.process_time()
    assert len(hard_terms(part * 20_000)) <= MAX_TERMS
    required.held_by(part * 20_000, under=[part])
    required.strays_in(part * 20_000)
    assert time.process_time() - started < 2
