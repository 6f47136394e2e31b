"""What the service tells Prometheus (https://prometheus.io/docs/practices/naming).

Each app has a registry of its own, so that two in one process don't share figures. Labels are words from short lists: never a
URL, a question, a key or a collection, for each new value is a new time series that Prometheus keeps for weeks.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.answering import AnswerState
from app.llm.admission import Admission
from corpus.errors import Overloaded, Unavailable
from corpus.model import JobState, UrlState
from corpus.tallies import Tally

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)
TENTHS = tuple(number / 10 for number in range(1, 10))


class Metrics:
    """Safe to use from any thread: prometheus_client locks each value."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"footnote_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"footnote_{name}", words, labels, registry=registry)

        def seconds(name: str, words: str, *labels: str, buckets: tuple[float, ...] = SLOW_S) -> Histogram:
            return Histogram(f"footnote_{name}_seconds", words, labels, registry=registry, buckets=buckets)

        self._build = gauge(
            "build_info", "Always 1; its labels say what runs", "version", "python", "embedder", "reranker", "model"
        )
        self._degraded = gauge("degraded", "How many things the service lacks, as /readyz names them")

        self._requests = counter("http_requests", "Requests by route and status", "method", "route", "status")
        self._request_s = seconds("http_request_duration", "Time until a request's last byte was sent", "method", "route")
        self._unexpected = counter("unexpected_errors", "Requests that failed by a fault of Footnote's own (status 500)")
        self.requests_in_progress = gauge("http_requests_in_progress", "Requests that are being served")

        self._stage_s = seconds("stage", "Time that one stage of searching and answering took", "stage", buckets=FAST_S)
        self._answers = counter("answers", "Answers by their state", "state")
        self._answer_s = seconds("answer", "Time from a question to its whole answer", "state")
        self._confidence = Histogram(
            "footnote_answer_confidence", "Confidence that the pages answer the question", registry=registry, buckets=TENTHS
        )
        self._failed = counter("answers_failed", "Questions that ended in an error, by its code", "code")
        self._feedback = counter("feedback", "Judgements of answers by those who asked", "judgement")

        self._waiting = gauge("llm_waiting", "Answers that wait for a slot of the language model")
        self._running = gauge("llm_running", "Answers that the language model is writing")
        self.prompt_tokens = counter("llm_prompt_tokens", "Tokens that the language model read")
        self.completion_tokens = counter("llm_completion_tokens", "Tokens that the language model wrote")
        self.first_token_s = seconds("llm_time_to_first_token", "From asking the model, its queue included, to its first word")
        self.generation_s = seconds("llm_generation", "From the model's first word to its last")

        self._jobs = gauge("jobs", "Jobs that aren't over, by their state", "state")
        self._oldest_queued_s = gauge("jobs_oldest_queued_seconds", "How long the oldest queued job has waited; 0 without one")
        self._urls_due = gauge("urls_due", "URLs that open jobs have yet to visit")
        self._jobs_finished = counter("jobs_finished", "Jobs that ended since the service started, by how", "state")
        self._urls = counter("crawl_urls", "URLs that were dealt with since the service started, by outcome", "state", "reason")
        self._pages = gauge("pages", "Pages that can be found")
        self._chunks = gauge("chunks", "Chunks of these pages")
        self._unswept = gauge("stale_versions", "Versions of pages that are replaced or deleted, but still in the indexes")
        self._disk_bytes = gauge("disk_bytes", "Size on disk, by what lies there", "part")
        self._disk_free_bytes = gauge("disk_free_bytes", "What is free on the data directory's disk")
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """What alerts look at is there from the start: of a series that begins at 1, Prometheus sees no increase."""
        for answer in AnswerState:
            self._answers.labels(answer)
        for judgement in ("helpful", "unhelpful"):
            self._feedback.labels(judgement)
        for code in (Overloaded.code, Unavailable.code):
            self._failed.labels(code)
        for ended_as in (state for state in JobState if state.is_final):
            self._jobs_finished.labels(ended_as)
        for outcome in (state for state in UrlState if state is not UrlState.PENDING):
            self._urls.labels(outcome, "")

    def watch(self, admission: Admission) -> None:
        """Read the language model's queue whenever somebody asks."""
        self._waiting.set_function(lambda: admission.waiting)
        self._running.set_function(lambda: admission.running)

    def request_ended(self, *, method: str, route: str, status: int | None, elapsed_s: float) -> None:
        """``status`` None: the client left before there was one."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status or "unanswered")).inc()
        self._request_s.labels(method, route).observe(elapsed_s)
        if status == 500:
            self._unexpected.inc()

    def searched(self, timings_ms: Mapping[str, float]) -> None:
        for stage, elapsed_ms in timings_ms.items():
            if stage != "total":
                self._stage_s.labels(stage).observe(elapsed_ms / 1000)

    def answered(self, *, state: str, confidence: float, timings_ms: Mapping[str, float]) -> None:
        self.searched(timings_ms)
        self._answers.labels(state).inc()
        self._confidence.observe(confidence)
        self._answer_s.labels(state).observe(timings_ms["total"] / 1000)

    def not_answered(self, code: str) -> None:
        self._failed.labels(code).inc()

    def judged(self, judgement: str) -> None:
        self._feedback.labels(judgement).inc()

    def describe(self, *, version: str, embedder: str, reranker: str, model: str, degraded: int) -> None:
        self._build.clear()
        self._build.labels(version, platform.python_version(), embedder, reranker, model).set(1)
        self._degraded.set(degraded)

    def tallied(self, tally: Tally) -> None:
        """Take over what the metadata database says; its finished jobs and URLs are those since it was last asked."""
        for state, count in tally.open_jobs.items():
            self._jobs.labels(state).set(count)
        self._oldest_queued_s.set(tally.oldest_queued_s)
        self._urls_due.set(tally.urls_due)
        self._pages.set(tally.pages)
        self._chunks.set(tally.chunks)
        self._unswept.set(tally.stale_versions)
        for ended_as, count in tally.finished_jobs.items():
            self._jobs_finished.labels(ended_as).inc(count)
        for (outcome, reason), count in tally.finished_urls.items():
            self._urls.labels(outcome, reason).inc(count)

    def measured_disk(self, *, bytes_by_part: Mapping[str, int], free_bytes: int) -> None:
        for part, size in bytes_by_part.items():
            self._disk_bytes.labels(part).set(size)
        self._disk_free_bytes.set(free_bytes)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All figures in the format that the ``Accept`` header asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type
