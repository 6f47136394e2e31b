"""What the language model engines do on this machine: tokens/s for 1, 8 and 32 askers at once, time to the first token, peak
memory and quality, for NF4 beside int8, bf16 and llama.cpp.

``python -m bench.gpu`` takes the built-in model's weights from their packages (a minute, to turn them into safetensors once),
``--weights DIR`` any other folder, ``--random 8b`` weights of that size without sense. No network. Each engine runs in a process
of its own, so one that breaks costs its row and no more. What isn't installed is said. ``--dry`` takes every step on the CPU
with a few tokens: its figures mean nothing, but what is broken shows before a GPU waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.gguf_weights import RANDOM_SIZES, assemble, random_weights, to_safetensors

ROOT = Path(__file__).parents[1]
SITE, QUESTIONS = ROOT / "tests/acceptance/small_site", ROOT / "tests/acceptance/questions/small_site.json"
NEEDS = {
    "nf4": ("torch", "transformers", "accelerate", "safetensors", "pydantic_settings", "psutil", "bitsandbytes"),
    "int8": ("torch", "transformers", "accelerate", "safetensors", "pydantic_settings", "psutil", "bitsandbytes"),
    "bf16": ("torch", "transformers", "accelerate", "safetensors", "pydantic_settings", "psutil"),
    "llama.cpp": ("xllamacpp", "pydantic_settings"),
}
WINDOW_TOKENS = 512
CONTEXT_CHARS = 400
ROW_TIMEOUT_S = 3600
MARK = "figures: "
DRY = {"device": "cpu", "askers": [1, 2], "tokens": 4, "prompt_tokens": 32, "windows": 1, "cases": 1}


def main() -> int:
    arguments = _arguments()
    if arguments.dry:
        vars(arguments).update(DRY)
    if arguments.row:
        print(MARK + json.dumps(asyncio.run(measure(arguments))))
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="footnote-gpu-") as made:
            return run(arguments, arguments.keep or Path(made))
    except BenchError as exc:
        print(exc, file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace, work: Path) -> int:
    """All rows, each in a process of its own; the table and the JSON."""
    work.mkdir(parents=True, exist_ok=True)
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise BenchError(f"Not installed here: {', '.join(missing)}. Run: pip install 'footnote-rag[gpu]'")
    folder, gguf = _weights(arguments, work)
    facts = _machine(arguments.device)
    print(f"{facts}\n", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    for row in arguments.engines:
        lacking = [name for name in NEEDS[row] if find_spec(name) is None]
        if lacking:
            rows.append({"row": row, "error": f"not installed: {', '.join(lacking)}"})
        elif row == "llama.cpp" and gguf is None:
            rows.append({"row": row, "error": "no GGUF file of these weights"})
        else:
            print(f"… {row}", file=sys.stderr, flush=True)
            rows.append({"row": row} | _in_a_process(row, gguf if row == "llama.cpp" else folder, arguments))
    print(table(rows, facts))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")
    return int(all("error" in row for row in rows))


def _weights(arguments: argparse.Namespace, work: Path) -> tuple[Path, Path | None]:
    """The safetensors folder, and the same model as GGUF if there is one."""
    if arguments.random:
        folder = work / f"random-{arguments.random}"
        return folder if (folder / "config.json").exists() else random_weights(folder, arguments.random), None
    if arguments.weights and any(arguments.weights.glob("*.safetensors")):
        return arguments.weights, next(arguments.weights.glob("*.gguf"), None)
    gguf = next(arguments.weights.glob("*.gguf"), None) if arguments.weights else assemble(work)
    if gguf is None:
        raise BenchError(f"{arguments.weights} holds neither .safetensors nor .gguf files.")
    folder = work / "safetensors"
    if not (folder / "config.json").exists():
        print("… turning the GGUF file into safetensors", file=sys.stderr, flush=True)
        to_safetensors(gguf, folder)
    return folder, gguf


def _in_a_process(row: str, weights: Path | None, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.gpu", "--row", row, "--weights", str(weights), "--device", arguments.device]
    command += ["--askers", *map(str, arguments.askers), "--tokens", str(arguments.tokens)]
    command += ["--prompt-tokens", str(arguments.prompt_tokens), "--windows", str(arguments.windows)]
    command += ["--cases", str(arguments.cases)] if arguments.cases else []
    command += ["--questions", str(arguments.questions)] if arguments.questions else []
    command += ["--no-quality"] if arguments.no_quality or arguments.random else []
    try:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=ROW_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"error": f"took over {ROW_TIMEOUT_S} s"}
    for line in ran.stdout.splitlines():
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    last = (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1]
    return {"error": last[:300], "log": ran.stderr[-4000:]}


# One row, in its own process


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    began = time.perf_counter()
    model = _load(arguments)
    figures: dict[str, Any] = {"load_s": time.perf_counter() - began, "device": model.facts.device}
    figures["planned_bytes"] = model.facts.memory_bytes
    prompt = _prompt(model, arguments.prompt_tokens)
    await _ask(model, prompt, 2)  # what is compiled or allocated at the first use
    figures["askers"] = {n: await _together(model, prompt, n, arguments.tokens) for n in arguments.askers}
    figures["peak_bytes"] = _peak_bytes()
    if not arguments.no_quality:
        cases = _cases(arguments.questions)[: arguments.cases]
        figures["answers"] = await _answers(model, cases)
        figures["cases"] = len(cases)
    await model.close()
    if not arguments.no_quality and arguments.row != "llama.cpp":
        figures["perplexity"] = _perplexity(model._loaded, arguments.windows)
    return figures


def _load(arguments: argparse.Namespace) -> Any:
    from corpus.settings import LlmSettings

    context = arguments.prompt_tokens + arguments.tokens + 128
    shared: dict[str, Any] = {"slots": max(arguments.askers), "queue_limit": 64, "context_tokens": max(1024, context)}
    if arguments.row == "llama.cpp":
        from app.llm.llamacpp import LlamaCppModel

        return LlamaCppModel.load(
            path=arguments.weights, settings=LlmSettings(model=str(arguments.weights), style="completion", **shared)
        )
    from app.llm.transformers_model import TransformersModel

    return TransformersModel.load(
        settings=LlmSettings(
            engine="transformers", model=str(arguments.weights), device=arguments.device, quantisation=arguments.row, **shared
        )
    )


def _prompt(model: Any, tokens: int) -> str:
    words = re.findall(r"\S+", _own_text())
    low, high = 1, len(words)
    while low < high:  # the longest beginning of that many tokens
        middle = (low + high + 1) // 2
        low, high = (middle, high) if model.count_tokens(" ".join(words[:middle])) <= tokens else (low, middle - 1)
    return " ".join(words[:low])


async def _ask(model: Any, prompt: str, tokens: int, stop: Sequence[str] = ()) -> tuple[str, float, int]:
    """The text, seconds to its first piece, and how many tokens it has."""
    began = time.perf_counter()
    first, pieces, count = 0.0, [], 0
    async for piece in model.generate(prompt, max_tokens=tokens, stop=stop):
        first = first or time.perf_counter() - began
        pieces.append(piece.text)
        count = piece.completion_tokens or count
    return "".join(pieces), first, count


async def _together(model: Any, prompt: str, askers: int, tokens: int) -> dict[str, float]:
    """``askers`` prompts at once, which differ from their first word on, so that none is read from another's cache."""
    began = time.perf_counter()
    found = await asyncio.gather(*(_ask(model, f"{number}: {prompt}", tokens) for number in range(askers)))
    took = time.perf_counter() - began
    written = sum(count for _, _, count in found)
    return {"tokens_per_s": written / took, "first_s": statistics.median(first for _, first, _ in found), "written": written}


