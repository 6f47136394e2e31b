"""``footnote doctor --deep``: every server that the settings name is asked to do what Footnote will ask of it, and every model is
loaded. What is written for it is taken back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from corpus.errors import FootnoteError
from footnote.doctor import Finding, Status

if TYPE_CHECKING:
    from corpus.settings import Settings
    from corpus.store_connection import MilvusServer

OLDEST_POSTGRESQL = 14
PROBE_DIMENSION = 8


def examine_servers(settings: Settings) -> Iterator[Finding]:
    """What each server and the embedder do when they are asked. Imports what it needs only now: some of it takes seconds."""
    if settings.database.url.get_secret_value():
        yield from check_postgresql(settings)
    if settings.milvus.uri:
        yield from check_milvus(settings)
    yield check_embedding(settings)
    if settings.llm.engine == "openai":
        yield check_model_server(settings)


def check_postgresql(settings: Settings) -> Iterator[Finding]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    from corpus.database import POSTGRES_OPTIONS, postgres_url

    engine = create_engine(postgres_url(settings.database.url.get_secret_value()), connect_args=POSTGRES_OPTIONS)
    where = f"{engine.url.host or 'its socket'}{f':{engine.url.port}' if engine.url.port else ''}/{engine.url.database}"
    try:
        with engine.connect() as connection:
            started = time.perf_counter()
            version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
            took_ms = _ms_since(started)
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
            room = connection.exec_driver_sql(
                "SELECT current_setting('max_connections')::int - count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend'"
            ).scalar_one()
            standby = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
            connection.rollback()
            if not standby:
                connection.exec_driver_sql("CREATE TABLE footnote_doctor_probe (n int)")
                connection.exec_driver_sql("INSERT INTO footnote_doctor_probe VALUES (1)")
                connection.rollback()
    except SQLAlchemyError as exc:
        said = str(getattr(exc, "orig", None) or exc).strip().splitlines()[0]
        yield Finding("postgresql", Status.MISSING, f"{where}: {said}", "start it, or correct database.url")
        return
    finally:
        engine.dispose()
    found = f"{where}: version {version // 10_000}, {took_ms:.1f} ms a query, a table can be made and taken back"
    if standby:
        yield Finding("postgresql", Status.MISSING, f"{where} is a standby, which can't be written to", "name the primary")
    elif encoding != "UTF8":
        yield Finding("postgresql", Status.MISSING, f"{where} is encoded in {encoding}", "make a database with ENCODING 'UTF8'")
    elif version // 10_000 < OLDEST_POSTGRESQL:
        yield Finding("postgresql", Status.WARN, found, f"{OLDEST_POSTGRESQL} is the oldest that is supported")
    else:
        yield Finding("postgresql", Status.OK, found)
    if room < 50:
        found = f"{room} connections are free; each process of Footnote takes up to 50"
        yield Finding("postgresql connections", Status.WARN, found, "raise max_connections, or pool them")


def check_milvus(settings: Settings) -> Iterator[Finding]:
    """In a collection of its own, which is dropped again."""
    from corpus.store import IndexFailure
    from corpus.store_connection import TESTED_VERSION, MilvusServer, version_numbers

    server = MilvusServer(settings.milvus)
    try:
        server.ask()
        started = time.perf_counter()
        server.ask()
        found = f"{server.address}: {server.version}, {_ms_since(started):.1f} ms a call"
        _write_and_read(server, f"{settings.milvus.collection_prefix}_doctor_{secrets.token_hex(4)}")
    except (FootnoteError, IndexFailure) as exc:
        said = exc.message if isinstance(exc, FootnoteError) else f"{exc}: {exc.__cause__}"
        yield Finding("index server", Status.MISSING, said, "start it, or correct the settings under milvus")
        return
    finally:
        server.close()
    found += "; a chunk can be written, found by vector and by word, and deleted"
    if server.is_lite:
        yield Finding("index server", Status.WARN, found, "a milvus-lite server is for tests: use Milvus 2.6.10 or newer")
    elif version_numbers(server.version) < TESTED_VERSION:
        yield Finding("index server", Status.WARN, found, "Milvus 2.6.10 is the oldest that is supported")
    else:
        yield Finding("index server", Status.OK, found)


def _write_and_read(server: MilvusServer, name: str) -> None:
    """Raises: FootnoteError, IndexFailure."""
    import numpy as np

    from corpus.store import IndexFilter, IndexRow
    from corpus.store_server import ServerCollection

    try:
        collection = ServerCollection(server=server, name=name, dimension=PROBE_DIMENSION)
        row = IndexRow("probe", "page", 1, 1, "https://probe.invalid/", "en", "Probe", "a probe of the index")
        vector = np.eye(PROBE_DIMENSION, dtype=np.float32)[0]
        everything = IndexFilter(collection_id=1)
        collection.upsert([row], vector[None])
        found = [
            collection.search_vector(vector, where=everything, limit=1),
            collection.search_words("probe", where=everything, limit=1),
        ]
        if [[candidate.id for candidate in hits] for hits in found] != [["probe"], ["probe"]]:
            raise FootnoteError(f"The index server at {server.address} doesn't find what was written to it.")
        collection.delete(["probe"])
        if collection.present(["probe"]):
            raise FootnoteError(f"The index server at {server.address} still holds what was deleted from it.")
    finally:
        server.call(lambda client: client.drop_collection(name))


def check_embedding(settings: Settings) -> Finding:
    from corpus.opening import load_embedder

    try:
        embedder = load_embedder(settings.index, models_dir=settings.data_dir / "models")
        started = time.perf_counter()
        vector = embedder.embed_query("Does it work?").vector
    except FootnoteError as exc:
        return Finding("embedding", Status.MISSING, exc.message, "correct index.embedder")
    return Finding("embedding", Status.OK, f"{len(vector)} dimensions, {_ms_since(started):.0f} ms for the first question")


def check_model_server(settings: Settings) -> Finding:
    from app.llm.openai_compatible import OpenAiModel

    async def ask() -> str | None:
        model = OpenAiModel(settings=settings.llm)
        try:
            return await model.lacks()
        finally:
            await model.close()

    lack = asyncio.run(ask())
    if lack is None:
        return Finding("model server", Status.OK, f"{settings.llm.base_url} answers, and has {settings.llm.model}")
    return Finding("model server", Status.MISSING, lack, "start it, or correct llm.base_url and llm.model")


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
