"""Every way to search that is worth comparing. One more is one more line of ``CONFIGURATIONS``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from corpus.errors import InvalidInput
from corpus.fusion import ranked, reciprocal_rank
from corpus.model import SearchMode
from footnote.evaluation.engines import Engine
from footnote.evaluation.found import Ranked
from footnote.evaluation.index import CROSS_ENCODER, MAXSIM

Search = Callable[[Engine, str, int], Awaitable[Ranked]]
Lack = Callable[[Engine], str | None]


@dataclass(frozen=True, slots=True)
class Configuration:
    """``search(engine, question, limit)`` gives at most ``limit`` chunks. Below what a reranker has seen, a ranking goes on as
    ``continued_by`` ranks. ``lack`` says why an engine can't do it, or None."""

    name: str
    title: str
    search: Search
    continued_by: Search
    lack: Lack = lambda engine: None


def _by(mode: SearchMode, *, reranker: str | None = None) -> Search:
    async def search(engine: Engine, text: str, limit: int) -> Ranked:
        return await engine.search(text, mode=mode, limit=limit, reranker=reranker)

    return search


async def _reciprocal_ranks(engine: Engine, text: str, limit: int) -> Ranked:
    """Reciprocal rank fusion of the same two lists that the service fuses in its own way."""
    depth = min(max(engine.search_settings.candidates, limit), engine.most_hits)
    dense, lexical = await asyncio.gather(
        engine.search(text, mode=SearchMode.DENSE, limit=depth), engine.search(text, mode=SearchMode.LEXICAL, limit=depth)
    )
    by_chunk = {hit.chunk: hit for hit in (*dense.hits, *lexical.hits)}
    fused = reciprocal_rank([[hit.chunk for hit in one.hits] for one in (dense, lexical)])
    return Ranked([by_chunk[chunk] for chunk in ranked(fused)[:limit]], {**lexical.timings_ms, **dense.timings_ms})


async def _by_rank_bm25(engine: Engine, text: str, limit: int) -> Ranked:
    baseline = engine.rank_bm25()
    assert not isinstance(baseline, str), baseline
    return baseline.search(text, limit=limit)


def _lacks_rank_bm25(engine: Engine) -> str | None:
    baseline = engine.rank_bm25()
    return baseline if isinstance(baseline, str) else None


def _lacks(reranker: str) -> Lack:
    return lambda engine: None if reranker in engine.rerankers else "there is none (search.reranker)"


_LEXICAL, _DENSE, _CONVEX = _by(SearchMode.LEXICAL), _by(SearchMode.DENSE), _by(SearchMode.HYBRID)
_MAXSIM, _CROSS_ENCODER = (_by(SearchMode.HYBRID, reranker=kind) for kind in (MAXSIM, CROSS_ENCODER))

CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("rank-bm25", "rank-bm25, whole documents", _by_rank_bm25, _by_rank_bm25, _lacks_rank_bm25),
    Configuration("bm25", "words alone", _LEXICAL, _LEXICAL),
    Configuration("dense", "embeddings alone", _DENSE, _DENSE),
    Configuration("rrf", "both, by reciprocal ranks", _reciprocal_ranks, _reciprocal_ranks),
    Configuration("convex", "both, by normalised scores", _CONVEX, _CONVEX),
    Configuration("maxsim", "convex, then token by token", _MAXSIM, _CONVEX, _lacks(MAXSIM)),
    Configuration("cross-encoder", "convex, then pair by pair", _CROSS_ENCODER, _CONVEX, _lacks(CROSS_ENCODER)),
)


def default_of(engine: Engine) -> str:
    """The configuration that the service runs unless a request says otherwise."""
    return engine.own_reranker or "convex"


def chosen(names: Sequence[str] | None, engine: Engine) -> tuple[list[Configuration], dict[str, str]]:
    """The configurations to run, in the order of the table, and those left out with the reason. All that can be, if no
    ``names`` are given.

    Raises: InvalidInput, if a name is unknown, or is one that the engine can't do.
    """
    known = {configuration.name: configuration for configuration in CONFIGURATIONS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InvalidInput(f"There is no configuration {', '.join(map(repr, unknown))}. There are: {', '.join(known)}.")
    lacks = {configuration.name: lack for configuration in CONFIGURATIONS if (lack := configuration.lack(engine))}
    for name in names or ():
        if name in lacks:
            raise InvalidInput(f"The configuration {name!r} can't be run: {lacks[name]}.")
    runs = [one for one in CONFIGURATIONS if one.name not in lacks and (not names or one.name in names)]
    return runs, {} if names else lacks
