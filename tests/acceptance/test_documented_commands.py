"""Every command in README.md and docs/ is run as it stands there, against a real service and a real site; what can't be run here
is named below with the reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk import environment_variables

from corpus.settings import Settings
from tests.acceptance.documented import CHECKOUT, Block, blocks
from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.sites import serve

TIMEOUT_S = 120
# First words of commands that this machine can't run, or that another test runs.
ELSEWHERE = {
    "footnote serve": "runs until it is stopped: test_cli.py",
    "footnote worker": "runs until it is stopped: test_lone_worker.py",
    "footnote mcp": "talks to a client over stdin: test_mcp.py",
    "footnote eval": "takes a test set: test_eval_retrieval.py",
    "footnote models": "fetches from a hub: test_models_pull.py",
    "footnote reindex": "takes another embedder: test_reindex.py",
    "llama-server": "somebody else's server",
    "vllm": "somebody else's server, and a GPU",
    "ollama": "somebody else's server",
    "docker": "needs a Docker engine",
    "pip": "installs from the network",
    "footnote restore": "wants another data directory: test_backup.py",
    "python -m bench": "takes long: see docs/benchmarks.md",
}
SITE = {
    "tutorial/index.html": "<h1>Control flow</h1><p>The pass statement does nothing. It can be used when a statement is required "
    "syntactically but the program requires no action.</p><a href='controlflow.html'>More</a>",
    "tutorial/controlflow.html": "<h1>Loops</h1><p>The break statement breaks out of the innermost enclosing loop.</p>",
    "guide/index.html": "<h1>Guide</h1><p>A task is cancelled by calling its cancel method.</p>",
    "handbook/index.html": "<h1>Handbook</h1><p>Only the keeper may enter the machine room.</p>",
    "sitemap.xml": "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><url><loc>{site}guide/</loc></url></urlset>",
}
_STRANGER = re.compile(r"https://(?:docs\.python\.org/3|[\w.]*example\.(?:com|org|internal))/")
_SERVICE = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):8000")


@dataclass(frozen=True)
class Desk:
    """Where a reader sits: a service that runs, a site instead of those that the documents name, and a shell."""

    service: MortalService
    site: str
    folder: Path
    names: dict[str, str]

    def typed(self, text: str) -> str:
        """What a reader would type: with addresses and ids of their own."""
        text = _SERVICE.sub(self.service.url, _STRANGER.sub(self.site, text))
        return re.sub("|".join(map(re.escape, self.names)), lambda found: self.names[found[0]], text)

    def run(self, *command: str, given: str = "") -> str:
        path = f"{self.folder}/.venv/bin:{os.environ['PATH']}"
        environment = self.service.environment | {"PATH": path, "PYTHONPATH": str(CHECKOUT), "CURL_HOME": str(self.folder)}
        environment |= {"OPENAI_API_KEY": "none needed", "FOOTNOTE_LLM__ENGINE": "none"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, input=given, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{given or command}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def desk(forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, root = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("site")
    program = folder / ".venv" / "bin" / "footnote"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m footnote "$@"\n')
    program.chmod(0o755)
    (folder / ".curlrc").write_text("fail-with-body\n")
    with serve(root) as site, MortalService(folder=folder, forks=forks, settings={"FOOTNOTE_LLM__ENGINE": "none"}) as service:
        for name, body in SITE.items():
            (root / name).parent.mkdir(exist_ok=True)
            page = f"<html lang='en'><head><title>{name}</title></head><body><main>{body}</main></body></html>"
            (root / name).write_text(body.format(site=site.url) if name.endswith(".xml") else page)
        service.start()
        submitted = service.post("/v1/ingest", {"urls": [f"{site.url}tutorial/"], "mode": "crawl"})
        job = service.wait_for_job(submitted["job_id"], timeout_s=60)
        [page] = [page for page in service.get("/v1/pages")["pages"] if page["url"].endswith("tutorial/")]
        names = {"JOB_ID": job["id"], "SOURCE_ID": job["source_id"], "PAGE_ID": page["id"], "/backup/": f"{folder}/"}
        yield Desk(service, site.url, folder, names)


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


def elsewhere(command: str) -> str | None:
    program = re.sub(r"^\.venv/bin/", "", command)
    return next((why for start, why in ELSEWHERE.items() if f"{program} ".startswith(f"{start} ")), None)


@pytest.mark.parametrize("block", list(blocks("sh")), ids=named)
def test_commands(block: Block, desk: Desk) -> None:
    for command in block.commands:
        word, _, rest = command.partition(" ")
        if word == "make":
            assert re.search(rf"^{rest.split()[0]}:", (CHECKOUT / "Makefile").read_text(), re.MULTILINE), command
        elif word == "export":
            check_setting(rest)
        elif elsewhere(command) is None:
            assert word in ("footnote", ".venv/bin/footnote", "curl"), f"{command}: run it, or say above why not"
            desk.run("bash", "-c", desk.typed(command))


@pytest.mark.parametrize("block", list(blocks("python")), ids=named)
def test_programs(block: Block, desk: Desk) -> None:
    desk.run(sys.executable, "-", given=desk.typed(block.text))


def check_setting(assignment: str) -> None:
    """That a documented environment variable is a setting, and takes the value."""
    name, _, value = assignment.partition("=")
    if name in ("FOOTNOTE_URL", "FOOTNOTE_API_KEY", "FOOTNOTE_CONFIG", "FOOTNOTE_SECRETS_DIR"):
        return
    if hasattr(environment_variables, name):  # OpenTelemetry's own
        return
    section, _, field = name.removeprefix("FOOTNOTE_").lower().partition("__")
    Settings.model_validate({section: {field: value.strip("'\"")}} if field else {section: value})
