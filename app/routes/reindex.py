"""/v1/reindex: make the index anew with another embedder or other chunks, from the stored text, beside the one in use."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from app.routes.problems import problems
from app.schemas import ReindexBody, ReindexPlan, ReindexRequest
from app.state import Administering

router = APIRouter(prefix="/v1", tags=["reindex"])


@router.get("/reindex", responses=problems())
async def get_reindex(service: Administering) -> ReindexBody:
    """How far the reindex is, or how the last one ended."""
    return ReindexBody(**asdict(service.reindexing.status))


@router.post("/reindex/plan", responses=problems(507))
async def plan_reindex(body: ReindexRequest, service: Administering) -> ReindexPlan:
    """What a reindex with these settings would do; changes nothing. Loads the embedder to know it."""
    return ReindexPlan(**asdict(await service.reindexing.plan(body.wanted)))


@router.post("/reindex", status_code=202, responses=problems(409, 507))
async def start_reindex(body: ReindexRequest, service: Administering) -> ReindexBody:
    """Begin a reindex, or take up one with the same settings that was broken off. Questions are answered from the old index
    until the new one is whole; then the service changes over between two requests."""
    await service.reindexing.start(body.wanted, anyway=body.anyway)
    return ReindexBody(**asdict(service.reindexing.status))


@router.delete("/reindex", status_code=204, responses=problems(409))
async def abandon_reindex(service: Administering) -> None:
    """Give up the reindex that is running or was broken off. The index in use is as it was."""
    await service.reindexing.abandon()
