"""Generation: /v1/ask as a stream, beside bare llama.cpp with the same prompts, threads, slots and context."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.answering import STOP
from app.llm.llamacpp import find_model
from bench.clean_process import CleanProcess, together
from bench.errors import BenchError
from bench.http import Api, Body
from bench.machine import OtherLoad, cores
from bench.report import Goal, Line, Section, median, p50_p95, ratio, tokens_per_s, tokens_per_s_of_all
from corpus.settings import Settings

LOAD_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 120.0
BUDGET_S = 90.0
WARM_UPS = 2  # so that the prompt's unchanging beginning is in a slot's cache on both sides
LEAST_TOKENS = (32, 16, 8)  # an answer this long measures the pace; shorter ones only where there are none
LEAST_PAIRS = 3
GOAL = Goal("at least", 0.95)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. Times count from the request, ``generation_s`` is when the model was given the prompt; None if it
    wasn't."""

    state: str
    total_s: float
    generation_s: float | None
    arrivals_s: tuple[float, ...]
    text: str
    hits: Sequence[dict[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same prompt through the service and through bare llama.cpp: seconds to the first piece, and when each came."""

    ours_first_s: float
    bare_first_s: float
    ours_arrivals_s: tuple[float, ...]
    bare_arrivals_s: tuple[float, ...]
    same_text: bool

    @property
    def tokens(self) -> int:
        return min(len(self.ours_arrivals_s), len(self.bare_arrivals_s))

    @property
    def ratio(self) -> float:
        bare = tokens_per_s(self.bare_arrivals_s)
        return tokens_per_s(self.ours_arrivals_s) / bare if bare else 0.0


@dataclass(slots=True)
class GenerationFigures:
    model: str
    pairs: list[Pair] = field(default_factory=list)
    totals_s: dict[str, list[float]] = field(default_factory=dict)
    other_cores: float = 0.0


def measure(url: str, questions: Sequence[str], *, settings: Settings, data_dir: Path, tokens: Path) -> GenerationFigures | None:
    """Each question goes to the service, then its prompt to bare llama.cpp. None where no llama.cpp model is loaded.

    ``tokens``: a copy of the service's token vectors, which the choice of evidence rests on.
    """
    with Api(url) as api:
        facts = api.get("/readyz")["model"]
        if facts is None or facts["engine"] != "llama.cpp":
            return None
        figures = GenerationFigures(model=f"{facts['name']}, {facts['device']}")
        with CleanProcess("bench.prompts") as prompts, CleanProcess("bench.bare_generator", environment=_PASSIVE) as bare:
            index = settings.index
            embedder = {"embedder": index.embedder, "device": index.device, "batch_size": index.embed_batch_size}
            model = _model_parameters(settings, facts, data_dir)
            together(
                lambda: prompts.call("load", timeout_s=LOAD_TIMEOUT_S, **embedder, tokens=str(tokens)),
                lambda: bare.call("load", timeout_s=LOAD_TIMEOUT_S, **model),
            )
            deadline = time.monotonic() + BUDGET_S
            with OtherLoad() as load:
                for turn, question in enumerate(questions):
                    asked = ask(api, question)
                    pair = _beside(bare, prompts, question, asked, settings=settings, style=facts["style"])
                    if turn >= WARM_UPS:
                        figures.totals_s.setdefault(asked.state, []).append(asked.total_s)
                        figures.pairs += [pair] if pair else []
                    if time.monotonic() > deadline:
                        break
            figures.other_cores = load.cores
    return figures


def ask(api: Api, question: str) -> Asked:
    """One streamed answer, with the time at which each event came."""
    began = time.perf_counter()
    retrieved_s, pieces, arrivals_s = 0.0, [], []
    hits: Sequence[dict[str, Any]] = ()
    for at, name, data in api.stream("/v1/ask", {"question": question, "stream": True}):
        if name == "retrieval":
            retrieved_s, hits = at - began, data["hits"]
        elif name == "token":
            arrivals_s.append(at - began)
            pieces.append(data["text"])
        elif name == "error":
            raise BenchError(f"Asking {question!r} failed: {data}")
        elif name == "done":
            timings = data["timings_ms"]
            # The model's turn comes when the evidence has been weighed, right after the event with the hits.
            generation_s = retrieved_s + timings["evidence"] / 1000 if "generation" in timings else None
            return Asked(data["state"], at - began, generation_s, tuple(arrivals_s), "".join(pieces), hits)
    raise BenchError(f"The answer to {question!r} ended without its last event.")


def section(figures: GenerationFigures | None) -> Section:
    if figures is None:
        return Section("Generation", [Line("tokens/s", "no llama.cpp model is loaded", goal=GOAL)])
    least, pairs = long_enough(figures.pairs)
    ours = median(tokens_per_s(pair.ours_arrivals_s) for pair in pairs)
    bare = median(tokens_per_s(pair.bare_arrivals_s) for pair in pairs)
    ours_all = tokens_per_s_of_all([pair.ours_arrivals_s for pair in figures.pairs])
    bare_all = tokens_per_s_of_all([pair.bare_arrivals_s for pair in figures.pairs])
    firsts = [pair for pair in figures.pairs if pair.tokens]
    ours_first, bare_first = (
        [pair.ours_first_s * 1000 for pair in firsts],
        [pair.bare_first_s * 1000 for pair in firsts],
    )
    lines = [
        Line(
            f"tokens/s, answers of ≥ {least} tokens",
            f"{ours:.1f}",
            f"{bare:.1f}",
            median(pair.ratio for pair in pairs) if pairs else None,
            GOAL,
        ),
        Line(
            f"tokens/s, all {len(figures.pairs)} generated answers together",
            f"{ours_all:.1f}",
            f"{bare_all:.1f}",
            ratio(ours_all, bare_all),
        ),
        Line(
            "time to first token (p50 / p95)",
            p50_p95(ours_first),
            p50_p95(bare_first),
            ratio(median(ours_first), median(bare_first)),
        ),
        *(
            Line(f"whole answer, {state} ({len(totals_s)})", p50_p95([total_s * 1000 for total_s in totals_s]))
            for state, totals_s in sorted(figures.totals_s.items())
        ),
    ]
    same = sum(pair.same_text for pair in figures.pairs)
    return Section(
        "Generation",
        lines,
        (
            f"{figures.model}. {len(pairs)} of {len(figures.pairs)} generated answers are that long; the ratio is theirs.",
            f"{same} of {len(figures.pairs)} texts are the same on both sides; the prompts differ in a random marker alone.",
            f"Cores busy with something else: {figures.other_cores:.1f}.",
        ),
    )


def long_enough(pairs: Sequence[Pair]) -> tuple[int, list[Pair]]:
    """The pairs that measure a pace, and from how many tokens on: 32, or less where too few answers are that long."""
    for least in LEAST_TOKENS:
        found = [pair for pair in pairs if pair.tokens >= least and pair.ratio]
        if len(found) >= LEAST_PAIRS:
            return least, found
    return least, found


_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}  # as the service sets it before it loads the model


def _model_parameters(settings: Settings, facts: Body, data_dir: Path) -> Body:
    threads = re.search(r"(\d+) threads", facts["device"])
    return {
        "path": str(find_model(settings.llm.model, models_dir=data_dir / "models")),
        "threads": int(threads[1]) if threads else settings.llm.threads or cores(),
        "slots": settings.llm.slots,
        "context_tokens": settings.llm.context_tokens,
        "gpu_layers": settings.llm.gpu_layers,
        "style": facts["style"],
    }


def _beside(
    bare: CleanProcess, prompts: CleanProcess, question: str, asked: Asked, *, settings: Settings, style: str
) -> Pair | None:
    """The same prompt through bare llama.cpp. None where the service's model wasn't asked."""
    if asked.generation_s is None:
        return None
    budget_tokens = settings.answer.context_budget_tokens
    built = prompts.call(
        "build", timeout_s=ANSWER_TIMEOUT_S, question=question, hits=list(asked.hits), budget_tokens=budget_tokens, style=style
    )
    found = bare.call(
        "generate",
        timeout_s=ANSWER_TIMEOUT_S,
        prompt=built["prompt"],
        max_tokens=settings.llm.max_answer_tokens,
        stop=list(STOP),
    )
    arrivals_s = tuple(found["arrivals_s"])
    return Pair(
        ours_first_s=asked.arrivals_s[0] - asked.generation_s if asked.arrivals_s else 0.0,
        bare_first_s=arrivals_s[0] if arrivals_s else 0.0,
        ours_arrivals_s=asked.arrivals_s,
        bare_arrivals_s=arrivals_s,
        same_text=asked.text == found["text"],
    )
