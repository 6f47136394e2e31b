"""Two services and three workers on one PostgreSQL and one index server, some of which die: nothing is lost, nothing done twice.

The index server is `milvus-lite server`, which speaks Milvus' protocol; it takes one call at a time here, for its engine bears
one writer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.stack import Stack, WatchedSite, running_stack
from tests.milvus import lite_server
from tests.postgres import PostgresServer

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")

PAGES = 60
DELAY_S = 0.15
RETRY_AFTER_S = 1
SHARED_BATCH = 8  # URLs that a worker may have claimed when it dies
SETTINGS = {
    "FOOTNOTE_LLM__ENGINE": "none",
    "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    "FOOTNOTE_INGEST__DELAY_S": str(DELAY_S),
    "FOOTNOTE_SERVER__PORT": "0",
    "FOOTNOTE_DATABASE__PROCESS_TIMEOUT_S": "6",
}


@pytest.fixture(scope="module")
def site() -> Iterator[WatchedSite]:
    site = WatchedSite(sections=1, pages=PAGES, words=(60, 40), retry_after_s=RETRY_AFTER_S)
    with site.on_the_air():
        yield site


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, postgres: PostgresServer) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with (
        lite_server() as index,
        running_stack(
            folder,
            forks=forks,
            database=postgres.fresh_database(),
            index=index,
            settings=SETTINGS,
            services=2,
            workers=3,
        ) as stack,
    ):
        yield stack


def search(service: MortalService, query: str) -> list[str]:
    response = service.request("POST", "/v1/search", {"query": query, "limit": 5})
    assert response.status_code == 200, response.text
    return [hit["url"] for hit in response.json()["hits"]]


def is_answering(service: MortalService) -> bool:
    return service.request("POST", "/v1/search", {"query": "anything"}).status_code == 200


def title(path: str) -> str:
    return f"About {path}"


def test_a_crawl_is_shared_and_outlives_a_worker_and_the_index_server(stack: Stack, site: WatchedSite) -> None:
    one, two = stack.services
    index, *pages = site.paths(0)
    slow = pages[10]
    site.failing[slow] = 1
    job = one.post("/v1/ingest", {"urls": [site.url + index], "mode": "crawl"})["job_id"]

    stack.until(lambda: len(stack.writers()) >= 2, what="two workers have written pages")
    victim = stack.owner(job)
    victim.kill()
    dead = victim.process_id
    killed_after = len(site.visits)

    stack.index.stop()
    give_up_at = time.monotonic() + 3
    refused = []
    while time.monotonic() < give_up_at:
        for service in (one, two):
            response = service.request("POST", "/v1/search", {"query": title(pages[0])})
            refused.append((response.status_code, "retry-after" in response.headers))
        time.sleep(0.2)
    assert set(refused) == {(503, True)}
    stack.index.start()

    done = two.wait_for_job(job, timeout_s=120)
    assert done["state"] == "succeeded", (done, stack.tails())
    assert (done["urls"]["indexed"], sum(done["urls"].values())) == (PAGES + 1, PAGES + 1), done
    assert killed_after < PAGES, "it was killed too late to prove anything"
    assert len(stack.writers() - {dead}) >= 2
    stack.until(lambda: stack.ask("SELECT 1 FROM processes WHERE id = %s", dead) == [], what="the dead worker is buried")

    visits = Counter(site.visits)
    assert set(visits) == {index, *pages}
    # Once each, and once more where the visit failed or its worker or the index server died before it was written down.
    assert sum(visits.values()) <= PAGES + 1 + 1 + SHARED_BATCH * 2 * len(stack.workers)
    assert site.most_at_once == 1
    begun = [start for _, start, _, _ in site.log]
    assert max(begun) - min(begun) >= DELAY_S * (len(begun) - 1) * 0.95
    [asked_to_wait] = [end for _, _, end, code in site.log if code == 503]
    assert min(start for start in begun if start > asked_to_wait) >= asked_to_wait + RETRY_AFTER_S

    listed = two.get(f"/v1/pages?collection=default&limit={PAGES + 10}")["pages"]
    assert sorted(page["url"] for page in listed) == sorted(site.url + path for path in (index, *pages))
    report = one.post("/v1/verify", {"repair": False})
    assert report["clean"] is True, report


def test_what_is_deleted_or_revoked_through_one_service_is_gone_from_the_other(stack: Stack, site: WatchedSite) -> None:
    one, two = stack.services
    path = site.paths(0)[5]
    for service in (one, two):
        # The first to ask after an outage may be told once more to come back.
        stack.until(lambda asked=service: is_answering(asked), what="searches are answered again")  # type: ignore[misc]
        assert search(service, title(path))[0] == site.url + path
    [page] = one.get(f"/v1/pages?collection=default&url={site.url + path}")["pages"]
    assert one.request("DELETE", f"/v1/pages/{page['id']}").is_success
    for service in (two, one):
        assert site.url + path not in search(service, title(path))
        assert service.request("GET", f"/v1/pages/{page['id']}").status_code == 404
    answer = two.post("/v1/ask", {"question": f"What is {title(path)}?"})
    # The index page may be quoted, which still links to it.
    assert not [cited for cited in answer.get("citations") or () if cited["url"].startswith(site.url + path)]
    assert two.post("/v1/verify", {"repair": False})["clean"] is True

    key = one.post("/v1/keys", {"name": "shared", "scopes": ["query"]})
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert two.get_with(headers, "/v1/collections").status_code == 200
    assert one.request("DELETE", f"/v1/keys/{key['id']}").is_success
    assert two.get_with(headers, "/v1/collections").status_code == 401


def test_an_index_is_not_made_anew_under_processes_that_use_it(stack: Stack) -> None:
    refused = stack.services[0].request("POST", "/v1/reindex", {"chunk_max_tokens": 100})
    assert refused.status_code == 409
    assert "Other processes use this index" in refused.json()["detail"]


def test_a_schedule_fires_once_though_several_workers_watch_it(stack: Stack) -> None:
    one, _ = stack.services
    before = {job["id"] for job in one.get("/v1/jobs")["jobs"]}
    stack.ask("UPDATE sources SET every_s = 86400, next_at = now() - interval '1 hour'")
    stack.until(lambda: len(one.get("/v1/jobs")["jobs"]) > len(before), what="the schedule has fired")
    [job] = {job["id"] for job in one.get("/v1/jobs")["jobs"]} - before
    done = one.wait_for_job(job, timeout_s=120)
    assert done["state"] == "succeeded", done
    assert {job["id"] for job in one.get("/v1/jobs")["jobs"]} == before | {job}


def test_workers_and_services_stop_when_told_to_and_sign_off(stack: Stack) -> None:
    living = [process for process in (*stack.services, *stack.workers) if process.alive]
    assert len(living) == 4
    for process in living:
        assert process.stop() in (0, -15), process.tail()
    assert stack.ask("SELECT id FROM processes") == []
