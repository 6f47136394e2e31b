"""/v1/citations: what became of citations that were given earlier."""

from __future__ import annotations

from fastapi import APIRouter

from app.citations import CitationChecker, PastCitation
from app.routes.problems import problems
from app.schemas import AgedBody, AgedList, CitationsCheck
from app.state import Querying

router = APIRouter(prefix="/v1/citations", tags=["citations"])


@router.post("/check", responses=problems(413))
async def check_citations(body: CitationsCheck, service: Querying) -> AgedList:
    """Do the quotes of earlier answers still stand? All are compared with one state of the stored pages; nothing is fetched."""
    past = [PastCitation(**citation.model_dump()) for citation in body.citations]
    return AgedList(citations=[AgedBody.of(aged) for aged in await CitationChecker(pages=service.pages).aged(past)])
