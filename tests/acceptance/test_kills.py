"""kill -9 at random moments and between every two steps of ingest: what was acknowledged is there, once, and the jobs end.

A client changes a site, has it crawled, and deletes pages, while the service is killed at one point after the other (the
table in ``armed.py``), each time resuming what the last one left. After each death the database is held against what the
client was told; when all is quiet, the indexes too.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.armed import FIRST_START, POINTS, Arm, arms, find
from tests.acceptance.changing_site import ChangingSite
from tests.acceptance.ledger import Ledger, check_closed_indexes
from tests.acceptance.mortal import Died, ForkServer, MortalService

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")

LEAST_KILLS = 100
LEAST_RANDOM_KILLS = 15
REACHED_WITHIN_S = 60.0
JOB_POLL_S = 0.03
SETTINGS = {
    "FOOTNOTE_LLM__ENGINE": "none",
    "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    "FOOTNOTE_INGEST__DELAY_S": "0",
    "FOOTNOTE_SERVER__PORT": "0",
}
FINAL = ("succeeded", "failed", "cancelled")


@dataclass
class Client:
    """Somebody who keeps a site indexed. One job at a time, so that what may be live stays known."""

    service: MortalService
    site: ChangingSite
    ledger: Ledger
    chance: random.Random
    known_jobs: set[str] = field(default_factory=set)
    # What was asked and not answered yet: a job's expected outcomes, and the job's id once that was told.
    expected: dict[str, set[str]] = field(default_factory=dict)
    open_job: str | None = None
    section: int = 0

    def work(self, *, needs: str = "") -> None:
        """Bring to its end what is open; else a change, a crawl and a deletion. Raises: Died."""
        self.find_open_job()
        if self.open_job is None:
            self.change_section(needs=needs)
            job = self.service.post("/v1/ingest", {"urls": [self.site.url + self.site.paths(self.section)[0]], "mode": "crawl"})
            self.open_job = job["job_id"]
        self.follow()
        self.delete_one()

    def find_open_job(self) -> None:
        """A job whose acknowledgement was lost may exist or not. Every other one must be known."""
        jobs = {job["id"]: job for job in self.service.get("/v1/jobs?limit=200")["jobs"]}
        strangers = set(jobs) - self.known_jobs - {self.open_job}
        assert len(strangers) <= 1, "jobs that nobody submitted"
        if strangers:
            assert self.open_job is None
            assert self.expected, "a job that nobody submitted"
            self.open_job = strangers.pop()
        assert self.open_job is None or self.open_job in jobs, "an acknowledged job is lost"

    def change_section(self, *, needs: str) -> None:
        """The next section's pages: some new, one gone, one that nothing links to any more, what was so before is back."""
        self.section = (self.section + 1) % self.site.sections
        index, *pages = self.site.paths(self.section)
        gone, unlisted, *rest = self.chance.sample(pages, k=len(pages))
        self.site.unlist(index, {unlisted})
        for page in rest[::2]:
            self.site.change(page)
        for page in pages:
            if self.site.revisions[page] is None:
                self.site.change(page)
        self.site.revisions[gone] = None
        if needs == "failure":
            self.site.failing[rest[0]] = 1
        self.expected = {}
        for path in (index, *pages):
            target = None if path == unlisted else self.site.revisions[path]
            before = self.ledger.possible.get(path, {None})
            outcomes = {"unchanged" if version == target else "indexed" for version in before}
            if path != unlisted:
                self.expected[path] = {"failed"} if target is None else outcomes
            self.ledger.expect(path, target)

    def follow(self) -> None:
        """Take in the job's outcomes as they come, until it has ended."""
        give_up_at = time.monotonic() + REACHED_WITHIN_S
        while True:
            job = self.service.get(f"/v1/jobs/{self.open_job}")
            outcomes = self.service.get(f"/v1/jobs/{self.open_job}/urls?limit=1000")["urls"]
            seen = [urlsplit(outcome["url"]).path for outcome in outcomes]
            assert len(set(seen)) == len(seen)
            for path, outcome in zip(seen, outcomes, strict=True):
                if outcome["state"] != "pending":
                    assert outcome["state"] in self.expected[path], (path, outcome, self.expected[path])
                    self.ledger.told(path, self.site.revisions[path])
            if job["state"] in FINAL:
                break
            assert time.monotonic() < give_up_at, f"the job doesn't end: {job}\n{self.service.tail()}"
            time.sleep(JOB_POLL_S)
        assert job["state"] == "succeeded", job
        assert set(seen) == set(self.expected), "not all URLs of the section were visited"
        assert not any(outcome["state"] == "pending" for outcome in outcomes)
        for path in self.site.unlisted & set(self.site.paths(self.section)):
            self.ledger.told(path, None)
        assert self.open_job is not None
        self.known_jobs.add(self.open_job)
        self.open_job, self.expected = None, {}

    def delete_one(self) -> None:
        pages = self.service.get(f"/v1/pages?limit=1000&url_prefix={self.site.url}/s{self.section}/")["pages"]
        page = self.chance.choice(pages)
        path = urlsplit(page["url"]).path
        self.ledger.expect(path, None)
        assert self.service.request("DELETE", f"/v1/pages/{page['id']}").status_code == 204
        self.ledger.told(path, None)

    def verify(self) -> None:
        """The service's own comparison of database and indexes, Milvus included; also while a job that it resumed is at work."""
        report = self.service.post("/v1/verify", {})
        assert report["clean"], report

    def until_dead(self, *, needs: str = "") -> None:
        """Keep the service at work until it is killed."""
        give_up_at = time.monotonic() + REACHED_WITHIN_S
        try:
            self.service.ready()
            self.verify()
            while time.monotonic() < give_up_at:
                self.work(needs=needs)
        except Died:
            return
        pytest.fail(f"not reached:\n{self.service.tail()}")


