import io
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from corpus.settings import IndexSettings, IngestSettings, LlmSettings, Settings
from footnote import doctor, progress, render
from footnote.cli import app, main
from footnote.commands.ingest import exit_code
from footnote.connection import is_locked
from footnote.doctor import Status
from footnote.logs import OneLineFormatter
from footnote.terminal import clean, show_json

EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m \u202egpj.exe\u202c [bold]b[/bold] \x9b2J\r\nnext\x00"
CITATION = {
    "number": 1,
    "url": "http://docs.test/a#:~:text=quoted",
    "title": EVIL,
    "heading_path": ["Chapter", "Section"],
    "quote": "quoted\ntext",
    "fetched_at": "2026-11-21T23:50:00Z",
}
ANSWER: dict[str, Any] = {
    "state": "grounded",
    "answer": "It is so. [1]",
    "citations": [CITATION],
    "nearest": [],
    "evidence_score": 0.81,
    "confidence": 0.93,
    "model": "gemma",
    "notes": ["A note."],
    "timings_ms": {"total": 1500.0},
}
JOB: dict[str, Any] = {
    "id": "j",
    "collection": "default",
    "state": "running",
    "mode": "crawl",
    "spec": {"urls": ["http://a/"], "max_pages": 1000},
    "error": None,
    "notes": [],
    "cancel_requested": False,
    "pause_requested": False,
    "waits_for": None,
    "worked_s": 10.0,
    "removed": 2,
    "poorly_kept": 0,
    "created_at": "2026-11-21T23:50:00Z",
    "started_at": "2026-11-21T23:50:00Z",
    "finished_at": None,
    "found": 10,
    "urls": {"pending": 5, "indexed": 3, "unchanged": 1, "skipped": 0, "failed": 1},
    "chunks": 40,
    "failures": [],
}


def rendered(draw: Any, *args: Any, terminal: bool = False) -> str:
    file = io.StringIO()
    draw(
        Console(
            file=file,
            force_terminal=terminal,
            width=60,
            markup=False,
            highlight=False,
            emoji=False,
            color_system="standard" if terminal else None,
        ),
        *args,
    )
    return file.getvalue()


def run_main(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["footnote", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


# Foreign text


def test_clean_leaves_nothing_that_drives_a_terminal() -> None:
    assert clean(EVIL) == "red gpj.exe [bold]b[/bold]  next"


@given(st.text())
def test_clean_is_idempotent_printable_and_on_one_line(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in cleaned)
    assert not set(cleaned) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def test_clean_can_keep_lines() -> None:
    assert clean("a\r\nb\tc\x0bd", keep_lines=True) == "a\nb\tc\nd"


def test_json_says_the_same_without_driving_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"title": EVIL + "é \u2028 \ud800"})
    written = capsys.readouterr().out
    assert json.loads(written) == {"title": EVIL + "é \u2028 \ud800"}
    assert "é" in written
    assert not set(written) & set("\x1b\x9b\u202e\u2028\ud800")


def test_a_log_record_is_one_line_whatever_it_quotes() -> None:
    record = logging.LogRecord("ingest", logging.INFO, "f", 1, "title %s", ("a\n2026 INFO forged: \x1b[31mline",), None)
    line = OneLineFormatter().format(record)
    assert line.endswith("Z INFO ingest: title a 2026 INFO forged: line")
    assert "\n" not in line


def test_a_traceback_follows_its_record_indented() -> None:
    try:
        raise ValueError("bad\x1b[31m")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    first, *rest = OneLineFormatter().format(record).splitlines()
    assert first.endswith("ERROR x: failed")
    assert rest
    assert all(line.startswith("    ") and "\x1b" not in line for line in rest)


# Rendering


