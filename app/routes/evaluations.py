"""/v1/evaluations: how good search and answers were found to be."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from app.evaluations import Evaluations
from app.routes.problems import problems
from app.schemas import EvaluationBody, EvaluationList
from app.state import Administering, Service

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])


@router.get("", responses=problems())
async def list_evaluations(service: Administering) -> EvaluationList:
    """The reports that `footnote eval … --publish` left in the data directory, the newest first."""
    found = await asyncio.to_thread(_evaluations(service).list)
    return EvaluationList(evaluations=[EvaluationBody(**asdict(one)) for one in found])


@router.get("/{evaluation_id}", responses=problems(404))
async def get_evaluation(evaluation_id: str, service: Administering) -> dict[str, Any]:
    """A whole report, as `footnote eval … --json` writes it."""
    return await asyncio.to_thread(_evaluations(service).read, evaluation_id)


def _evaluations(service: Service) -> Evaluations:
    return Evaluations(service.corpus.directory.evaluations)
