"""Fixtures that the acceptance tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.mortal import ForkServer


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Services without the ten seconds of imports that each would begin with. ``test_cli.py`` starts one as a user does."""
    with ForkServer() as server:
        yield server