def test_an_answer_off_a_terminal_is_plain_text() -> None:
    text = rendered(render.answer, ANSWER)
    assert "\x1b" not in text
    assert "It is so. [1]\n" in text
    assert "[1] red gpj.exe [bold]b[/bold]  next › Chapter › Section — http://docs.test/a\n" in text
    assert "    “quoted\n    text”\n" in text
    assert "fetched 2026-11-21 23:50 UTC" in text
    assert "Grounded: " in text
    assert "Note: A note." in text


def test_an_answer_on_a_terminal_links_to_the_quote_and_stays_within_the_width() -> None:
    text = rendered(render.answer, ANSWER, terminal=True)
    assert ";http://docs.test/a#:~:text=quoted\x1b\\" in text
    assert "\x1b]0;" not in text
    assert "\u202e" not in text


def test_an_abstention_shows_the_nearest_pages() -> None:
    nearest = [{"page_id": "p", "url": "http://docs.test/b", "title": ""}]
    text = rendered(render.answer, ANSWER | {"state": "abstained", "citations": [], "nearest": nearest})
    assert "(no title) — http://docs.test/b" in text
    assert "No answer: " in text


def test_a_follow_up_shows_what_was_answered_instead() -> None:
    rewritten = "How tall is it? (\x1b[31mtower\x07)"
    assert "Answered: How tall is it? (tower)\n" in rendered(render.answer, ANSWER | {"rewritten_question": rewritten})
    assert "Answered" not in rendered(render.answer, ANSWER | {"rewritten_question": None})


def test_only_web_addresses_become_links() -> None:
    assert render.link("http://a/").style.link == "http://a/"  # type: ignore[union-attr]
    assert render.link("file:///etc/passwd").style.link is None  # type: ignore[union-attr]
    assert "\x1b" not in render.link("http://a/\x1b\\evil").plain


def test_lists_off_a_terminal_are_tab_separated() -> None:
    rows = rendered(render.collections, [{"name": "default", "pages": 3, "created_at": "2026-11-21T23:50:00Z"}]).splitlines()
    assert rows == ["name\tpages\tcreated", "default\t3\t2026-11-21 23:50 UTC"]


def test_failures_are_grouped_by_reason_the_most_frequent_first() -> None:
    failed = [{"url": f"http://a/{n}", "reason": "http_404", "message": "gone"} for n in range(7)]
    failed.insert(0, {"url": "http://a/x", "reason": "timeout", "message": None})
    text = rendered(render.job, JOB | {"state": "succeeded"}, failed)
    assert text.index("7 × http_404") < text.index("1 × timeout")
    assert "… and 2 more" in text


# Progress


def test_the_summary_counts_and_names_the_rate() -> None:
    said = progress.summary(JOB)
    assert said == "running: 10 found: 3 indexed, 1 unchanged, 1 failed, 5 pending; 2 removed; 40 chunks, 4.0 chunks/s"
    assert "; 2 removed; 3 with little kept; 40 chunks" in progress.summary(JOB | {"poorly_kept": 3})
    assert progress.summary(JOB | {"worked_s": 0.0, "pause_requested": True}).startswith("pausing: ")
    assert progress.summary(JOB | {"cancel_requested": True, "pause_requested": True}).startswith("cancelling: ")
    assert progress.summary(JOB | {"state": "queued", "waits_for": "other"}) == "queued, after the job other of the same source"
    assert progress.finished(JOB) == 5
    assert progress.expected(JOB) == 10
    assert progress.expected(JOB | {"found": 0}) is None
    assert progress.expected(JOB | {"found": 0, "mode": "page"}) == 1


def test_the_time_left_is_said_to_be_the_least_while_more_may_be_found() -> None:
    now_s = 100.0
    pace = progress.Pace(clock=lambda: now_s)

    def eta(pending: int, indexed: int, **changed: Any) -> str:
        urls = {"pending": pending, "indexed": indexed, "skipped": 7}
        return pace.eta(JOB | {"urls": urls, "found": pending + indexed + 7} | changed)

    assert eta(20, 0) == ""  # nothing can be said yet
    now_s = 110.0
    assert eta(30, 5) == "at least 0:01:00 left, still finding pages"
    assert eta(15, 5, spec={"urls": ["http://a/"], "max_pages": 20}) == "0:00:30 left"  # the budget counts no skipped ones
    assert eta(15, 5, mode="page") == "0:00:30 left"
    assert eta(15, 5, state="paused") == ""
    now_s = 1000.0
    assert eta(15, 5) == ""  # the pause is not taken for slowness
    now_s = 1001.0
    assert eta(10, 10, mode="page") == "0:00:02 left"
    assert eta(0, 20) == ""


