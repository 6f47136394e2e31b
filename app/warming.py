"""Warming the language model up once the service is ready, so that the first answers need not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.prompts import common_beginning
from app.state import Readiness, Service
from corpus.errors import FootnoteError

log = logging.getLogger(__name__)


@asynccontextmanager
async def warming(service: Service, readiness: Readiness) -> AsyncIterator[None]:
    """Warm the language model up in the background, and give it up at the block's end."""
    task = asyncio.create_task(_warm_up(service, readiness))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _warm_up(service: Service, readiness: Readiness) -> None:
    if service.model is None or not service.settings.llm.warm_up:
        return
    readiness.stage = "ready; the language model warms up"
    began = time.monotonic()
    try:
        await service.model.warm(common_beginning(service.model.facts.style))
    except FootnoteError as exc:  # the first answers take longer, and say themselves what is wrong
        log.warning("the language model could not be warmed up: %s", exc.message)
    else:
        log.info("the language model is warm (%.1f s)", time.monotonic() - began)
    if readiness.state == "ready":
        readiness.stage = "ready"
