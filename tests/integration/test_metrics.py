"""/metrics over a real socket: what it counts, who may read it, and that dashboard and alerts ask for what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import promql_parser
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from sqlalchemy import event, insert

from corpus.database import utc_now
from corpus.keys import Scope
from corpus.model import JobState, UrlState
from corpus.settings import Settings
from corpus.tables import JobRow, UrlRow
from corpus.tallies import SETTLED_AFTER, Tallies, reason_label
from tests.fakes import FakeEmbedder, FakeModel
from tests.running import Running, StartService, running, until

ROOT = Path(__file__).parents[2]
TOWER = "The tower is 330 metres tall and was finished in 1889."
ASK = {"question": "How tall is the tower?"}
SECRET = "a-word-for-prometheus-alone"


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service(server={"metrics_token": SECRET}, answer={"abstain_below": 0.1}) as api:
        api.model.say(TOWER)
        api.put("https://a.example/tower", TOWER, title="Tower")
        yield api


def families(api: Running) -> dict[str, Metric]:
    response = api.http.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in plain_text(response.text)}


def value(api: Running, name: str, **labels: str) -> float:
    """Of the sample of that name, summed over the labels that aren't given."""
    samples = [sample for family in families(api).values() for sample in family.samples if sample.name == name]
    assert samples, name
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


# What is counted


def test_an_answer_is_counted_by_whatever_door_it_was_asked_for(api: Running) -> None:
    before = value(api, "footnote_answers_total", state="grounded")
    tokens = value(api, "footnote_llm_completion_tokens_total")
    assert api.http.post("/v1/ask", json=ASK).json()["state"] == "grounded"
    assert "event: done" in api.http.post("/v1/ask", json={**ASK, "stream": True}).text
    chat = {"model": "footnote", "messages": [{"role": "user", "content": ASK["question"]}]}
    assert api.http.post("/v1/chat/completions", json=chat).status_code == 200
    assert "[DONE]" in api.http.post("/v1/chat/completions", json={**chat, "stream": True}).text
    assert value(api, "footnote_answers_total", state="grounded") == before + 4
    assert value(api, "footnote_answer_seconds_count", state="grounded") == before + 4
    assert value(api, "footnote_answer_confidence_count") == before + 4
    words = len(TOWER.split())
    assert value(api, "footnote_llm_completion_tokens_total") == tokens + 4 * words
    assert value(api, "footnote_llm_prompt_tokens_total") > 4 * words
    assert value(api, "footnote_llm_time_to_first_token_seconds_count") >= 4
    assert value(api, "footnote_llm_generation_seconds_count") >= 4
    for stage in ("embed", "dense", "lexical", "fusion", "lookup", "rerank", "evidence", "generation", "verification"):
        assert value(api, "footnote_stage_seconds_count", stage=stage) >= 4, stage


def test_a_search_is_counted_by_its_stages(api: Running) -> None:
    before = value(api, "footnote_stage_seconds_count", stage="rerank")
    answers = value(api, "footnote_answers_total")
    assert api.http.post("/v1/search", json={"query": "tower"}).status_code == 200
    assert value(api, "footnote_stage_seconds_count", stage="rerank") == before + 1
    assert value(api, "footnote_answers_total") == answers


def test_requests_are_counted_by_template_and_status_and_never_by_what_strangers_write(api: Running) -> None:
    page = api.http.get("/v1/pages").json()["pages"][0]["id"]
    for path in (f"/v1/pages/{page}", "/v1/pages/no-such-page-xyzzy", "/no/such/path-xyzzy"):
        api.http.get(path)
    api.http.request("PROPFIND", "/v1/pages")
    assert value(api, "footnote_http_requests_total", method="GET", route="/v1/pages/{page_id}", status="200") == 1
    assert value(api, "footnote_http_requests_total", method="GET", route="/v1/pages/{page_id}", status="404") == 1
    assert value(api, "footnote_http_requests_total", method="GET", route="unknown", status="404") == 1
    assert value(api, "footnote_http_requests_total", method="other") == 1
    assert value(api, "footnote_http_request_duration_seconds_count", route="/v1/pages/{page_id}") == 2
    assert value(api, "footnote_http_requests_in_progress") == 1  # this one
    text = api.http.get("/metrics").text
    assert "xyzzy" not in text
    assert page not in text


def test_a_fault_of_our_own_is_counted_apart(api: Running) -> None:
    before = value(api, "footnote_unexpected_errors_total")
    with patch.object(type(api.service.searcher), "search", side_effect=RuntimeError("broken")):
        assert api.http.post("/v1/search", json={"query": "tower"}).status_code == 500
    assert value(api, "footnote_unexpected_errors_total") == before + 1