def test_a_job_tells_what_it_waits_for_and_what_else_there_is_to_know() -> None:
    said = rendered(render.job, JOB | {"state": "queued", "waits_for": "another", "notes": [EVIL]}, [])
    assert "waits for the job another" in said
    assert "red gpj.exe" in said
    assert " in 10.0 s" in rendered(render.job, JOB | {"state": "succeeded", "finished_at": "2026-11-22T23:50:00Z"}, [])


def test_sources_and_failures_off_a_terminal_are_tab_separated() -> None:
    source = {"id": "s", "mode": "page", "collection": "c", "spec": {"urls": ["http://a/", "http://b/"]}, "pages": 2}
    schedule = {"every_s": 86_400, "next_at": "2026-11-22T23:50:00Z", "last_job": {"state": "failed"}}
    header, row = rendered(render.sources, [source | schedule]).splitlines()
    assert header.split("\t") == ["id", "mode", "collection", "urls", "pages", "every", "next run", "last job"]
    assert row.split("\t") == ["s", "page", "c", "http://a/ and 1 more", "2", "1d", "2026-11-22 23:50 UTC", "failed"]
    failure = {"reason": "timeout", "url": "http://a/", "job_id": "j", "message": EVIL}
    assert rendered(render.failures, [failure]).splitlines()[1] == "timeout\thttp://a/\tj\tred gpj.exe [bold]b[/bold]  next"


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "—"), (900, "15m"), (5400, "90m"), (7200, "2h"), (604_800, "7d"), (901, "901s")]
)
def test_intervals_are_said_as_they_are_given(seconds: int | None, said: str) -> None:
    assert render.interval(seconds) == said


@pytest.mark.parametrize(
    ("state", "urls", "code"),
    [
        ("succeeded", {"indexed": 1, "failed": 9}, 0),
        ("succeeded", {"unchanged": 2}, 0),
        ("succeeded", {"failed": 2, "skipped": 1}, 1),
        ("failed", {"indexed": 3}, 1),
        ("cancelled", {"indexed": 3}, 1),
    ],
)
def test_ingest_fails_when_nothing_could_be_indexed(state: str, urls: dict[str, int], code: int) -> None:
    assert exit_code({"state": state, "urls": urls}) == code


def test_a_dry_run_is_told_from_a_job_and_shows_its_verdicts() -> None:
    dry = JOB | {"state": "succeeded", "spec": {"urls": ["http://a/"], "dry_run": True}, "notes": ["http://a: 1 pages"]}
    assert "crawl, dry run" in rendered(render.jobs, [dry])
    assert "dry run" not in rendered(render.jobs, [JOB])
    found = [
        {"url": "http://b/", "state": "skipped", "reason": "other_host", "message": "It is on another site."},
        {"url": "http://a/", "state": "skipped", "reason": "would_fetch", "message": "It would be fetched."},
    ]
    text = rendered(render.preview, dry, found)
    assert text.index("http://a/") < text.index("http://b/")
    assert "http://a: 1 pages" in text


def test_a_dry_run_has_done_its_work_without_indexing() -> None:
    assert exit_code({"state": "succeeded", "urls": {"skipped": 3}, "spec": {"dry_run": True}}) == 0
    assert exit_code({"state": "failed", "urls": {"failed": 1}, "spec": {"dry_run": True}}) == 1


