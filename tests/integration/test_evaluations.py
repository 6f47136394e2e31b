"""Reports of ``footnote eval … --publish``: written where the service finds them, listed, read, and never trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from footnote.commands.evaluate import _publish
from tests.running import Running, StartService
from tests.unit.evaluations import evaluation


@pytest.fixture(scope="module")
def api(start_service: StartService, either_database: Callable[[], dict[str, str]]) -> Iterator[Running]:
    with start_service(database=either_database()) as api:
        yield api


@pytest.fixture
def folder(api: Running) -> Iterator[Path]:
    folder = api.service.corpus.directory.evaluations
    yield folder
    for path in folder.glob("*"):
        path.unlink()


def listed(api: Running) -> list[dict[str, Any]]:
    response = api.http.get("/v1/evaluations")
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json()["evaluations"]
    return found


def test_what_is_published_is_listed_and_read(api: Running, folder: Path) -> None:
    assert listed(api) == []  # nor need the folder be there
    body = evaluation(sets=2)
    _publish(body, api.service.settings)
    _publish({**body, "made_at": "2026-01-02T03:04:05+00:00"}, api.service.settings)
    newest, older = listed(api)
    assert older["id"] == "20260102030405-retrieval"
    assert (newest["kind"], newest["made_at"], newest["questions"]) == ("retrieval", body["made_at"], 6)
    assert newest["sets"] == [one["name"] for one in body["sets"]]
    assert api.http.get(f"/v1/evaluations/{newest['id']}").json() == json.loads(json.dumps(body))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"text"',
        '{"evaluation": "retrieval"}',
        '{"evaluation": "other", "sets": []}',
        '{"evaluation": "answers", "sets": [1]}',
        '{"evaluation": "answers", "sets": [{"questions": NaN}]}',
        '{"evaluation": "answers", "sets": ' + "[" * 100_000,
    ],
)
def test_what_is_no_report_is_passed_over(api: Running, folder: Path, content: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "odd.json").write_text(content)
    assert listed(api) == []
    assert api.http.get("/v1/evaluations/odd").status_code == 404


def test_a_report_that_is_replaced_is_read_anew(api: Running, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("one", "another one"):
        report = {"evaluation": "answers", "made_at": "2026", "sets": [{"name": name, "questions": 3}]}
        (folder / "report.json").write_text(json.dumps(report))
        assert listed(api)[0]["sets"] == [name]


@pytest.mark.parametrize("id", ["..%2Fservice", "%2Fetc%2Fpasswd", "a%00b", "x" * 200, "link"])
def test_nothing_else_can_be_read(api: Running, folder: Path, id: str) -> None:
    """Not what lies beside, nor what a link leads to."""
    folder.mkdir(exist_ok=True)
    (folder.parent / "service.json").write_text('{"evaluation": "answers", "sets": []}')
    (folder / "link.json").symlink_to(folder.parent / "service.json")
    assert api.http.get(f"/v1/evaluations/{id}").status_code == 404
    assert listed(api) == []
