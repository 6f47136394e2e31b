"""The main job end to end on real input: crawl a real site, be killed on the way, search it, answer with footnotes that hold."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from corpus.bm25 import TantivyIndex
from corpus.datadir import DataDirectory
from corpus.store_milvus import MilvusVectorIndex
from corpus.token_vectors import SqliteTokenStore
from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.questions import Report, load, measure
from tests.acceptance.service import ServiceProcess
from tests.acceptance.sites import Served, Site, python_documentation, serve, small_site

JOB_TIMEOUT_S = 600


@dataclass
class Crawled:
    service: MortalService
    site: Site
    served: Served
    jobs: list[dict[str, Any]]
    killed: bool


@pytest.fixture(scope="module")
def crawled(forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """A site that was crawled by a service which was killed once meanwhile, the language model included. ``test_kills.py``
    kills it a hundred times, without."""
    site = python_documentation() or small_site()
    print(f"\nthe site is {site.name}")
    seed = random.randrange(2**32)
    print(f"the kill's seed is {seed}")
    service = MortalService(folder=tmp_path_factory.mktemp("spine"), forks=forks, settings={"FOOTNOTE_LLM__SLOTS": "1"})
    with serve(site.root) as served, service:
        service.start()
        crawl = {"urls": [served.url + path for path in site.crawl], "mode": "crawl", "max_pages": 200}
        ids = [service.post("/v1/ingest", crawl)["job_id"]]
        if site.pages:
            ids.append(service.post("/v1/ingest", {"urls": [served.url + path for path in site.pages]})["job_id"])
        chance = random.Random(seed)
        few = chance.randint(1, 10)  # of at least 15 pages; what is asked for next stays unanswered
        while len(served.requests) < few:
            time.sleep(0.01)
        served.gate.clear()
        time.sleep(chance.uniform(0.0, 5.0))
        killed = not all(service.get(f"/v1/jobs/{job_id}")["finished_at"] for job_id in ids)
        service.kill()
        served.gate.set()
        service.start()
        jobs = [service.wait_for_job(job_id, timeout_s=JOB_TIMEOUT_S) for job_id in ids]
        yield Crawled(service, site, served, jobs, killed)


@pytest.mark.timeout(1500)
def test_a_crawl_survives_kill_9_and_no_page_is_lost_or_twice(crawled: Crawled) -> None:
    assert crawled.killed, "the crawl ended before the kill; nothing was tested"
    for job in crawled.jobs:
        assert job["state"] == "succeeded", job
        assert job["urls"]["pending"] == 0
        assert job["urls"]["failed"] == 0, job["failures"]
    pages = all_pages(crawled.service)
    urls = [page["url"] for page in pages]
    assert len(set(urls)) == len(urls)
    folders = {path.rpartition("/")[0] for path in crawled.site.crawl}
    linked = {crawled.served.url + path for path in crawled.site.pages}
    for folder in folders:
        # every page of these folders is reachable from the start pages
        for file in (crawled.site.root / folder).glob("*.html"):
            linked.add(crawled.served.url + file.relative_to(crawled.site.root).as_posix())
    assert set(urls) == linked
    assert sum(job["urls"]["indexed"] for job in crawled.jobs) == len(pages)


@pytest.mark.timeout(900)
def test_questions_find_their_pages_and_every_footnote_holds(crawled: Crawled) -> None:
    questions = load(crawled.site.questions)
    assert sum(q.answerable for q in questions) >= 20
    assert sum(not q.answerable for q in questions) >= 5
    report: Report = measure(
        questions, site=crawled.served.url, collection="default", post=crawled.service.post, get=crawled.service.get
    )
    print(f"\n{crawled.site.name}: {report}")
    assert report.citations > 0
    assert report.false_citations == []
    assert report.found_share >= 0.85, report.missed
    assert report.refused_share >= 0.8, report.answered_wrongly


@pytest.mark.timeout(300)
def test_a_second_crawl_of_an_unchanged_site_changes_nothing(crawled: Crawled) -> None:
    before = {page["url"]: page["content_hash"] for page in all_pages(crawled.service)}
    url = crawled.served.url + crawled.site.crawl[0]
    job_id = crawled.service.post("/v1/ingest", {"urls": [url], "mode": "crawl", "max_pages": 200})["job_id"]
    job = crawled.service.wait_for_job(job_id, timeout_s=120)
    assert job["state"] == "succeeded"
    assert job["urls"]["indexed"] == 0
    assert job["urls"]["unchanged"] > 5
    assert {page["url"]: page["content_hash"] for page in all_pages(crawled.service)} == before


@pytest.mark.timeout(300)
def test_a_deleted_page_is_gone_when_delete_has_answered(crawled: Crawled) -> None:
    page = all_pages(crawled.service)[-1]
    words = crawled.service.get(f"/v1/pages/{page['id']}")["text"][:300]
    query = {"query": words, "limit": 50}
    assert page["id"] in {hit["page_id"] for hit in crawled.service.post("/v1/search", query)["hits"]}
    assert crawled.service.request("DELETE", f"/v1/pages/{page['id']}").status_code == 204
    assert page["id"] not in {hit["page_id"] for hit in crawled.service.post("/v1/search", query)["hits"]}
    assert crawled.service.request("GET", f"/v1/pages/{page['id']}").status_code == 404
    assert crawled.service.request("DELETE", f"/v1/pages/{page['id']}").status_code == 404


@pytest.mark.timeout(300)
def test_afterwards_every_index_holds_exactly_the_live_chunks(crawled: Crawled) -> None:
    assert crawled.service.stop() == -signal.SIGTERM  # ended by the signal, as service managers expect, after a clean shutdown
    assert "Traceback" not in crawled.service.log.read_text()
    directory = DataDirectory(crawled.service.data_dir)
    database = sqlite3.connect(f"file:{directory.database}?mode=ro", uri=True)
    live = {
        row[0] for row in database.execute("SELECT chunks.id FROM chunks JOIN pages ON pages.live_generation = chunks.generation")
    }
    states = dict(database.execute("SELECT state, count(*) FROM generations GROUP BY state").fetchall())
    database.close()
    assert set(states) == {"live"}
    vectors = MilvusVectorIndex(uri=str(directory.vectors), dimension=384)
    lexical = TantivyIndex(path=directory.lexical)
    tokens = SqliteTokenStore(path=directory.tokens)
    try:
        assert vectors.present(sorted(live)) == live
        assert lexical.present(sorted(live)) == live
        assert vectors.count() == lexical.count() == tokens.count() == len(live)
    finally:
        vectors.close()
        lexical.close()
        tokens.close()


def all_pages(service: ServiceProcess) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    after = ""
    while True:
        found = service.get("/v1/pages?limit=1000" + after)
        pages += found["pages"]
        if found["next"] is None:
            return pages
        after = f"&after={found['next']}"
