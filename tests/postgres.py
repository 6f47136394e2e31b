"""A PostgreSQL server of the tests' own, from the system's package, with one fresh database a test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from dbos import DBOS

from corpus.database import postgres_url, upgrade_schema

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
# Nothing here need survive a power cut. But a kill it must, so synchronous_commit stays on.
FAST = ("fsync=off", "full_page_writes=off", "max_connections=300")
TEMPLATE = "template_footnote"


def is_installed() -> bool:
    return bool(INSTALLED)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    folder: Path
    port: int

    def url(self, database: str) -> str:
        return f"postgresql://footnote@127.0.0.1:{self.port}/{database}"

    def fresh_database(self) -> str:
        """The URL of a database that holds the newest schema and no row."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
        return self.url(name)

    def empty_database(self) -> str:
        """The URL of a database without any table, sorted as a language would."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'".encode())
        return self.url(name)

    def start(self) -> None:
        self._control("start", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", self._options())

    def stop(self) -> None:
        """As a crash would: whoever is connected loses the connection."""
        self._control("stop", "-w", "-m", "immediate")

    def _options(self) -> str:
        named = [f"listen_addresses=127.0.0.1 port={self.port} unix_socket_directories={self.folder}", *FAST]
        return " ".join(f"-c {option}" for option in " ".join(named).split())

    def _control(self, *arguments: str) -> None:
        _as_postgres("pg_ctl", "-D", str(self.folder / "data"), *arguments)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="footnote-postgres-"))
    try:
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(folder, "postgres")
        _as_postgres("initdb", "-D", str(folder / "data"), "-U", "footnote", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        server = PostgresServer(folder, _free_port())
        server.start()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0".encode())
            upgrade_schema(postgres_url(server.url(TEMPLATE)))
            DBOS.migrate(server.url(TEMPLATE))
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(program: str, *arguments: str) -> None:
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    command = [INSTALLED[-1] / program, *arguments]
    # Not captured: the server that pg_ctl starts would hold the pipe open.
    subprocess.run(command, user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
