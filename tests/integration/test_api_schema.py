"""Schemathesis over the whole API: whatever the OpenAPI document allows, and what it doesn't.

All its phases (examples, boundaries, random requests, sequences of them) against a service that holds something of everything and
is known to: so requests reach the inside of handlers, which the last test here counts.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.model import JobState
from footnote.commands.evaluate import _publish
from ingest.worker import IngestWorker
from tests.integration.test_worker import html
from tests.running import Running, StartService
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page
from tests.unit.evaluations import evaluation

PAGES = 12
SITE = ScriptedSite()  # there as long as the service is
SITE.script("/tower", page(html("Tower 3 is 303 metres tall")))
ALL = ""
MANY = 6  # of what requests use up
QUESTION = "How tall is tower 3?"
# Requests are the same in each run: a find belongs to a test of its own, not to one run in a hundred.
CONFIGURATION = """
seed = 1
continue-on-failure = true
request-timeout = 30
[cache]
enabled = false
[generation]
deterministic = true
max-examples = 10
database = "none"
[phases.stateful]
max-steps = 8
[phases.stateful.generation]
max-examples = 40
[checks]
# What keeps to the document may still make no sense together, or be beyond a setting.
positive_data_acceptance.enabled = false
# "true" is taken for true, and 1.0 for 1.
negative_data_rejection.enabled = false
[[operations]]
include-path = "/v1/jobs/{job_id}/events"
max-stream-events = 1  # there is no worker, so no second one comes
"""


@pytest.fixture(scope="module")
def api(start_service: StartService, new_database: Callable[[], dict[str, str]]) -> Iterator[Running]:
    with start_service(
        database=new_database(), ingest={"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0}, answer={"abstain_below": 0.1}
    ) as api:
        api.service.reindexing._old_index_stays_s = 0.0
        api.model.say("Tower 3 fell in 1903")
        api.inside(SITE.__aenter__())
        yield api
        api.inside(SITE.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def known(api: Running) -> dict[str, dict[str, list[str]]]:
    """What the service is filled with, by the operations (ALL: any) and parameters that take it."""

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = api.http.post(path, json=body)
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    async def ingest() -> list[str]:
        async with ScriptedSite() as site, IngestWorker(corpus=api.service.corpus):
            urls = [site.url(f"/{n}") for n in range(PAGES)]
            for n in range(PAGES):  # each has a second version for who comes again
                versions = [f"Tower {n} is {300 + n} metres tall", f"Tower {n} fell in {1900 + n}"]
                site.script(f"/{n}", *(page(html(version)) for version in versions))
            some = urls[:MANY]
            specs = [{"urls": some, "every": "1d"}, {"urls": some}, *({"urls": [url, f"{url}/gone"]} for url in urls[MANY:])]
            jobs = [(await asyncio.to_thread(post, "/v1/ingest", spec))["job_id"] for spec in specs]
            for job in jobs:
                async for status in api.service.jobs.watch(job):
                    ended = status
                assert ended.state is JobState.SUCCEEDED, (ended.error, ended.failures)
            return jobs

    def open_jobs(name: str) -> list[str]:
        urls = [f"https://{name}.example/{number}" for number in range(MANY)]
        return [post("/v1/ingest", {"urls": [url]})["job_id"] for url in urls]

    def sources_of(jobs: list[str]) -> list[str]:
        return [api.http.get(f"/v1/jobs/{job}").json()["source_id"] for job in jobs]

    ended = api.inside(ingest())
    queued, paused, cancelled = open_jobs("queued"), open_jobs("paused"), open_jobs("cancelled")
    for job in paused:
        post(f"/v1/jobs/{job}/pause", {})
    for job in cancelled:
        post(f"/v1/jobs/{job}/cancel", {})
    pages = api.http.get("/v1/pages").json()["pages"]
    answer = post("/v1/ask", {"question": QUESTION})
    cited = [{name: one[name] for name in ("number", "page_id", "content_hash", "start", "end")} for one in answer["citations"]]
    judged = {"question": QUESTION, "state": answer["state"], "helpful": True, "citations": cited}
    shelves = [f"shelf-{number}" for number in range(MANY)]
    for name in shelves:
        post("/v1/collections", {"name": name})
    _publish(evaluation(), api.service.settings)
    collections = ["default", *shelves]
    everywhere = {
        "path.job_id": [*ended, *queued],
        "path.source_id": sources_of(ended),
        "path.page_id": [one["id"] for one in pages],
        "path.feedback_id": [post("/v1/feedback", judged)["id"] for _ in range(MANY)],
        "path.key_id": [post("/v1/keys", {"name": name})["id"] for name in "abcdef"],
        "path.evaluation_id": [one["id"] for one in api.http.get("/v1/evaluations").json()["evaluations"]],
        "path.model": ["footnote", "footnote/shelf-0"],
        "path.name": shelves,
        "query.collection": collections,
        "query.url": [one["url"] for one in pages],
        "body.collection": collections,
        "body.question": [QUESTION, "When did tower 5 fall?"],
        "body.query": [QUESTION, "tower"],
    }
    return {
        ALL: everywhere,
        "POST /v1/ingest/explain": {"body.url": [SITE.url("/tower")]},
        "POST /v1/jobs/{job_id}/pause": {"path.job_id": queued},
        "POST /v1/jobs/{job_id}/resume": {"path.job_id": paused},
        "POST /v1/jobs/{job_id}/cancel": {"path.job_id": queued[::-1]},
        "POST /v1/jobs/{job_id}/retry": {"path.job_id": ended},
        "DELETE /v1/sources/{source_id}": {"path.source_id": sources_of(cancelled)},
    }


@pytest.fixture(scope="module")
def run(api: Running, known: dict[str, dict[str, list[str]]], tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Its exit code, what it said, and its report."""
    folder = tmp_path_factory.mktemp("schemathesis")
    report, configuration = folder / "report.ndjson", folder / "schemathesis.toml"
    lines = [CONFIGURATION]
    for operation, parameters in known.items():
        lines += [] if operation is ALL else ["[[operations]]", f'include-name = "{operation}"']
        for name, values in parameters.items():
            dictionary = f"{name} of {operation}"
            taken = f"[{'' if operation is ALL else 'operations.'}parameters.{json.dumps(name)}]"
            lines += [taken, f"dictionary = {json.dumps(dictionary)}", "probability = 0.7"]
            lines += [f"[dictionaries.{json.dumps(dictionary)}]", f"values = {json.dumps(values)}"]
    configuration.write_text("\n".join(lines))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", configuration, "run", f"{api.url}/openapi.json"]
    command += ["--no-color", "--report-ndjson-path", report]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    return ended.returncode, ended.stdout + ended.stderr, report


def test_no_answer_is_a_server_error_or_another_than_the_document_promises(run: tuple[int, str, Path]) -> None:
    code, said, _ = run
    assert code == 0, said


def test_every_operation_succeeds_in_some_request(api: Running, run: tuple[int, str, Path]) -> None:
    """Else what was tested of it is how it refuses."""
    reached: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for line in run[2].read_text().splitlines():
        recorded = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for id, made in recorded.get("interactions", {}).items():
            case = recorded["cases"][id]["value"]
            reached[case["method"], case["path"]][made["response"]["status_code"]] += 1
    print(
        *(f"{method} {path} {dict(statuses)}" for (method, path), statuses in reached.items() if set(statuses) != {405}), sep="\n"
    )
    described = api.http.get("/openapi.json").json()["paths"]
    operations = [(method.upper(), path) for path, methods in described.items() for method in methods]
    assert len(operations) > 40
    assert [one for one in operations if not any(200 <= status < 300 for status in reached[one])] == []
