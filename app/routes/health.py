"""/healthz: the process lives. /readyz: it can answer, and in which shape."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from app.llm.base import LanguageModel
from app.schemas import Health, ReadinessBody
from app.state import Readiness
from corpus.errors import FootnoteError
from corpus.index_homes import IndexHome

router = APIRouter(tags=["health"])

MODEL_TIMEOUT_S = 2.0
SERVER_TIMEOUT_S = 2.0


@router.get("/healthz")
async def healthz() -> Health:
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": ReadinessBody, "description": "Starting, failed or stopping"}})
async def readyz(request: Request, response: Response) -> ReadinessBody:
    """200 once questions can be answered, 503 before and while stopping. `degraded` names what is missing.

    Where keys are needed, whoever shows none is told the state alone."""
    readiness: Readiness = request.app.state.readiness
    if getattr(request.state, "is_stranger", False):  # whose key would open the rest
        is_ready = readiness.service is not None
        response.status_code = 200 if is_ready else 503
        return ReadinessBody(state=readiness.state, stage=readiness.state, degraded=[], version=request.app.version)
    body = ReadinessBody(state=readiness.state, stage=readiness.stage, degraded=readiness.degraded, version=request.app.version)
    service = readiness.service
    if service is None:
        response.status_code = 503
        return body
    counts = await service.pages.counts()
    lack = await _lack_of(service.model) if service.model else None
    away = await _trouble_of(service.corpus.home)
    return body.model_copy(
        update={
            "degraded": [*readiness.degraded, *filter(None, (away, lack))],
            "embedder": service.corpus.embedder.stamp.name,
            "reranker": service.reranker.name if service.reranker else None,
            "model": asdict(service.model.facts) if service.model else None,
            "pages": counts["pages"],
            "chunks": counts["chunks"],
        }
    )


async def _trouble_of(home: IndexHome) -> str | None:
    """Why no question can be answered now, if the index server is away. Asked each time, as :func:`_lack_of`."""
    try:
        async with asyncio.timeout(SERVER_TIMEOUT_S):
            await asyncio.to_thread(home.ask)
    except FootnoteError as exc:
        return exc.message
    except TimeoutError:
        return f"the index server doesn't tell within {SERVER_TIMEOUT_S:g} s whether it is there"
    return None


async def _lack_of(model: LanguageModel) -> str | None:
    """Asked each time: a server that was down comes back, and one that was up goes."""
    try:
        async with asyncio.timeout(MODEL_TIMEOUT_S):
            return await model.lacks()
    except TimeoutError:
        return f"the language model doesn't tell within {MODEL_TIMEOUT_S:g} s whether it can answer"
