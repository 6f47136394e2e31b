"""The parser pool against real worker processes: a hang, a memory blow-up, a crash, a cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from corpus.errors import PermanentError, TransientError
from ingest.extract import pool as parsing
from ingest.extract.pool import ParserPool

PAGE = b"<html lang=en><title>T</title><body><h1>T</h1><p>Some text to read.</p></body></html>"


def hang(body: bytes) -> None:
    target = Path(body.decode())
    target.with_suffix(".new").write_text(str(os.getpid()))
    target.with_suffix(".new").rename(target)
    time.sleep(60)


def process_id(body: bytes) -> int:
    return os.getpid()


def bloat(body: bytes) -> int:
    return len(bytearray(int(body)))


def crash(body: bytes) -> None:
    os._exit(11)


def break_down(body: bytes) -> None:
    raise ValueError("a bug in the parser")


def refuse(body: bytes) -> None:
    raise TransientError("Come back later.", reason="busy", retry_after_s=7.0, host="h.test")


@pytest.fixture
async def pool() -> AsyncIterator[ParserPool]:
    async with ParserPool(timeout_s=1.5, memory_bytes=300_000_000) as running:
        yield running


async def read(pool: ParserPool) -> str:
    extracted = await pool.extract(PAGE, url="http://h.test/", content_type="text/html", charset=None)
    return extracted.page.text


async def test_extracts_and_reads_sitemaps(pool: ParserPool) -> None:
    assert await read(pool) == "# T\n\nSome text to read."
    sitemap = await pool.sitemap(
        b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>http://h.test/a</loc></url></urlset>'
    )
    assert [url.loc for url in sitemap.urls] == ["http://h.test/a"]


async def test_errors_cross_the_border_intact(pool: ParserPool) -> None:
    with pytest.raises(PermanentError) as unreadable:
        await pool.extract(b"x", url="http://h.test/", content_type="image/png", charset=None)
    assert unreadable.value.reason == "unsupported_type"
    assert unreadable.value.details == {"content_type": "image/png"}
    with pytest.raises(TransientError) as busy:
        await pool._run(refuse, b"")
    assert (busy.value.message, busy.value.reason, busy.value.retry_after_s) == ("Come back later.", "busy", 7.0)
    assert busy.value.details == {"host": "h.test"}


@pytest.mark.parametrize(
    ("parse", "body", "reason"),
    [(bloat, b"2000000000", "parse_memory"), (crash, b"", "parse_crashed"), (break_down, b"", "parse_crashed")],
)
async def test_a_broken_limit_fails_the_page_alone(pool: ParserPool, parse: object, body: bytes, reason: str) -> None:
    with pytest.raises(PermanentError) as failure:
        await pool._run(parse, body)  # type: ignore[arg-type]
    assert failure.value.reason == reason
    assert "Some text" in await read(pool)


async def test_memory_within_the_limit_is_granted(pool: ParserPool) -> None:
    assert await pool._run(bloat, b"100000000") == 100_000_000


async def test_a_hang_is_killed_at_the_time_limit(pool: ParserPool, tmp_path: Path) -> None:
    await read(pool)
    began = time.monotonic()
    with pytest.raises(PermanentError) as failure:
        await pool._run(hang, str(tmp_path / "pid").encode())
    assert failure.value.reason == "parse_timeout"
    assert time.monotonic() - began < 10
    await ended(tmp_path / "pid")
    assert "Some text" in await read(pool)


async def test_cancelling_the_call_kills_the_parse(pool: ParserPool, tmp_path: Path) -> None:
    task = asyncio.create_task(pool._run(hang, str(tmp_path / "pid").encode()))
    await until(lambda: (tmp_path / "pid").exists())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended(tmp_path / "pid")
    assert "Some text" in await read(pool)


async def test_a_worker_killed_while_idle_is_replaced(pool: ParserPool) -> None:
    os.kill(await pool._run(process_id, b""), signal.SIGKILL)
    await asyncio.sleep(0.5)
    for _ in range(3):
        with contextlib.suppress(TransientError):
            assert "Some text" in await read(pool)
            return
    pytest.fail("the pool did not recover")


async def test_leaving_the_block_stops_the_worker(tmp_path: Path) -> None:
    async with ParserPool(timeout_s=30, memory_bytes=300_000_000) as pool:
        task = asyncio.create_task(pool._run(hang, str(tmp_path / "pid").encode()))
        await until(lambda: (tmp_path / "pid").exists())
    await ended(tmp_path / "pid")
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RuntimeError):
        await read(pool)


async def test_the_event_loop_stays_free(pool: ParserPool, tmp_path: Path) -> None:
    task = asyncio.create_task(pool._run(hang, str(tmp_path / "pid").encode()))
    longest_s = 0.0
    while not task.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest_s = max(longest_s, time.monotonic() - before)
    assert isinstance(task.exception(), PermanentError)
    assert longest_s < 0.5


def test_the_worker_imports_nothing_heavy() -> None:
    """What a worker imports is what it costs to start one; ``parsing`` must not pull in models or the web framework."""
    source = (
        f"import sys; sys.path.insert(0, {str(Path(parsing.__file__).parents[1])!r}); import ingest.extract.pool; "
        "print(','.join(m for m in ('torch', 'transformers', 'fastapi', 'pymilvus', 'sqlalchemy') if m in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.strip() == ""


def is_gone(pid_file: Path) -> bool:
    status = Path(f"/proc/{pid_file.read_text()}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


async def ended(pid_file: Path) -> None:
    await until(lambda: is_gone(pid_file))


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Other processes give no signal to wait on, so look again and again."""
    for _ in range(int(within_s / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not happen in time")
