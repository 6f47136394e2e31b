"""What people thought of answers: kept, listed, exported as questions for evaluation, and gone when it has to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from typer.testing import CliRunner, Result

from corpus.database import utc_now
from corpus.errors import NotFound
from corpus.keys import Scope
from corpus.tables import FeedbackRow
from footnote.api import Footnote
from footnote.cli import app as command_line
from footnote.commands.feedback import as_csv, questions_of
from footnote.evaluation.questions import read_questions
from tests.running import Running, StartService

TOWER = "The tower is 330 metres tall and was finished in 1889."
QUESTION = "How tall is the tower?"


@pytest.fixture(scope="module")
def api(start_service: StartService, either_database: Callable[[], dict[str, str]]) -> Iterator[Running]:
    with start_service(database=either_database(), answer={"abstain_below": 0.1, "max_question_chars": 500}) as api:
        yield api


@pytest.fixture(autouse=True)
def _emptied(api: Running) -> None:
    for one in api.http.get("/v1/feedback").json()["feedback"]:
        assert api.http.delete(f"/v1/feedback/{one['id']}").status_code == 204


@pytest.fixture
def tower(api: Running) -> str:
    return api.put("https://a.example/tower", TOWER, title="Tower")


def asked(api: Running) -> dict[str, Any]:
    answer: dict[str, Any] = api.http.post("/v1/ask", json={"question": QUESTION}).json()
    assert answer["citations"]
    return answer


def judge(api: Running, answer: dict[str, Any] | None = None, **fields: Any) -> httpx2.Response:
    places = ("number", "page_id", "content_hash", "start", "end")
    citations = [{name: one[name] for name in places} for one in (answer or {"citations": []})["citations"]]
    state = answer["state"] if answer else "abstained"
    return api.http.post(
        "/v1/feedback", json={"question": QUESTION, "state": state, "helpful": True, "citations": citations} | fields
    )


def listed(api: Running, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/v1/feedback", params=params).json()["feedback"]
    return found


def test_a_judgement_is_kept_with_its_question_and_what_was_cited(api: Running, tower: str) -> None:
    answer = asked(api)
    response = judge(api, answer, helpful=False, comment="  Half of it.  ", request_id="mine-1")
    assert response.status_code == 201
    [kept] = listed(api)
    assert kept["id"] == response.json()["id"]
    facts = ("question", "collection", "state", "helpful", "comment", "request_id", "key_id")
    assert [kept[name] for name in facts] == [QUESTION, "default", answer["state"], False, "Half of it.", "mine-1", None]
    [citation] = kept["citations"]
    assert (citation["url"], citation["quote"], citation["wrong"]) == ("https://a.example/tower", TOWER, False)
    assert listed(api, helpful=True) == []
    assert len(listed(api, helpful=False)) == 1
    assert listed(api, collection="default") == [kept]
    assert api.http.get("/v1/feedback", params={"collection": "none-such"}).status_code == 404


def test_a_deleted_page_is_shown_by_no_judgement_and_a_changed_one_is_not_misquoted(api: Running, tower: str) -> None:
    judge(api, asked(api))
    api.put("https://a.example/tower", "Another text altogether about towers.", title="Tower")
    [citation] = listed(api)[0]["citations"]
    assert (citation["url"], citation["quote"]) == ("https://a.example/tower", None)
    assert api.http.delete(f"/v1/pages/{tower}").status_code == 204
    assert "a.example" not in api.http.get("/v1/feedback").text
    assert TOWER not in api.http.get("/v1/feedback").text


@pytest.mark.parametrize(
    "wrong",
    [
        {"comment": "x" * 2001},
        {"question": " "},
        {"question": "x" * 501},
        {"request_id": "a b"},
        {"request_id": "x" * 65},
        {"state": "sure"},
        {"helpful": "perhaps"},
        {"more": 1},
        {"citations": [{"number": 1, "page_id": "0", "content_hash": "0" * 64, "start": 0, "end": 1}]},
        {"citations": [{"number": 1, "page_id": "0" * 32, "content_hash": "0" * 64, "start": 0, "end": 1}] * 2},
        {"citations": [{"number": n, "page_id": "0" * 32, "content_hash": "0" * 64, "start": 0, "end": 1} for n in range(1, 52)]},
    ],
)
def test_what_makes_no_sense_or_has_no_end_is_refused(api: Running, wrong: dict[str, Any]) -> None:
    assert judge(api, **wrong).status_code == 422
    assert listed(api) == []


def test_pages_of_judgements_follow_each_other_to_the_end(api: Running) -> None:
    made = [judge(api, question=f"Question {number}?").json()["id"] for number in range(5)]
    seen: list[str] = []
    after = None
    while True:
        part = api.http.get("/v1/feedback", params={"limit": 2} | ({"after": after} if after else {})).json()
        seen += [one["id"] for one in part["feedback"]]
        after = part["next"]
        if after is None:
            break
    assert seen == made[::-1]
    assert api.http.get("/v1/feedback", params={"after": "no-such"}).status_code == 404
    assert api.http.delete("/v1/feedback/no-such").status_code == 404


def test_old_judgements_are_forgotten(api: Running) -> None:
    old = judge(api, question="Long ago?").json()["id"]

    async def age() -> None:
        long_ago = utc_now() - timedelta(days=366)
        async with api.service.database.write() as connection:
            await connection.execute(update(FeedbackRow).where(FeedbackRow.id == old).values(created_at=long_ago))

    api.inside(age())
    assert listed(api) == []

    async def rows() -> int:
        async with api.service.database.read() as connection:
            return len((await connection.execute(FeedbackRow.__table__.select())).all())

    assert api.inside(rows()) == 1
    judge(api)
    assert api.inside(rows()) == 1


def test_who_is_granted_one_collection_judges_and_reads_there_alone(api: Running, tower: str) -> None:
    api.put("https://red.example/", TOWER, title="Red", collection="red")
    answer = asked(api)
    made = judge(api, answer).json()["id"]

    def headers(*scopes: Scope) -> dict[str, str]:
        key = api.inside(api.service.keys.create(name="k", scopes=scopes, collections={"red"}))
        return {"authorization": f"Bearer {key[1]}"}

    red = headers(Scope.QUERY, Scope.INGEST)
    body = {"question": QUESTION, "state": "quoted", "helpful": True}
    assert api.http.post("/v1/feedback", json=body, headers=red).status_code == 404
    # What is said to have been cited may be a page of another collection: it is not shown to who reads this one's.
    citation = {name: answer["citations"][0][name] for name in ("number", "page_id", "content_hash", "start", "end")}
    stolen = api.http.post("/v1/feedback", json={**body, "collection": "red", "citations": [citation]}, headers=red)
    assert stolen.status_code == 201
    seen = api.http.get("/v1/feedback", headers=red)
    [only] = seen.json()["feedback"]
    assert (only["collection"], only["citations"][0]["url"], only["citations"][0]["quote"]) == ("red", None, None)
    assert only["key_id"] is not None
    assert TOWER not in seen.text
    assert api.http.delete(f"/v1/feedback/{made}", headers=red).status_code == 404
    assert api.http.get("/v1/feedback", headers=red, params={"after": made}).status_code == 404
    assert api.http.get("/v1/feedback", headers=headers(Scope.QUERY)).status_code == 403
    assert api.http.delete("/v1/collections/red").status_code == 204  # and its judgements with it
    assert [one["id"] for one in listed(api)] == [made]
    with pytest.raises(NotFound):
        api.inside(api.service.feedback.delete(only["id"]))


# By the client and the command line


def run(api: Running, *args: str) -> Result:
    return CliRunner().invoke(command_line, ["--url", api.url, "feedback", *args])


def test_what_was_judged_becomes_questions_that_footnote_eval_takes(api: Running, tower: str, tmp_path: Path) -> None:
    with Footnote(api.url) as footnote:
        answer = footnote.ask(QUESTION)
        footnote.give_feedback(QUESTION, answer, helpful=True, comment="Good")
        footnote.give_feedback("And how wide?", answer, helpful=False, wrong=[1])
    file = tmp_path / "judged.csv"
    exported = run(api, "export", str(file))
    assert exported.exit_code == 0, exported.stderr
    dataset = read_questions(file)
    assert [query.text for query in dataset.queries] == [QUESTION]
    assert dataset.judgements[0].qrels == {"q1": {"https://a.example/tower": 1}}
    everything = tmp_path / "all.jsonl"
    assert run(api, "export", str(everything)).exit_code == 0
    assert [json.loads(line)["helpful"] for line in everything.read_text().splitlines()] == [False, True]
    assert [one["citations"][0]["wrong"] for one in listed(api)] == [True, False]
    shown = run(api, "list", "--unhelpful")
    assert "And how wide?" in shown.stdout
    assert "[1]" in shown.stdout
    [first, _] = json.loads(run(api, "list", "--json").stdout)
    assert run(api, "delete", first["id"]).exit_code == 0
    assert len(listed(api)) == 1


def test_nothing_to_export_is_said(api: Running, tmp_path: Path) -> None:
    for name, word in (("f.txt", ".jsonl"), ("f.csv", "helpful"), ("no/f.csv", "does not exist")):
        failed = run(api, "export", str(tmp_path / name))
        assert word in str(failed.exception), name
    assert list(tmp_path.iterdir()) == []
    assert "Nobody has judged" in run(api, "list").stderr


def judged(question: str, *citations: tuple[str | None, bool], helpful: bool = True) -> dict[str, Any]:
    return {"question": question, "helpful": helpful, "citations": [{"url": url, "wrong": wrong} for url, wrong in citations]}


def test_the_newest_judgement_of_a_page_counts_and_wrong_citations_teach_nothing() -> None:
    a, b = "https://h/a", "https://h/b"
    assert questions_of([judged("Q?", (a, False), (b, True))]) == {"Q?": [a]}
    assert questions_of([judged("Q?", (a, True)), judged("Q? ", (a, False), (b, False))]) == {"Q?": [b]}
    assert questions_of([judged("Q?", (a, False), helpful=False)]) == {}
    assert questions_of([judged("Q?", (None, False), ("https://h/a;b", False))]) == {}


@given(st.text(min_size=1).filter(str.strip))
def test_any_question_survives_the_file(tmp_path_factory: pytest.TempPathFactory, question: str) -> None:
    file = tmp_path_factory.mktemp("csv") / "questions.csv"
    text = as_csv({question.strip(): ["https://h/a"]}).encode(errors="surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return  # no database and no file holds halves of characters
    file.write_bytes(text)
    assert [query.text for query in read_questions(file).queries] == [question.strip()]