async def _answers(model: Any, cases: Sequence[dict[str, Any]]) -> float:
    """The share of answers that hold a gold answer."""
    held = 0
    for case in cases:
        prompt = f"{case['passage']}\n\nQuestion: {case['question']}\nAnswer:"
        said, _, _ = await _ask(model, prompt, 48, ("\n",))
        held += any(_plain(gold) in _plain(said) for gold in case["answers"])
    return held / len(cases) if cases else math.nan


def _cases(path: Path | None) -> list[dict[str, Any]]:
    """``path``: JSON, a list of {question, passage, answers}. Without it: the questions about the small site of the tests,
    where the "answer" is a number or a quoted word of the gold text."""
    if path:
        cases: list[dict[str, Any]] = json.loads(path.read_text())
        return cases
    found = []
    for case in json.loads(QUESTIONS.read_text())["questions"]:
        if not case["answerable"]:
            continue
        text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", (SITE / case["pages"][0]).read_text())).split())
        gold = next((g for g in case["answer_contains"] if " ".join(g.split()) in text), None)
        if gold:
            at = text.index(" ".join(gold.split()))
            short = re.findall(r"\d[\w.,:-]*", gold) or [max(gold.split(), key=len)]
            found.append(
                {"question": case["question"], "passage": text[max(0, at - CONTEXT_CHARS) : at + CONTEXT_CHARS], "answers": short}
            )
    return found


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", text.lower()).split())


