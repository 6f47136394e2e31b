"""The FastAPI application."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from app.callers import listens_on_loopback, needs_keys
from app.companions import Companion
from app.errors import BodyLimit, install_error_handlers
from app.metrics import Metrics
from app.routes import (
    ask,
    citations,
    evaluations,
    feedback,
    health,
    ingest,
    jobs,
    keys,
    mcp,
    metrics,
    openai,
    pages,
    reindex,
    search,
    sources,
    verify,
    web,
)
from app.routes.envelope import Envelope
from app.routes.gate import Gate
from app.routes.origins import OriginCheck
from app.routes.problems import describe_refusals
from app.state import Readiness, open_service
from app.warming import warming
from app.web_bundle import load_bundle
from corpus.settings import ServerSettings, Settings

log = logging.getLogger(__name__)
DESCRIPTION = "Answers from your web pages, with footnotes that hold."


def create_app(
    settings: Settings,
    *,
    companions: Sequence[Companion] = (),
    explainer: Companion | None = None,
    on_failed_start: Callable[[], None] = lambda: None,
    readiness: Readiness | None = None,
) -> FastAPI:
    """The service. It listens at once and loads in the background, so that /readyz can tell how far it is.

    ``companions`` run in the same process once the corpus is open; ``explainer`` too, where none of them can show how a page is
    read; ``on_failed_start`` is called after a start that failed, with the reason in ``readiness.error``.
    """
    state = readiness or Readiness()
    meters = Metrics()
    mcp_door = mcp.McpDoor(version=version("footnote-rag"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ending = asyncio.Event()
        running = asyncio.create_task(_run(settings, companions, explainer, state, ending, on_failed_start, meters))
        try:
            async with mcp_door.open():
                yield
        finally:
            state.stop()
            ending.set()
            await running

    app = FastAPI(
        title="Footnote",
        version=version("footnote-rag"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's own pages load scripts from a third party, which neither an offline machine nor its users want.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.server.max_body_bytes)
    app.state.readiness = state
    app.state.web = load_bundle()
    app.add_middleware(Gate, server=settings.server, readiness=state)
    if origins := settings.server.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(OriginCheck, allowed=origins)
    # A page that a name of its own resolves to this address (DNS rebinding) must not speak to us in its visitor's browser.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts(settings.server))
    app.add_middleware(Envelope, metrics=meters)
    install_error_handlers(app)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe_refusals(describe())
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]
    for routes in (
        ask,
        openai,
        citations,
        feedback,
        evaluations,
        search,
        ingest,
        jobs,
        sources,
        pages,
        keys,
        verify,
        reindex,
        health,
        metrics,
        web,
    ):
        app.include_router(routes.router)
    app.router.routes.append(Route("/mcp", mcp_door))
    return app


def allowed_hosts(server: ServerSettings) -> list[str]:
    """The Host names that are answered: the configured ones; else loopback's, or all where others are to reach the service."""
    loopback = ["127.0.0.1", "localhost", "[::1]"]
    return server.allowed_hosts or (loopback if listens_on_loopback(server.host) else ["*"])


async def _run(
    settings: Settings,
    companions: Sequence[Companion],
    explainer: Companion | None,
    readiness: Readiness,
    ending: asyncio.Event,
    on_failed_start: Callable[[], None],
    metrics: Metrics,
) -> None:
    """Open the service, keep it until told to stop, close it."""
    # What a start makes is there to stay; looking through it for garbage again and again took a sixth of the start.
    gc.disable()
    try:
        opened = open_service(settings, companions=companions, explainer=explainer, readiness=readiness, metrics=metrics)
        async with opened as service:
            gc.freeze()
            gc.enable()
            if ending.is_set():
                return
            readiness.service = service
            if settings.server.api_keys == "off" and not listens_on_loopback(settings.server.host):
                readiness.degraded.append("no API keys (server.api_keys is off): whoever reaches the service may use all of it")
            if service.model is None:
                readiness.degraded.append("no language model: answers are quotes")
            if needs_keys(settings.server):  # then /readyz tells strangers nothing, so it must stand here
                for lack in readiness.degraded:
                    log.warning("lacks: %s", lack)
            readiness.state = "ready"
            readiness.report("ready")
            readiness.settled.set()
            async with warming(service, readiness):
                await ending.wait()
    except Exception as exc:  # one of the two outermost loops: whatever stops a start must end the process with its reason
        readiness.state, readiness.stage, readiness.error = "failed", str(exc), exc
        readiness.settled.set()
        with suppress(Exception):
            on_failed_start()
    finally:
        gc.enable()
