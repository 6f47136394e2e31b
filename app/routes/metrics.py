"""/metrics, for Prometheus."""

from __future__ import annotations

import asyncio
import shutil

from fastapi import APIRouter, Request, Response

from app.routes.problems import problems
from app.state import Administering, Readiness, Service
from corpus.datadir import DataDirectory
from corpus.index_facts import index_facts

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}, **problems()},
)
async def metrics(service: Administering, request: Request) -> Response:
    """Figures for Prometheus; docs/operations.md tells what they mean. Reads the database and the data directory's sizes."""
    readiness: Readiness = request.app.state.readiness
    service.metrics.describe(
        version=request.app.version,
        embedder=service.corpus.embedder.stamp.name,
        reranker=service.reranker.name if service.reranker else "none",
        model=service.model.facts.name if service.model else "none",
        degraded=len(readiness.degraded),
    )
    service.metrics.tallied(await service.tallies.take())
    await _measure_disk(service)
    body, media_type = service.metrics.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type})


async def _measure_disk(service: Service) -> None:
    directory = service.corpus.directory
    facts = await service.database.snapshot(index_facts)

    def measure() -> None:
        parts = directory.index(facts.number).sizes_bytes() | {"database": database_bytes(directory)}
        service.metrics.measured_disk(bytes_by_part=parts, free_bytes=shutil.disk_usage(directory.path).free)

    await asyncio.to_thread(measure)


def database_bytes(directory: DataDirectory) -> int:
    """SQLite's files, their logs included; 0 where the database is on a server."""
    files = [*directory.path.glob(f"{directory.database.name}*"), *directory.path.glob(f"{directory.queue.name}*")]
    return sum(path.stat().st_size for path in files if path.is_file())