# Arguments


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["ask"],
        ["ask", "x", "--url", "ftp://x"],
        ["search", "x", "--limit", "0"],
        ["search", "x", "--mode", "psychic"],
        ["ingest", "docs.example.com"],
        ["ingest", "http://a/", "--crawl", "--sitemap"],
        ["ingest", "http://a/", "--every", "daily"],
        ["ingest", "http://a/", "--every", "1d", "--dry-run"],
        ["ingest", "http://a/", "--keep", "main >"],
        ["ingest", "http://a/", "http://b/", "--explain"],
        ["ingest", "http://a/", "--explain", "--dry-run"],
        ["ingest", "http://a/", "--explain", "--every", "1d"],
        ["pages", "--max-kept", "60"],
        ["sources", "select", "s", "--keep", "main", "--clear"],
        ["sources", "select", "s", "--drop", "::before"],
        ["sources", "schedule", "s"],
        ["sources", "schedule", "s", "--every", "1d", "--stop"],
        ["sources", "delete", "s", "--pages"],
        ["delete", "x"],
    ],
)
def test_a_mistake_in_the_command_line_starts_nothing_and_exits_2(args: list[str]) -> None:
    result = CliRunner().invoke(app, args, env={"FOOTNOTE_URL": None})
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_url_without_scheme_is_answered_with_one() -> None:
    result = CliRunner().invoke(app, ["ingest", "docs.example.com"], env={"COLUMNS": "200"})
    assert "https://docs.example.com" in result.stderr


def test_a_url_where_nothing_answers_fails_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "--url", "http://127.0.0.1:1", "collections", "--json") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: The service at http://127.0.0.1:1 can't be reached")


def test_what_needs_a_lasting_service_does_not_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("FOOTNOTE_URL", raising=False)
    assert run_main(monkeypatch, "ingest", "http://a/", "--detach") == 1
    assert "footnote serve" in capsys.readouterr().err


def test_bad_settings_are_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FOOTNOTE_SERVER__PORT", "many")
    assert run_main(monkeypatch, "serve") == 1
    assert "server.port" in capsys.readouterr().err