def _perplexity(loaded: Any, windows: int) -> float:
    """Over windows of this project's own documentation: how surprised the model is by text that it wasn't trained on."""
    import torch

    ids = loaded.tokenizer.backend_tokenizer.encode(_own_text()).ids
    losses = []
    for start in range(0, min(len(ids) - WINDOW_TOKENS, windows * WINDOW_TOKENS), WINDOW_TOKENS):
        window = torch.tensor([ids[start : start + WINDOW_TOKENS]], device=loaded.model.device)
        with torch.inference_mode():
            losses.append(float(loaded.model(input_ids=window, labels=window, use_cache=False).loss))
    return math.exp(statistics.fmean(losses)) if losses else math.nan


def _own_text() -> str:
    return "\n\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def _peak_bytes() -> int:
    """Of the GPU, if there is one; else of this process."""
    with suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            return int(torch.cuda.max_memory_reserved())
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) * 1024 if match else 0


def _machine(device: str) -> str:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return f"{gpu}, {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, device asked for: {device}"


# The table


def table(rows: Sequence[dict[str, Any]], facts: str) -> str:
    """Markdown."""
    counts = sorted({int(n) for row in rows for n in row.get("askers", {})})
    head = ["", *(f"tokens/s, {n} at once" for n in counts), *(f"first token, {n} at once" for n in counts)]
    head += ["peak memory", "load", "perplexity", "answers that hold the gold"]
    lines = [facts, "", _line(head), _line(["---"] * len(head))]
    for row in rows:
        if "error" in row:
            lines.append(_line([row["row"], row["error"], *[""] * (len(head) - 2)]))
            continue
        by_count = {int(n): figures for n, figures in row["askers"].items()}
        cells = [row["row"], *(f"{by_count[n]['tokens_per_s']:.1f}" for n in counts)]
        cells += [f"{by_count[n]['first_s'] * 1000:.0f} ms" for n in counts]
        cells += [f"{row['peak_bytes'] / 1e9:.2f} GB", f"{row['load_s']:.1f} s"]
        cells += [f"{row['perplexity']:.1f}" if "perplexity" in row else "", f"{row['answers']:.0%}" if "answers" in row else ""]
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.partition("\n\n")[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="a folder of safetensors, or with a GGUF file (the built-in model)")
    parser.add_argument(
        "--random", choices=sorted(RANDOM_SIZES), help="weights of this size and no sense: speed and memory alone"
    )
    parser.add_argument("--device", default="auto", help="auto (the GPU, or an error), cuda:1, cpu")
    parser.add_argument("--engines", nargs="+", choices=sorted(NEEDS), default=list(NEEDS), help="which rows (all)")
    parser.add_argument("--askers", nargs="+", type=int, default=[1, 8, 32], help="how many at once (1 8 32)")
    parser.add_argument("--tokens", type=int, default=128, help="written for each (128)")
    parser.add_argument("--prompt-tokens", type=int, default=600, help="read for each (600)")
    parser.add_argument("--windows", type=int, default=16, help=f"of {WINDOW_TOKENS} tokens, for the perplexity (16)")
    parser.add_argument("--questions", type=Path, help="a JSON list of {question, passage, answers}")
    parser.add_argument("--cases", type=int, help="only the first so many of the questions")
    parser.add_argument("--dry", action="store_true", help="every step once, on the CPU: the figures mean nothing")
    parser.add_argument("--no-quality", action="store_true", help="speed and memory alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep the weights that are made, for the next run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
