"""/v1/verify: proof that database and indexes hold the same."""

from __future__ import annotations

from fastapi import APIRouter

from app.routes.problems import problems
from app.schemas import VerifyReport, VerifyRequest
from app.state import Administering

router = APIRouter(prefix="/v1", tags=["verify"])


@router.post("/verify", responses=problems(409))
async def verify(body: VerifyRequest, service: Administering) -> VerifyReport:
    """Compare the database with itself and with every index; takes seconds for each 10,000 chunks, and holds nobody up."""
    return VerifyReport.of(await service.verifier.verify(repair=body.repair))
