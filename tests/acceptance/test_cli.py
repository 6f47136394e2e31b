"""The command line against a real service and a real site, as a person at a terminal uses them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

START_TIMEOUT_S = 150.0
PAGES = {
    "index.html": "<p>Welcome to the handbook of the lighthouse.</p><ul><li><a href='lamp.html'>The lamp</a></li>"
    "<li><a href='keeper.html'>The keeper</a></li><li><a href='gone.html'>Gone</a></li></ul>",
    "lamp.html": "<h1>The lamp</h1><p>The lamp of the lighthouse burns whale oil, two litres in every hour of the night.</p>"
    "<p>Its light is seen at a distance of thirty kilometres in clear weather.</p>",
    "keeper.html": "<h1>The keeper</h1><p>The keeper winds the clockwork of the lamp every four hours, by day and by night.</p>"
    "<p>She has lived on the rock since the year 1871.</p>",
}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    for name, body in PAGES.items():
        title = name.removesuffix(".html").title()
        (folder / name).write_text(f"<html lang='en'><head><title>{title}</title></head><body><main>{body}</main></body></html>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    given = {
        "FOOTNOTE_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
        "FOOTNOTE_INGEST__DELAY_S": "0",
        "FOOTNOTE_LLM__ENGINE": "none",
        "FOOTNOTE_SERVER__PORT": "0",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")} | given


class Cli:
    """Runs ``footnote`` as a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "footnote", *args],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self.run(*args, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def service(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "footnote", "serve"], env=environment, stderr=stderr, stdin=subprocess.DEVNULL
        )
    announced = Path(environment["FOOTNOTE_DATA_DIR"]) / "service.json"
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while not announced.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.2)
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said
    assert "Ready in " in said
    assert not announced.exists()


@pytest.fixture(scope="module")
def cli(service: subprocess.Popen[bytes], environment: dict[str, str]) -> Cli:
    return Cli(environment)


@pytest.fixture(scope="module")
def crawled(cli: Cli, site: str) -> dict[str, Any]:
    job: dict[str, Any] = cli.json("ingest", site, "--crawl")
    return job


def test_a_crawl_indexes_what_is_there_and_names_what_is_not(crawled: dict[str, Any], site: str) -> None:
    assert crawled["state"] == "succeeded"
    assert crawled["urls"] == {"pending": 0, "indexed": 3, "unchanged": 0, "skipped": 0, "failed": 1}
    assert [failure["url"] for failure in crawled["failures"]] == [f"{site}gone.html"]


