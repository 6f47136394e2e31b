"""A site of over a thousand pages in one run: crawled, crawled again unchanged, changed, partly deleted, verified."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from corpus.datadir import DataDirectory
from ingest.extract.document import extract
from tests.acceptance.large_site import LargeSite, by_rule, documentation
from tests.acceptance.ledger import check_closed_indexes
from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.test_kills import SETTINGS

PAGES = 1_030
CHANGED, GONE, DELISTED = 30, 20, 20
NEWS = "<p>A sentence that was not here before: the harbour master of page {number} keeps {number} brass sextants.</p>"


@pytest.fixture
def service(forks: ForkServer, tmp_path: Path) -> Iterator[MortalService]:
    with MortalService(folder=tmp_path, forks=forks, settings=SETTINGS) as service:
        service.start()
        yield service


@pytest.mark.timeout(900)
def test_a_large_site_is_kept_as_it_is(service: MortalService) -> None:
    site = documentation(PAGES) or by_rule(PAGES)
    with site.on_the_air():
        first, first_s, embedded = _crawl(service, site)
        live = _live(service)
        duplicates = first["urls"]["skipped"] - 1  # one is the sitemap
        print(f"\n{site.name}: {len(live)} pages, {duplicates} of the same text as others, {embedded} chunks")
        print(f"first crawl: {first_s:.0f} s, {len(site.listed) / first_s:.0f} pages/s")
        assert first["urls"]["failed"] == first["urls"]["pending"] == 0, first["failures"]
        assert first["urls"]["indexed"] == len(live) == len(site.listed) - duplicates
        assert len(site.listed) > 1_000
        assert duplicates < 0.1 * PAGES
        _check_texts(service, site, live)

        second, second_s, embedded = _crawl(service, site)
        print(f"second crawl, unchanged: {second_s:.1f} s, {len(site.listed) / second_s:.0f} pages/s, {embedded} embeddings")
        assert embedded == 0
        assert second["urls"]["indexed"] == 0
        assert second["urls"]["unchanged"] == len(live)
        assert _live(service) == live

        known = _embedded_texts(service)
        paths = sorted(live)
        changed, gone = paths[10 : 10 + CHANGED], paths[50 : 50 + GONE]
        delisted = paths[80 : 80 + DELISTED]
        for number, path in enumerate(changed):
            head, end, rest = site.pages[path].rpartition(b"</p>")
            site.pages[path] = head + end + NEWS.format(number=number).encode() + rest
        for path in gone:
            del site.pages[path]
        site.listed = [path for path in site.listed if path not in delisted]
        third, third_s, embedded = _crawl(service, site)
        new_texts = _embedded_texts(service) - known
        print(f"third crawl, after changes: {third_s:.1f} s, {embedded} embeddings for {len(new_texts)} changed chunks")
        assert third["urls"]["indexed"] == CHANGED
        assert third["urls"]["failed"] == GONE
        assert embedded == len(new_texts)
        after = _live(service)
        assert set(after) == set(live) - set(gone) - set(delisted)
        assert {path for path in after if after[path] != live[path]} == set(changed)
        _check_texts(service, site, after)
        hits = service.post("/v1/search", {"query": "harbour master brass sextants", "limit": 50})["hits"]
        assert {urlsplit(hit["url"]).path for hit in hits[:5]} <= set(changed)

        report = service.post("/v1/verify", {})
        assert report["clean"], report
        assert report["pages"] == len(after)
    assert service.stop() == -signal.SIGTERM, service.tail()
    assert check_closed_indexes(service.data_dir) == report["chunks"]
    assert "Traceback" not in service.log.read_text(errors="replace")


def _crawl(service: MortalService, site: LargeSite) -> tuple[dict[str, Any], float, int]:
    """The job, how long it took, and how many embeddings it made."""
    before, began = service.embedded, time.monotonic()
    submitted = service.post("/v1/ingest", {"urls": [f"{site.url}/sitemap.xml"], "mode": "sitemap", "max_pages": 5_000})
    job = service.wait_for_job(submitted["job_id"], timeout_s=600)
    assert job["state"] == "succeeded", job
    return job, time.monotonic() - began, service.embedded - before


def _live(service: MortalService) -> dict[str, str]:
    """Content hashes by path."""
    live: dict[str, str] = {}
    after = ""
    while True:
        found = service.get(f"/v1/pages?limit=1000{after}")
        live |= {urlsplit(page["url"]).path: page["content_hash"] for page in found["pages"]}
        if found["next"] is None:
            return live
        after = f"&after={found['next']}"


def _check_texts(service: MortalService, site: LargeSite, live: dict[str, str]) -> None:
    """Every twentieth page is stored as it is served."""
    for path in sorted(live)[::20]:
        page = extract(site.pages[path], url=site.url + path, content_type="text/html", charset=None).page
        assert page.content_hash == live[path], path


def _embedded_texts(service: MortalService) -> set[str]:
    database = sqlite3.connect(f"file:{DataDirectory(service.data_dir).database}?mode=ro", uri=True)
    texts = {row[0] for row in database.execute("SELECT embed_text FROM chunks")}
    database.close()
    return texts