def test_numpy_computes_with_one_thread_unless_told_otherwise() -> None:
    code = (
        "import os, sys, footnote.cli as cli\n"
        "cli.app = lambda: print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])\n"
        "cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    for chosen, expected in (({}, "False 1"), ({"OPENBLAS_NUM_THREADS": "7"}, "False 7")):
        ran = subprocess.run([sys.executable, "-c", code], env=environment | chosen, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == expected


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys, footnote.cli; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    heavy = {
        "torch",
        "sentence_transformers",
        "transformers",
        "fastapi",
        "pymilvus",
        "dbos",
        "sqlalchemy",
        "uvicorn",
        "numpy",
        "xllamacpp",
    }
    assert not loaded & heavy


# Doctor


def test_doctor_tells_of_missing_weights_with_the_remedy(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, index=IndexSettings(embedder=str(tmp_path / "none")), llm=LlmSettings(model=str(tmp_path / "no.gguf"))
    )
    assert doctor.check_embedder(settings).status is Status.MISSING
    found = doctor.check_language_model(settings)
    assert found.status is Status.MISSING
    assert "FOOTNOTE_LLM__ENGINE=none" in found.remedy


def test_doctor_knows_the_built_in_model_and_a_server(tmp_path: Path) -> None:
    built_in = doctor.check_language_model(Settings(data_dir=tmp_path))
    assert built_in.status is Status.OK
    assert "gemma-3-270m-q4" in built_in.found
    server = doctor.check_language_model(Settings(llm=LlmSettings(engine="openai", base_url="http://h/v1", model="m")))
    assert "m at http://h/v1" in server.found


def test_doctor_knows_what_the_optional_engines_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "has_nvidia", lambda: False)
    on_gpu = {"engine": "transformers", "model": str(tmp_path)}
    found = doctor.check_language_model(Settings(llm=on_gpu))
    assert (found.status, "no NVIDIA driver" in found.found) == (Status.MISSING, True)
    assert "LLM__DEVICE=cpu" in found.remedy
    assert "no .safetensors" in doctor.check_language_model(Settings(llm=on_gpu | {"device": "cpu"})).found
    (tmp_path / "model.safetensors").touch()
    assert doctor.check_language_model(Settings(llm=on_gpu | {"device": "cpu"})).status is Status.OK
    hosted = {"engine": "langchain", "model": "anthropic:some"}
    assert doctor.check_language_model(Settings(llm=hosted)).status is Status.OK
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    assert "[gpu]" in doctor.check_language_model(Settings(llm=on_gpu | {"device": "cpu"})).remedy
    assert "[langchain]" in doctor.check_language_model(Settings(llm=hosted)).remedy


def test_doctor_looks_for_a_browser_where_pages_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(doctor.check_browser(Settings())) == []
    [missing] = doctor.check_browser(Settings(ingest=IngestSettings(render="always", browser_path="no-such-browser")))
    assert missing.status is Status.MISSING
    assert "apt-get install chromium" in missing.found
    monkeypatch.setattr("os.geteuid", lambda: 0)
    [as_root] = doctor.check_browser(Settings(ingest=IngestSettings(render="always", browser_path="sh")))
    assert "sandbox as root" in as_root.found


def test_doctor_finds_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert [f.status for f in doctor.check_data_directory(tmp_path / "file" / "data")] == [Status.MISSING]
    assert doctor.Status.MISSING not in [f.status for f in doctor.check_data_directory(tmp_path / "new" / "data")]
    assert not (tmp_path / "new").exists()


def test_doctor_finds_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert doctor.check_port("127.0.0.1", taken.getsockname()[1]).status is Status.MISSING
    assert doctor.check_port("127.0.0.1", 0).status is Status.OK


def test_doctor_reads_the_package_requirements() -> None:
    assert doctor.check_packages().status in (Status.OK, Status.WARN)
    assert doctor.check_packages("no-such-distribution").status is Status.MISSING


def test_doctor_advises_a_server_for_a_large_index() -> None:
    assert doctor.check_index_size(pages=1, chunks=50_000).status is Status.OK
    assert doctor.check_index_size(pages=1, chunks=50_001).status is Status.WARN


def test_doctor_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FOOTNOTE_SERVER__PORT", "0")
    code = run_main(monkeypatch, "doctor", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ready_to_serve"] is (code == 0)
    assert {"python", "packages", "settings", "embedder", "language model", "gpu", "service"} <= {
        f["name"] for f in report["findings"]
    }


def test_doctor_stays_whole_when_the_settings_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_NONSENSE", "1")
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["settings"].status is Status.MISSING
    assert "FOOTNOTE_NONSENSE" in findings["settings"].found


def test_a_data_directory_is_locked_only_while_it_is_owned(tmp_path: Path) -> None:
    from corpus.datadir import DataDirectory

    assert not is_locked(DataDirectory(tmp_path))
    with DataDirectory(tmp_path) as directory:
        assert is_locked(directory)
    assert not is_locked(DataDirectory(tmp_path))


def test_a_verification_says_what_is_wrong_and_what_is_left() -> None:
    finding = {"difference": "orphan_in_index", "subject": EVIL, "store": "tokens", "message": "A stranger.", "mended": False}
    body = {"clean": False, "pages": 3, "chunks": 4000, "pending": 1, "mended": 2, "findings": [finding]}
    lines = rendered(render.verification, body | {"counts": {"orphan_in_index": 3}}).splitlines()
    assert lines[:2] == ["3 × orphan_in_index", "    red gpj.exe [bold]b[/bold]  next (tokens): A stranger."]
    assert "3 differences in 3 pages, 4,000 chunks: 2 mended, 1 left" in lines[2]
    clean = body | {"clean": True, "counts": {}, "findings": [], "pending": 0, "mended": 0}
    assert rendered(render.verification, clean).startswith("Clean: 3 pages, 4,000 chunks;")
