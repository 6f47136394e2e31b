"""The embedded profile with its real model, asked by many at once, and stopped while it answers."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.sites import serve, small_site

ASKERS = 16
SETTINGS = {
    "FOOTNOTE_LLM__SLOTS": "2",
    "FOOTNOTE_LLM__WARM_UP": "true",
    "FOOTNOTE_LLM__QUEUE_LIMIT": str(ASKERS - 2),
    "FOOTNOTE_LLM__MAX_ANSWER_TOKENS": "8",
    "FOOTNOTE_LLM__REQUEST_DEADLINE_S": "280",  # every answer is the model's, however busy the machine
    "FOOTNOTE_ANSWER__CONTEXT_BUDGET_TOKENS": "160",
    "FOOTNOTE_SERVER__SHUTDOWN_GRACE_S": "120",
}


@pytest.fixture(scope="module")
def service(forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalService]:
    site = small_site()
    with (
        serve(site.root) as served,
        MortalService(folder=tmp_path_factory.mktemp("load"), forks=forks, settings=SETTINGS) as running,
    ):
        running.start()
        names = ("limits", "encryption", "scheduling")
        job = running.post("/v1/ingest", {"urls": [f"{served.url}{name}.html" for name in names]})["job_id"]
        assert running.wait_for_job(job, timeout_s=120)["state"] == "succeeded"
        yield running


def ask(service: MortalService, question: str) -> tuple[httpx2.Response, float]:
    began = time.perf_counter()
    response = httpx2.post(f"{service.url}/v1/ask", json={"question": question}, timeout=300, trust_env=False)
    return response, time.perf_counter() - began


def answerable(service: MortalService) -> str:
    """A question that the model is asked, as evidence was found."""
    questions = [case["question"] for case in json.loads(small_site().questions.read_text())["questions"] if case["answerable"]]
    return next(q for q in questions if ask(service, q)[0].json()["state"] != "abstained")


def test_it_is_ready_before_its_model_is_warm_and_says_so(service: MortalService) -> None:
    give_up_at = time.monotonic() + 200
    while (stage := service.get("/readyz")["stage"]) != "ready":
        assert stage == "ready; the language model warms up"
        assert time.monotonic() < give_up_at
        time.sleep(0.2)
    assert "the language model is warm" in service.log.read_text()


@pytest.mark.timeout(600)
def test_sixteen_askers_at_once_are_all_answered(service: MortalService) -> None:
    question = answerable(service)
    with ThreadPoolExecutor(2 * ASKERS) as pool:
        found = list(pool.map(lambda _: ask(service, question), range(ASKERS)))
        assert [response.status_code for response, _ in found] == [200] * ASKERS
        for response, _ in found:
            body = response.json()
            assert body["state"] in ("grounded", "quoted")
            assert body["citations"]
            assert body["notes"] == []  # nobody ran out of time
        times = sorted(took for _, took in found)
        print(
            f"\n{ASKERS} askers at once: first answer {times[0]:.1f} s, median {times[ASKERS // 2]:.1f} s, last {times[-1]:.1f} s"
        )


@pytest.mark.timeout(300)
def test_sigterm_lets_an_open_answer_end_and_turns_new_requests_away(service: MortalService) -> None:
    """The last test of this service."""
    question = answerable(service)
    stream = {"question": question, "stream": True}
    with httpx2.stream("POST", f"{service.url}/v1/ask", json=stream, timeout=300, trust_env=False) as response:
        events = (line.removeprefix("event: ") for line in response.iter_lines() if line.startswith("event: "))
        assert next(events) == "retrieval"
        service.signal(signal.SIGTERM)
        *_, last = events
    assert last == "done"
    assert service.wait(timeout_s=120) == -signal.SIGTERM
    assert "Traceback" not in service.log.read_text()
    with pytest.raises(httpx2.ConnectError):
        ask(service, question)