def test_the_queue_before_the_model_can_be_seen(api: Running) -> None:
    with patch.object(api.model, "_hangs", True), api.http.stream("POST", "/v1/ask", json={**ASK, "stream": True}) as response:
        lines = response.iter_lines()
        while next(lines) != "event: token":
            pass
        with httpx2.Client(base_url=api.url) as other:
            text = other.get("/metrics").text
        assert "footnote_llm_running 1.0" in text
        assert "footnote_llm_waiting 0.0" in text
    until(lambda: value(api, "footnote_llm_running") == 0)
    full = FakeModel("One", slots=1, queue_limit=0)
    before = value(api, "footnote_answers_failed_total", code="overloaded")
    with patch.object(api.service.answerer, "_model", full):

        async def busy() -> Any:
            async with full.admission.slot(), httpx2.AsyncClient(base_url=api.url) as client:
                return await client.post("/v1/ask", json=ASK)

        assert api.inside(busy()).status_code == 503
    assert value(api, "footnote_answers_failed_total", code="overloaded") == before + 1


def test_the_index_and_what_runs_are_told(api: Running) -> None:
    assert value(api, "footnote_pages") == 1
    assert value(api, "footnote_chunks") == 1
    [build] = families(api)["footnote_build_info"].samples
    assert (build.labels["embedder"], build.labels["reranker"], build.labels["model"]) == ("bag-of-words", "maxsim", "scripted")
    for part in ("database", "vectors", "lexical", "tokens"):
        assert value(api, "footnote_disk_bytes", part=part) > 0, part
    assert value(api, "footnote_disk_free_bytes") > 0
    assert value(api, "process_resident_memory_bytes") > 0


def test_jobs_and_crawls_are_counted_from_the_database_once_each(api: Running) -> None:
    """As any process may have written them. Rows that were just stamped wait until they must be committed."""
    now = utc_now()
    before = value(api, "footnote_crawl_urls_total", state="failed", reason="http_404")

    async def write() -> None:
        job = {"collection_id": 1, "spec": {}, "created_at": now - timedelta(minutes=9)}
        ended = {"state": JobState.FAILED, "finished_at": now}
        url = {"job_id": "ended", "depth": 0, "finished_at": now}
        async with api.service.database.write() as connection:
            await connection.execute(insert(JobRow).values({**job, **ended, "id": "ended"}))
            await connection.execute(insert(JobRow).values({**job, "id": "waits", "state": JobState.QUEUED}))
            for number, outcome in enumerate(
                [
                    {"state": UrlState.INDEXED},
                    {"state": UrlState.FAILED, "reason": "http_404"},
                    {"state": UrlState.FAILED, "reason": "http_418"},
                    {"state": UrlState.PENDING, "finished_at": None, "job_id": "waits"},
                ]
            ):
                await connection.execute(insert(UrlRow).values({**url, "url": f"https://h/{number}", **outcome}))

    api.inside(write())
    assert value(api, "footnote_jobs", state="queued") == 1
    assert value(api, "footnote_urls_due") == 1
    assert 500 < value(api, "footnote_jobs_oldest_queued_seconds") < 700
    assert value(api, "footnote_jobs_finished_total", state="failed") == 0
    assert value(api, "footnote_crawl_urls_total", state="failed", reason="http_404") == before
    with patch.object(api.service.tallies, "_clock", lambda: now + SETTLED_AFTER):
        for _ in range(2):
            assert value(api, "footnote_jobs_finished_total", state="failed") == 1
            assert value(api, "footnote_crawl_urls_total", state="indexed") == 1
            assert value(api, "footnote_crawl_urls_total", state="failed", reason="http_404") == before + 1
            assert value(api, "footnote_crawl_urls_total", state="failed", reason="http_4xx") == 1


def test_a_clock_that_goes_back_counts_nothing_twice(api: Running) -> None:
    now = utc_now()
    tallies = Tallies(database=api.service.database, clock=lambda: now)

    async def write() -> None:
        row = {"job_id": "ended", "depth": 0, "url": "https://h/clock", "state": UrlState.SKIPPED, "finished_at": now}
        async with api.service.database.write() as connection:
            await connection.execute(insert(UrlRow).values({**row, "reason": "noindex"}))

    api.inside(write())
    found = []
    for tallies._clock in (
        lambda: now + SETTLED_AFTER,
        lambda: now - timedelta(hours=1),
        lambda: now + 2 * SETTLED_AFTER,
    ):
        found.append(api.inside(tallies.take()).finished_urls[UrlState.SKIPPED, "noindex"])
    assert found == [1, 0, 0]


