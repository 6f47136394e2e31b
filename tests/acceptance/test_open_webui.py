"""Open WebUI as people use it: the real one, its page in a real browser, a real service behind it. It wants an environment of its
own and 3 GB, so it isn't installed for every run; whoever has it names its program:

    OPEN_WEBUI=…/bin/open-webui pytest tests/acceptance/test_open_webui.py
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.acceptance.service import ServiceProcess
from tests.acceptance.sites import serve, small_site
from tests.acceptance.web_browser import CHROMIUM, TIMEOUT_MS

PROGRAM = os.environ.get("OPEN_WEBUI")
START_TIMEOUT_S = 180.0
PORT_QUESTION = "Which port does tide serve listen on by default?"
PORT_ANSWER = "It listens on port 8317 by default"
TASKS = ("ENABLE_TITLE_GENERATION", "ENABLE_TAGS_GENERATION", "ENABLE_FOLLOW_UP_GENERATION")  # as docs/api.md advises

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="OPEN_WEBUI doesn't name an Open WebUI"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with serve(small_site().root) as site, ServiceProcess(folder=tmp_path_factory.mktemp("service")) as running:
        running.post("/v1/collections", {"name": "limits"})
        for body in (
            {"urls": [f"{site.url}index.html"], "mode": "crawl"},
            {"urls": [f"{site.url}limits.html"], "collection": "limits"},
        ):
            assert running.wait_for_job(running.post("/v1/ingest", body)["job_id"], timeout_s=300)["state"] == "succeeded"
        yield running


@pytest.fixture(scope="module")
def open_webui(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address. What it would fetch from hubs is off; it knows the service's address, as docs/api.md says."""
    folder = tmp_path_factory.mktemp("open_webui")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "OPENAI_API_BASE_URL": f"{service.url}/v1",
        "OPENAI_API_KEY": "none is needed",
        **dict.fromkeys(TASKS, "false"),
        **{"DATA_DIR": os.fspath(folder), "WEBUI_SECRET_KEY": "of a test", "WEBUI_AUTH": "false", "ENABLE_OLLAMA_API": "false"},
        **{"OFFLINE_MODE": "true", "RAG_EMBEDDING_ENGINE": "openai", "ANONYMIZED_TELEMETRY": "false"},
    }
    command = [str(PROGRAM), "serve", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | settings, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < give_up_at, log.read_text(errors="replace")
        try:
            return httpx2.get(url, trust_env=False).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.5)


@pytest.fixture
def chat(browser: Browser, open_webui: str) -> Iterator[Page]:
    """A new chat."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    news = page.get_by_role("button", name="Okay, Let's Go!")  # of a new version, once
    page.add_locator_handler(news, lambda button: button.click())
    page.goto(open_webui)
    page.locator("#chat-input").wait_for()
    yield page
    context.close()


def ask(chat: Page, question: str) -> Locator:
    """The answer, once it is whole."""
    answers = chat.locator(".chat-assistant")
    number = answers.count()
    chat.locator("#chat-input").click()
    chat.keyboard.type(question)
    chat.keyboard.press("Enter")
    answer = answers.nth(number)
    expect(chat.get_by_role("button", name="Regenerate").nth(number)).to_be_attached()
    return answer


def answered(service: ServiceProcess) -> int:
    counts = re.findall(r"^footnote_answers_total\{.*\} (\S+)", service.request("GET", "/metrics").text, re.MULTILINE)
    return round(sum(map(float, counts)))


def test_a_question_is_answered_with_its_sources(chat: Page, service: ServiceProcess) -> None:
    before = answered(service)
    answer = ask(chat, PORT_QUESTION)
    expect(answer).to_contain_text(PORT_ANSWER)
    mark = answer.get_by_role("button", name="Storage back ends").first  # in place of [1]
    expect(mark).to_be_visible()
    expect(answer).not_to_contain_text("[1]")
    mark.click()
    link = chat.get_by_role("dialog").get_by_role("link").first
    assert re.search(r"/backends\.html#:~:text=It%20listens%20on%20port%208317", link.get_attribute("href") or "")
    chat.keyboard.press("Escape")

    expect(ask(chat, "What is the default level of zstd compression?")).to_contain_text("Level of zstd compression")
    expect(ask(chat, "Who won the chess tournament in Hastings?")).to_contain_text("The indexed pages don't answer this")
    assert answered(service) - before == 3  # nothing was asked beside what the user asked
    expect(chat).to_have_title(re.compile("^Which port does tide serve"))  # so the chat is named by its first question


def test_a_collection_is_a_model_to_pick(chat: Page) -> None:
    chat.locator("[id^=model-selector]").first.click()
    chat.get_by_role("option", name="footnote/limits").click()
    expect(ask(chat, PORT_QUESTION)).to_contain_text("The indexed pages don't answer this")
