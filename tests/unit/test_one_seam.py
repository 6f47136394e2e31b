"""Nothing but the fetcher opens a socket to the outside: invariant 5 is worth no more than this."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "corpus", "ingest", "footnote")

NETWORK_MODULES = (
    "socket",
    "ssl",
    "http.client",
    "urllib.request",
    "ftplib",
    "smtplib",
    "xmlrpc",
    "telnetlib",
    "httpcore2",
    "httpx2",
    "httpcore",
    "httpx",
    "h11",
    "anyio",
    "requests",
    "urllib3",
    "aiohttp",
    "websockets",
    "websocket",
    "grpc",
    "pycurl",
    "playwright",
    "selenium",
    "opentelemetry.exporter",
)
NETWORK_CALLS = (
    "open_connection",
    "open_unix_connection",
    "create_connection",
    "create_unix_connection",
    "create_datagram_endpoint",
    "sock_connect",
    "getaddrinfo",
    "gethostbyname",
    "urlopen",
    "urlretrieve",
    "fetch_url",  # trafilatura's
    "fetch_response",
    "snapshot_download",
    "hf_hub_download",
)
ALLOWED = {
    # The one way out: the guard resolves and connects, the meter counts, the fetcher speaks HTTP.
    "ingest/guard.py": {"socket", "httpcore2", "getaddrinfo"},
    "ingest/metering.py": {"ssl", "httpcore2"},
    "ingest/fetch.py": {"ssl", "httpcore2", "httpx2"},
    # The browser, whose requests the fetcher answers, and the socket that is its dead end.
    "ingest/browser.py": {"socket", "playwright"},
    # The index server, which the settings name.
    "corpus/store_connection.py": {"grpc"},
    # A language model's server, which the settings name.
    "app/llm/openai_compatible.py": {"httpx2"},
    # A model that a person asks for by name, once, at the command line.
    "footnote/commands/models.py": {"snapshot_download"},
    # Footnote's own service: its clients, and the ports it listens on.
    "footnote/client.py": {"httpx2"},
    "footnote/api.py": {"httpx2"},
    "footnote/mcp_bridge.py": {"httpx2"},
    "footnote/doctor.py": {"socket"},
    "footnote/embedded.py": {"socket"},
    # A collector of traces, which OpenTelemetry's own variables name, where tracing is on.
    "footnote/tracing.py": {"opentelemetry.exporter"},
}


def network_words(source: str) -> Iterator[str]:
    """What in a module could reach a network: imports of network modules, and names that connect or resolve."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=0):
                found = [f"{module}.{alias.name}" for alias in names]
                yield from (alias.name for alias in names if alias.name in NETWORK_CALLS)
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in NETWORK_CALLS:
                yield name
                continue
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="__import__"), args=[ast.Constant(value=name)]):
                found = [str(name)]
            case _:
                continue
        for name in found:
            yield from (module for module in NETWORK_MODULES if f"{name}.".startswith(f"{module}."))


def test_only_the_fetcher_and_our_own_clients_know_the_network() -> None:
    known = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if words := set(network_words(path.read_text())):
                known[path.relative_to(ROOT).as_posix()] = words
    assert known == ALLOWED


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("import socket as s", "socket"),
        ("from http import client", "http.client"),
        ("import urllib.request", "urllib.request"),
        ("from urllib.request import urlopen", "urllib.request"),
        ("def f():\n    import httpx2.ASGI", "httpx2"),
        ("import asyncio\nasyncio.open_connection('h', 1)", "open_connection"),
        ("from asyncio import open_connection as o", "open_connection"),
        ("import trafilatura\ntrafilatura.fetch_url('http://h/')", "fetch_url"),
        ("import importlib\nimportlib.import_module('requests')", "requests"),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str, word: str) -> None:
    assert word in set(network_words(source))


def test_the_search_is_not_alarmed_by_what_stays_here() -> None:
    assert (
        set(network_words("from http import HTTPStatus\nfrom urllib.parse import quote\nimport sqlite3, socketserver")) == set()
    )
