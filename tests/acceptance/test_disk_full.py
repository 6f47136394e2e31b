"""A disk that runs full in the middle of a crawl: nothing is lost, reading goes on, and the crawl resumes by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.service import ServiceProcess
from tests.acceptance.sites import serve, small_site
from tests.acceptance.test_spine import all_pages

DISK_BYTES = 180_000_000
SPARE_BYTES = 300_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.timeout(400)
def test_a_full_disk_stops_nothing_but_the_crawl_and_that_only_for_a_while(forks: ForkServer, small_disk: Path) -> None:
    site = small_site()
    settings = {"FOOTNOTE_LLM__ENGINE": "none"}
    with serve(site.root) as served, MortalService(folder=small_disk, forks=forks, settings=settings) as service:
        service.start()
        first = service.post("/v1/ingest", {"urls": [served.url + "index.html"]})["job_id"]
        assert service.wait_for_job(first, timeout_s=120)["state"] == "succeeded"

        filler = small_disk / "filler"
        _fill(filler, leave_bytes=SPARE_BYTES)
        refused = service.request("POST", "/v1/ingest", {"urls": [served.url + "index.html"], "mode": "crawl"})
        if refused.is_success:
            job_id = refused.json()["job_id"]
            _wait_until_told(service)
        else:
            assert refused.status_code == 507, refused.text
            assert "full" in refused.json()["detail"]
        assert service.post("/v1/search", {"query": "backup"})["hits"], "searching must go on"

        filler.unlink()
        if not refused.is_success:
            job_id = service.post("/v1/ingest", {"urls": [served.url + "index.html"], "mode": "crawl"})["job_id"]
        job = service.wait_for_job(job_id, timeout_s=200)
        assert job["state"] == "succeeded", job
        assert job["error"] is None
        assert job["urls"]["failed"] == 0, job["failures"]
        assert len(all_pages(service)) == len(list(site.root.glob("*.html")))


def _fill(path: Path, *, leave_bytes: int) -> None:
    free = os.statvfs(path.parent)
    wanted = free.f_bavail * free.f_frsize - leave_bytes
    with path.open("wb") as file:
        block = b"\0" * (1 << 20)
        while wanted > 0:
            wanted -= file.write(block[: min(len(block), wanted)])


def _wait_until_told(service: ServiceProcess) -> None:
    """The log says what is wrong and what to do, even where the database has no room for it."""
    give_up_at = time.monotonic() + 90
    while "is full" not in service.log.read_text(errors="replace"):
        assert time.monotonic() < give_up_at, service.tail()
        time.sleep(0.5)