@pytest.mark.sqlite
def test_a_tally_reads_indexes_alone(api: Running) -> None:
    """Rows of generations hold whole texts, and those of URLs are a million."""
    statements: list[tuple[str, Any]] = []

    async def explained() -> list[str]:
        engine = api.service.database._snapshots

        def keep(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
            if statement.startswith("SELECT"):
                statements.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", keep)
        try:
            await api.service.tallies.take()
        finally:
            event.remove(engine, "before_cursor_execute", keep)
        return await api.service.database.snapshot(
            lambda connection: [
                row.detail
                for statement, parameters in statements
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
        )

    plan = api.inside(explained())
    assert [step for step in plan if "SCAN" in step and "jobs" not in step] == []
    assert any("COVERING INDEX ix_generations_state" in step for step in plan)
    assert any("ix_urls_finished" in step for step in plan)


def test_reasons_are_few() -> None:
    assert [reason_label(reason) for reason in (None, "timeout", "http_404", "http_418", "http_599")] == [
        "",
        "timeout",
        "http_404",
        "http_4xx",
        "http_5xx",
    ]


# Who may read it, and how


def test_both_formats_are_spoken(api: Running) -> None:
    response = api.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert "footnote_answers" in {family.name for family in open_metrics(response.text)}


def test_where_keys_are_needed_the_token_opens_metrics_and_nothing_else(api: Running) -> None:
    """A proxy's header makes a request one from elsewhere."""

    def status(path: str, token: str | None = None) -> int:
        headers = {"x-forwarded-for": b"192.0.2.1"} | ({"authorization": f"Bearer {token}".encode()} if token else {})
        return api.http.get(path, headers=headers).status_code

    def key(*scopes: Scope) -> str:
        return str(api.inside(api.service.keys.create(name="k", scopes=scopes))[1])

    assert status("/metrics") == 401
    assert status("/metrics", "wrong") == 401
    assert status("/metrics", "wörd") == 401
    assert status("/metrics", SECRET) == 200
    assert status("/v1/pages", SECRET) == 401
    assert status("/metrics/", SECRET) in (401, 404)
    assert status("/metrics", key(Scope.QUERY, Scope.INGEST)) == 403
    assert status("/metrics", key(Scope.ADMIN)) == 200
    with patch.object(api.service.settings.server.metrics_token, "get_secret_value", lambda: ""):
        assert status("/metrics", "") == 401


def test_two_apps_share_no_figures(api: Running, settings: Settings, fake_embedder: FakeEmbedder, empty_queue: Path) -> None:
    api.http.post("/v1/ask", json=ASK)
    with running(settings, embedder=fake_embedder, queue=empty_queue) as other:
        assert value(other, "footnote_answers_total") == 0
        assert value(other, "footnote_pages") == 0


# The dashboard and the alerts


def queries() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((ROOT / "deploy/grafana/footnote.json").read_text())
    for panel in dashboard["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if found := re.match(r"label_values\((.*), \w+\)", variable.get("definition", "")):
            yield variable["name"], found[1]
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


def selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        below = getattr(node, name, None) or []
        for one in below if isinstance(below, list) else [below]:
            yield from selectors(one)


def test_every_query_of_dashboard_and_alerts_asks_for_what_is_there(api: Running) -> None:
    api.http.post("/v1/ask", json=ASK)
    samples: dict[str, list[dict[str, str]]] = {}
    for family in families(api).values():
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels)
    asked = set()
    for title, query in queries():
        query = re.sub(r"\$__rate_interval", "5m", query).replace("$job", "a").replace("$instance", "b")
        for selector in selectors(promql_parser.parse(query)):
            if selector.name == "up":  # Prometheus' own
                continue
            asked.add(selector.name)
            assert selector.name in samples, (title, selector.name)
            for matcher in selector.matchers.matchers:
                if matcher.name in ("job", "instance"):  # put on by Prometheus
                    continue
                wanted = [labels for labels in samples[selector.name] if matcher.name in labels]
                assert wanted, (title, matcher.name)
                if matcher.op == promql_parser.MatchOp.Equal:
                    assert any(labels[matcher.name] == matcher.value for labels in wanted), (title, matcher.value)
    ours = {name for name in samples if name.startswith("footnote_") and not name.endswith("_created")}
    unseen = {re.sub("_(bucket|sum|count)$", "", name) for name in ours}
    unseen -= {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert unseen == set(), "what nobody looks at need not be measured"