def test_an_answer_quotes_the_page(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    answer = cli.json("ask", "What does the lamp of the lighthouse burn?")
    assert answer["state"] == "quoted"
    assert "whale oil" in answer["citations"][0]["quote"]
    said = cli.run("ask", "What does the lamp of the lighthouse burn?").stdout
    assert f"{site}lamp.html" in said
    assert "[1]" in said
    assert "\x1b" not in said


def test_an_abstention_is_an_answer(cli: Cli, crawled: dict[str, Any]) -> None:
    assert "Nearest pages:" in cli.run("ask", "Which enzyme unwinds the DNA double helix?").stdout


def test_search_and_lists(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    found = cli.json("search", "whale oil", "--mode", "lexical", "--explain", "--limit", "1")
    assert found["hits"][0]["url"] == f"{site}lamp.html"
    assert "lexical" in found["hits"][0]["stages"]
    assert cli.run("search", "whale oil", "--explain").stdout.startswith("1. ")
    assert cli.json("collections")["collections"][0]["pages"] == 3
    assert [page["url"] for page in cli.json("pages", "--limit", "2")["pages"]] == [site, f"{site}keeper.html"]
    assert "whale oil" in cli.json("pages", "show", f"{site}lamp.html")["text"]
    assert cli.run("jobs").stdout.count("\n") >= 2


def test_ones_own_questions_are_measured_on_the_running_service(
    cli: Cli, crawled: dict[str, Any], site: str, tmp_path: Path
) -> None:
    rows = [f"What does the lamp burn?,{site}lamp.html#oil", f"Who winds the clockwork?,{site}nowhere.html; {site}keeper.html"]
    questions = tmp_path / "mine.csv"
    questions.write_text("question,expected_url\n" + "\n".join(rows))
    before = cli.json("pages")
    done = cli.run("eval", "retrieval", "--questions", str(questions), "--json", "-", "--html", str(tmp_path / "mine.html"))
    body = json.loads(done.stdout)
    [one] = body["sets"]
    assert [configuration["name"] for configuration in one["configurations"]] == ["bm25", "dense", "rrf", "convex", "maxsim"]
    assert body["left_out"].keys() == {"rank-bm25", "cross-encoder"}
    assert one["expected_urls_not_indexed"] == [f"{site}nowhere.html"]
    default = one["configurations"][-1]
    assert default["measures"]["mrr@10"]["mean"] == 1.0
    assert default["measures"]["recall@10"]["mean"] == 0.75  # a page that isn't indexed counts as not found
    assert "rerank" in default["stages_ms"]
    assert "nowhere.html" in (tmp_path / "mine.html").read_text()
    assert cli.json("pages") == before
    refused = cli.run("eval", "retrieval", "--questions", str(tmp_path / "other.csv"), code=2)
    assert "There is no file" in refused.stderr


def test_damage_done_by_hand_is_found_and_mended(cli: Cli, crawled: dict[str, Any]) -> None:
    assert cli.run("verify").stdout.startswith("Clean: 3 pages, ")
    tokens = Path(cli.environment["FOOTNOTE_DATA_DIR"]) / "tokens.sqlite"
    with closing(sqlite3.connect(tokens)) as connection:
        connection.execute("DELETE FROM tokens WHERE id = (SELECT min(id) FROM tokens)")
        connection.execute("INSERT INTO tokens VALUES ('abad1dea', 0, x'', x'')")
        connection.commit()
    found = cli.json("verify", code=1)
    assert (found["counts"], found["mended"]) == ({"missing_in_index": 1, "orphan_in_index": 1}, 0)
    assert "all mended" in cli.run("verify", "--repair", code=1).stdout
    assert cli.json("verify")["clean"] is True
    assert cli.run("pages", "log", cli.json("pages", "--limit", "1")["pages"][0]["url"]).stdout.count("indexed") == 1


def test_an_ingest_that_indexes_nothing_fails(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    done = cli.run("ingest", f"{site}nowhere.html", code=1)
    assert f"{site}nowhere.html" in done.stdout


def test_a_dry_run_shows_what_would_be_fetched(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    told = cli.run("ingest", site, "--crawl", "--dry-run", "--exclude", "*/keeper*").stdout
    assert f"would_check\t{site}lamp.html\t" in told
    assert f"excluded\t{site}keeper.html\t" in told
    assert len(cli.json("pages")["pages"]) == 3
    refused = cli.json("ingest", "http://169.254.169.254/", "--dry-run", code=1)
    assert refused["found_urls"][0]["reason"] == "forbidden_address"


def test_a_detached_job_is_watched(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    job_id = cli.run("ingest", f"{site}lamp.html", "--detach").stdout.strip()
    assert cli.json("jobs", "watch", job_id)["urls"]["unchanged"] == 1
    assert cli.json("jobs", "show", job_id)["state"] == "succeeded"
    assert "has ended already" in cli.run("jobs", "cancel", job_id, code=1).stderr


def test_what_is_unknown_fails_with_a_message(cli: Cli) -> None:
    for args in (
        ["jobs", "show", "nope"],
        ["pages", "show", "nope"],
        ["pages", "show", "http://nope/"],
        ["ask", "x", "-c", "nope"],
    ):
        assert cli.run(*args, code=1).stderr.startswith("Error: ")


def test_a_second_service_on_the_same_data_is_refused(cli: Cli) -> None:
    assert "in use by another Footnote" in cli.run("serve", code=1).stderr


def test_doctor_finds_the_service(cli: Cli, crawled: dict[str, Any]) -> None:
    findings = {finding["name"]: finding for finding in cli.json("doctor")["findings"]}
    assert "ready" in findings["service"]["found"]
    assert findings["index"]["found"].startswith("3 pages")


def test_a_reader_that_leaves_early_is_no_error(cli: Cli, crawled: dict[str, Any]) -> None:
    script = f"{sys.executable} -m footnote search lamp --json | head -c 1"
    done = subprocess.run(["bash", "-c", script], env=cli.environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


def test_zz_deleted_pages_are_gone(cli: Cli, crawled: dict[str, Any], site: str) -> None:
    """Last in the file, as the others read the page."""
    assert cli.json("delete", f"{site}lamp.html", "--yes")["deleted"][0]["url"] == f"{site}lamp.html"
    assert "is not indexed" in cli.run("delete", f"{site}lamp.html", "--yes", code=1).stderr
    assert "whale oil" not in cli.run("search", "whale oil").stdout
