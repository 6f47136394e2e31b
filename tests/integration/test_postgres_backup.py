"""What docs/networked.md says of backups of the stack, done: PostgreSQL's own dump is all that is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from corpus.settings import MilvusSettings, Settings
from corpus.token_vectors_postgres import SCHEMA
from tests.fakes import FakeEmbedder
from tests.integration.test_backup import answers, fill
from tests.postgres import INSTALLED, PostgresServer
from tests.shelf import open_shelf, urls

TOKENS = f"{SCHEMA}.*"  # large, and made anew with the index


def tool(name: str, *arguments: str) -> None:
    subprocess.run([INSTALLED[-1] / name, *arguments], check=True, timeout=120)


def dump(url: str, file: Path) -> None:
    tool("pg_dump", "--format=custom", f"--exclude-table-data={TOKENS}", f"--file={file}", url)


def restore(server: PostgresServer, file: Path) -> str:
    url = server.url(f"restored_{file.stem}")
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    tool("pg_restore", "--exit-on-error", f"--dbname={url}", str(file))
    return url


async def test_a_restored_dump_holds_the_same_ids_and_finds_the_same(
    postgres: PostgresServer, milvus_settings: MilvusSettings, fake_embedder: FakeEmbedder, tmp_path: Path
) -> None:
    def stack(url: str, milvus: MilvusSettings, folder: str) -> Settings:
        return Settings(data_dir=tmp_path / folder, llm={"engine": "none"}, database={"url": url}, milvus=milvus)

    file = tmp_path / f"{milvus_settings.collection_prefix}.dump".lower()
    url = postgres.fresh_database()
    async with open_shelf(stack(url, milvus_settings, "before"), fake_embedder) as shelf:
        await fill(shelf)
        dump(url, file)  # while it is open
        counts, expected = await shelf.pages.counts(), await answers(shelf)
        await shelf.put("https://h/later", "What comes later isn't in it.")
        await shelf.put("https://h/5", "The fifth lamp is gone.")
        await shelf.pages.delete((await shelf.search("third lamp burns no oil"))[0].chunk.page_id)

    restored = restore(postgres, file)
    new = milvus_settings.model_copy(update={"collection_prefix": f"{milvus_settings.collection_prefix}_new"})
    async with open_shelf(stack(restored, new, "after"), fake_embedder) as shelf:
        assert await shelf.pages.counts() == counts
        assert await answers(shelf) == expected
        assert (await shelf.verifier().verify()).differences == 0

    # On the index that has gone on since the dump was taken, which holds and lacks chunks that it shouldn't.
    async with open_shelf(stack(restored, milvus_settings, "beside"), fake_embedder) as shelf:
        assert (await shelf.verifier().verify(repair=True)).differences > 0
        assert (await shelf.verifier().verify()).differences == 0
        assert urls(await shelf.search("third lamp burns no oil"))[0] == "https://h/3"
        assert "https://h/later" not in urls(await shelf.search("what comes later"))
