"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read when OpenMP first loads: spinning threads crawl as soon as something else uses the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import pytest_asyncio
from dbos import DBOS

from corpus.database import postgres_url, sqlite_url
from corpus.embedding import SentenceTransformerEmbedder
from corpus.settings import MilvusSettings, Settings
from corpus.weights import MINILM
from tests.fakes import FakeEmbedder
from tests.milvus import LiteServer, lite_server
from tests.postgres import PostgresServer, is_installed, postgres_server
from tests.shelf import Shelf, open_shelf

if TYPE_CHECKING:
    from tests.running import Running, StartService


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own FOOTNOTE_… variables must not decide what a test sees."""
    for name in [name for name in os.environ if name.upper().startswith("FOOTNOTE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder.load(name=MINILM, device="cpu")


@pytest.fixture(scope="session")
def fake_embedder() -> FakeEmbedder:
    return FakeEmbedder()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgresql", action="store_true", help="Keep metadata and jobs on a PostgreSQL server that is started for the tests."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--postgresql"):
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip(reason="about SQLite's own files or plans"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if not is_installed():
        pytest.skip("PostgreSQL isn't installed (Debian's package: postgresql)")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def milvus() -> Iterator[LiteServer]:
    """An index server for all tests: give each a collection prefix of its own."""
    with lite_server() as server:
        yield server


@pytest.fixture
def milvus_settings(milvus: LiteServer) -> MilvusSettings:
    return MilvusSettings(uri=milvus.uri, collection_prefix=f"t{uuid.uuid4().hex}", startup_wait_s=0)


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Where a test keeps its metadata: SQLite in its data directory, or with ``--postgresql`` a database of its own there."""
    if not request.config.getoption("--postgresql"):
        return dict
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: {"url": server.fresh_database()}


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def either_database(request: pytest.FixtureRequest, new_database: Callable[[], dict[str, str]]) -> Callable[[], dict[str, str]]:
    """As ``new_database``, for tests that are run on both without being asked to."""
    if request.param == "sqlite":
        return new_database
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: {"url": server.fresh_database()}


@dataclass(frozen=True, slots=True)
class Home:
    """Where a test keeps metadata and jobs: the addresses of both."""

    database: str
    queue: str


@pytest.fixture
def home(tmp_path: Path, new_database: Callable[[], dict[str, str]], empty_queue: Path) -> Home:
    if server := new_database().get("url"):
        return Home(postgres_url(server), server)
    shutil.copy(empty_queue, tmp_path / "queue.sqlite")
    return Home(sqlite_url(tmp_path / "footnote.sqlite"), sqlite_url(tmp_path / "queue.sqlite", driver="sqlite"))


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], dict[str, str]]) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), llm={"engine": "none"}, database=new_database())


@pytest.fixture
async def shelf(settings: Settings, fake_embedder: FakeEmbedder) -> AsyncIterator[Shelf]:
    """An empty corpus whose embedder is the fake one."""
    async with open_shelf(settings, fake_embedder) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_shelf(
    tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, new_database: Callable[[], dict[str, str]]
) -> AsyncIterator[Shelf]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), llm={"engine": "none"}, database=new_database())
    async with open_shelf(settings, fake_embedder) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def emptied_shelf(kept_shelf: Shelf) -> Shelf:
    """As ``shelf``, but opened once a module (opening takes a second), for modules that run in one event loop."""
    for collection in await kept_shelf.pages.collections():
        for page in (await kept_shelf.pages.list(collection=collection.name, limit=1000))[0]:
            await kept_shelf.pages.delete(page.id)
    return kept_shelf


@pytest.fixture
async def real_shelf(settings: Settings, real_embedder: SentenceTransformerEmbedder) -> AsyncIterator[Shelf]:
    """An empty corpus whose embedder is the built-in one."""
    async with open_shelf(settings, real_embedder) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty_queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DBOS queue file to copy: a worker makes its tables, a client never does, and making them takes a while."""
    path = tmp_path_factory.mktemp("queue") / "queue.sqlite"
    DBOS.migrate(sqlite_url(path, driver="sqlite"))
    return path


@pytest.fixture(scope="session")
def start_service(tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, empty_queue: Path) -> StartService:
    """Starts a service with these settings, in a data directory of its own."""
    from tests.running import running  # the application is nothing to unit tests

    def start(**settings: Any) -> AbstractContextManager[Running]:
        own = Settings(data_dir=tmp_path_factory.mktemp("service"), **settings)
        return running(own, embedder=fake_embedder, queue=empty_queue)

    return start
