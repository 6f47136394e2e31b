"""kill -9 between the steps of a reindex, in the real service with its worker: one index is always whole, the old or the new.

The service begins with a small embedder, is reindexed to another again and again, and killed at one point after the other. After
each death it starts, answers, and verifies; the same request takes the reindex up again, and ingest goes on with what is then in
use.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.armed import Arm
from tests.acceptance.mortal import Died, ForkServer, MortalService
from tests.acceptance.sites import HERE, serve
from tests.tiny_models import make_embedder

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")

KILLS = (
    Arm("corpus.reindexing:Reindexer._cut", "after", 1),
    Arm("corpus.store:ChunkIndex.write", "before", 1),
    Arm("app.companions:Companions.stop", "after", 1),
    Arm("corpus.reindexing:Reindexer.switch", "after", 1),
)
FINAL = ("succeeded", "failed", "cancelled")
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def embedders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(make_embedder(folder / "one", dimension=64)), str(make_embedder(folder / "two", dimension=32))]


def reindex(service: MortalService, embedder: str) -> dict[str, Any]:
    """Ask for it, and wait until the new index is in use. Raises: Died."""
    if service.get("/readyz")["embedder"] != Path(embedder).name:
        response = service.request("POST", "/v1/reindex", {"embedder": embedder})
        assert response.status_code == 202, response.text
    give_up_at = time.monotonic() + WITHIN_S
    while (status := service.get("/v1/reindex"))["step"] not in (None, "clear"):
        assert status["state"] == "running", status
        assert service.get("/v1/pages")["pages"]
        assert service.post("/v1/search", {"query": "restore", "limit": 3})["hits"]
        assert time.monotonic() < give_up_at, status
        time.sleep(0.05)
    return status


def ingest(service: MortalService, url: str) -> dict[str, Any]:
    job = service.post("/v1/ingest", {"urls": [url], "mode": "page"})["job_id"]
    give_up_at = time.monotonic() + WITHIN_S
    while (found := service.get(f"/v1/jobs/{job}"))["state"] not in FINAL:
        assert time.monotonic() < give_up_at, found
        time.sleep(0.05)
    assert found["state"] == "succeeded", found
    return found


def test_there_is_always_one_whole_index(tmp_path: Path, forks: ForkServer, embedders: list[str]) -> None:
    pages = sorted((HERE / "small_site").glob("*.html"))
    settings = {
        "FOOTNOTE_LLM__ENGINE": "none",
        "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
        "FOOTNOTE_INGEST__DELAY_S": "0",
        "FOOTNOTE_SERVER__PORT": "0",
    }
    first, second = embedders
    with serve(HERE / "small_site") as site, MortalService(folder=tmp_path, forks=forks, settings=settings) as service:
        urls = [f"{site.url}{page.name}" for page in pages]
        service.start()
        ingest(service, urls[0])
        reindex(service, first)
        service.stop()
        aim, was = second, first
        for kill in KILLS:
            service.begin(kill)
            service.ready()
            with pytest.raises(Died):  # noqa: PT012
                reindex(service, aim)
                pytest.fail(f"{kill} was not reached")
            assert str(kill) in service.hits.read_text()
            service.start()
            in_use = service.get("/readyz")["embedder"]
            assert in_use in (Path(aim).name, Path(was).name)
            if kill.function.endswith("switch"):
                assert in_use == Path(aim).name
            assert service.post("/v1/search", {"query": "restore", "limit": 3})["hits"]
            assert service.post("/v1/verify", {})["clean"]
            reindex(service, aim)
            assert service.get("/readyz")["embedder"] == Path(aim).name
            assert ingest(service, urls[1 + KILLS.index(kill) % (len(urls) - 1)])
            assert service.post("/v1/verify", {})["clean"]
            service.stop()
            aim, was = was, aim