def test_each_point_names_a_function_that_is_there() -> None:
    for point in (*POINTS, *FIRST_START):
        find(point.function)


def test_a_point_that_names_nothing_is_found_out() -> None:
    for function in ("corpus.jobs:Jobs.nothing", "corpus.nothing:f", "corpus.database:Database.write", "corpus.jobs:QUEUE"):
        with pytest.raises((AttributeError, ImportError, TypeError)):
            find(function)


@pytest.mark.timeout(900)
def test_what_was_acknowledged_survives_every_kill(forks: ForkServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("KILLS_SEED", random.randrange(2**32)))
    print(f"\nthe seed is {seed} (KILLS_SEED={seed} repeats it; random moments repeat only roughly)")
    chance = random.Random(seed)
    site = ChangingSite(sections=6, pages=6)
    armed = list(arms(POINTS))
    kills, began = 0, time.monotonic()
    with site.on_the_air(), MortalService(folder=tmp_path, forks=forks, settings=SETTINGS) as service:
        client = Client(service, site, Ledger(site), chance)
        service.start()
        start_s = time.monotonic() - began
        client.work()
        client.ledger.check(service.data_dir, at_rest=True)
        service.kill()
        kills += 1

        for arm in armed:
            service.begin(arm)
            client.until_dead(needs=arm.needs)
            _killed_by(service, arm)
            client.ledger.check(service.data_dir, at_rest=False)
            kills += 1

        for _ in range(max(LEAST_RANDOM_KILLS, LEAST_KILLS - kills)):
            service.begin()
            killer = _kill_later(service, chance.uniform(0.1, 2.5 * start_s))
            client.until_dead()
            killer.join()
            assert service.wait(timeout_s=10) == -signal.SIGKILL, service.tail()
            client.ledger.check(service.data_dir, at_rest=False)
            kills += 1

        service.start()
        for _ in range(site.sections):
            client.work()
            client.verify()
            client.ledger.check(service.data_dir, at_rest=True)
        assert service.stop() == -signal.SIGTERM, service.tail()
        chunks = check_closed_indexes(service.data_dir)
        log = service.log.read_text(errors="replace")
    took_s = time.monotonic() - began
    print(f"{kills} kills, {len(armed)} of them armed; {took_s:.0f} s, {took_s / kills:.2f} s a kill; {chunks} chunks at the end")
    assert kills >= LEAST_KILLS
    assert "the indexes lack chunks" not in log, "a kill has lost chunks that were live"
    assert " ERROR " not in log  # a process that parses may well say that the one which was starting it is gone
    assert _soon_none(forks), "processes of killed services go on"


@pytest.mark.timeout(300)
def test_a_first_start_that_is_killed_again_and_again_ends_well(forks: ForkServer, tmp_path: Path) -> None:
    site = ChangingSite(sections=1, pages=4)
    with site.on_the_air(), MortalService(folder=tmp_path, forks=forks, settings=SETTINGS) as service:
        for arm in arms(FIRST_START):
            service.begin(arm)
            try:
                service.ready()
                assert service.ended(within_s=5), f"not reached: {arm}"
            except Died:
                pass
            _killed_by(service, arm)
        service.start()
        client = Client(service, site, Ledger(site), random.Random(1))
        client.work()
        client.ledger.check(service.data_dir, at_rest=True)
        assert service.stop() == -signal.SIGTERM, service.tail()
        assert check_closed_indexes(service.data_dir) > 0
        assert " ERROR " not in service.log.read_text(errors="replace")


def test_a_kill_that_did_not_happen_is_noticed(forks: ForkServer, tmp_path: Path) -> None:
    with MortalService(folder=tmp_path, forks=forks, settings=SETTINGS) as service:
        arm = Arm("corpus.pages:Pages.delete", "before", 1)
        service.begin(arm)
        service.ready()
        service.kill()
        with pytest.raises(AssertionError, match="wasn't reached"):
            _killed_by(service, arm)


def _killed_by(service: MortalService, arm: Arm) -> None:
    status = service.wait(timeout_s=30)
    assert status == -signal.SIGKILL, f"{arm}: ended with {status}\n{service.tail()}"
    hits = service.hits.read_text().splitlines() if service.hits.exists() else []
    assert hits == [str(arm)], f"{arm} wasn't reached"


def _kill_later(service: MortalService, delay_s: float) -> threading.Timer:
    timer = threading.Timer(delay_s, os.kill, (service.pid, signal.SIGKILL))
    timer.start()
    return timer


def _soon_none(forks: ForkServer) -> bool:
    """Whether what dead services left behind, such as the processes that parse, ends by itself."""
    for _ in range(100):
        if not forks.left_behind():
            return True
        time.sleep(0.1)
    return False
