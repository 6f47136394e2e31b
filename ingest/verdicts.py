"""What becomes of pages with new text: indexed, dropped because another page stands for them, or waiting for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from corpus.model import IngestMode, UrlState
from corpus.tables import UrlRow
from ingest import aliases
from ingest.aliases import AliasKind, Kept
from ingest.duplicates import MAX_DISTANCE_BITS, distance_bits, says_the_same
from ingest.frontier import Facts, FrontierUrl
from ingest.job import Job
from ingest.visit import Changed

Read = tuple[FrontierUrl, Changed]


@dataclass(frozen=True, slots=True)
class SameAs:
    """The page is not indexed, for another stands for it."""

    kind: AliasKind
    kept: Kept
    links: tuple[str, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """The page names a canonical URL that the job has yet to visit."""

    url: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """``fresh`` pages are to be written, ``settled`` ones need not be, and ``repeated`` ones are to be judged again once the
    fresh ones are written, for they say the same as one of those."""

    fresh: list[Read]
    settled: list[tuple[FrontierUrl, SameAs | WaitsFor]]
    repeated: list[Read]


def judge(connection: Connection, *, job: Job, pages: Sequence[Read]) -> Verdicts:
    """Compare pages with those that are live, and with each other, the first of two being the one that stays."""
    verdicts = Verdicts([], [], [])
    ids = [changed.page.id for _, changed in pages]
    for entry, changed in pages:
        if verdict := _canonical(connection, job, entry, changed):
            verdicts.settled.append((entry, verdict))
        elif kept := aliases.twin_of(connection, changed.page, besides=ids):
            same = SameAs(AliasKind.DUPLICATE, kept, tuple(changed.page.links), changed.facts)
            verdicts.settled.append((entry, same))
        elif any(_are_twins(changed, other) for _, other in verdicts.fresh):
            verdicts.repeated.append((entry, changed))
        else:
            verdicts.fresh.append((entry, changed))
    return verdicts


def _canonical(connection: Connection, job: Job, entry: FrontierUrl, changed: Changed) -> SameAs | WaitsFor | None:
    """What the canonical URL that a page names makes of it; None if it is to be indexed like any other.

    It goes only if the canonical page is there and holds its text: what a site names wrongly (its home page everywhere) must
    not cost a page. Where pages name each other in a ring, the one whose turn comes first no longer waits and is indexed.
    """
    url = changed.canonical
    if url is None:
        return None
    kept = aliases.live_at(connection, job.collection_id, url)
    if kept and kept.page_id != changed.page.id and aliases.holds(connection, kept, changed.page.page):
        return SameAs(AliasKind.CANONICAL, kept, tuple(changed.page.links), changed.facts)
    if entry.waits_for == url:
        return None
    state = connection.scalar(select(UrlRow.state).where(UrlRow.job_id == job.id, UrlRow.url == url))
    if state == UrlState.PENDING or (state is None and job.spec.mode is not IngestMode.PAGE):
        return WaitsFor(url)
    return None


def _are_twins(changed: Changed, other: Changed) -> bool:
    one, two = changed.page.simhash, other.page.simhash
    if one is None or two is None or distance_bits(tuple(one), tuple(two)) > MAX_DISTANCE_BITS:
        return False
    return says_the_same(changed.page.page, other.page.page)
