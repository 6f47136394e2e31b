"""Footnote's extraction and those that it is measured beside, each timed in processor time, ours in memory too."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trafilatura
from lxml import html
from readability import Document
from readability.readability import Unparseable

from bench.extraction.visible_text import text_of
from corpus.errors import PermanentError
from ingest.extract.document import extract

OURS = "Footnote"
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Run:
    """One page by one extractor. ``peak_bytes``: resident memory at its highest, less what there was before; 0 off Linux."""

    text: str
    cpu_s: float
    peak_bytes: int = 0


def _footnote(body: bytes) -> str:
    try:
        return extract(body, url="http://site.test/", content_type="text/html", charset=None).page.text
    except PermanentError:
        return ""


def _trafilatura(body: bytes) -> str:
    return trafilatura.extract(body, include_comments=False) or ""


def _trafilatura_recall(body: bytes) -> str:
    return trafilatura.extract(body, include_comments=False, favor_recall=True) or ""


def _readability(body: bytes) -> str:
    try:
        summary = Document(body).summary(html_partial=True)
    except Unparseable:
        return ""
    return text_of(html.fragment_fromstring(summary, create_parent="div")) if summary.strip() else ""


EXTRACTORS: dict[str, Callable[[bytes], str]] = {
    OURS: _footnote,
    "trafilatura": _trafilatura,
    "trafilatura, favour recall": _trafilatura_recall,
    "readability-lxml": _readability,
}


def run(name: str, body: bytes) -> Run:
    """Extract one page, in this process."""
    before = _reset_peak()
    began = time.process_time()
    text = EXTRACTORS[name](body)
    return Run(text, time.process_time() - began, max(0, _status_bytes("VmHWM") - before) if before else 0)


def run_all(body: bytes, names: tuple[str, ...]) -> dict[str, Run]:
    return {name: run(name, body) for name in names}


def warm_up() -> None:
    """Let each extractor load what it loads once, on a page of its own."""
    paragraphs = "".join(f"<p>The lamps of quay {i} are lit at dusk, and the keeper writes down when.</p>" for i in range(9))
    run_all(f"<html><body><main><h1>Lamps</h1>{paragraphs}</main></body></html>".encode(), tuple(EXTRACTORS))


def _reset_peak() -> int:
    """Forget the highest resident size so far; gives the present one, 0 where the system doesn't say."""
    if sys.platform != "linux":
        return 0
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else a page that needs no more than an earlier one left behind would seem to need none
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except (OSError, AttributeError):  # no glibc, or another user's right, in some containers
        return 0
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return 0
