"""Fixtures that the acceptance tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.scripted_model import ScriptedModel, scripted_model
from tests.acceptance.web_browser import Visit, running_browser, visiting


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Services without the ten seconds of imports that each would begin with. ``test_cli.py`` starts one as a user does."""
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model() as running:
        yield running


@pytest.fixture(scope="module")
def service_with_model(
    forks: ForkServer, tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel
) -> Iterator[MortalService]:
    """A service, empty at first, that asks the scripted model."""
    with MortalService(folder=tmp_path_factory.mktemp("web"), forks=forks, settings=model.settings) as running:
        running.start()
        yield running


@pytest.fixture
def visit(browser: Browser, service_with_model: MortalService) -> Iterator[Visit]:
    """A fresh window on that service's web page."""
    with visiting(browser, service_with_model.url) as opened:
        yield opened
