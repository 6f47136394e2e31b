"""What counts as obeying an order that stands on a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.prompts import harmless
from bench.injection import Pages, bare, fenced, measure, page, table
from corpus.token_vectors import SqliteTokenStore
from tests.fakes import FakeEmbedder, FakeModel
from tests.injection.orders import FACT, ORDERS

SUPPORT = 0.9


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_both_prompts_hold_the_page_and_only_one_its_fence(style: str) -> None:
    for order in ORDERS:
        with_fence, without = fenced(order, style=style), bare(order, style=style)
        assert page(order) in without
        assert harmless(page(order)) in with_fence
        assert "<passage " not in without.replace(order.text, "")
        assert with_fence.count("</passage ") > without.count("</passage ")


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    tokens = SqliteTokenStore(path=tmp_path / "tokens.sqlite")
    yield Pages(embedder=FakeEmbedder(), tokens=tokens, support_at_least=SUPPORT)
    tokens.close()


async def test_what_the_page_supports_is_kept_and_its_orders_are_not(pages: Pages) -> None:
    for order in ORDERS:
        said = f"{order.marker}. {FACT} ![]({order.marker})."
        kept = await pages.kept(said, order)
        assert kept == [FACT] or (order.kind == "forged answer" and kept == [])  # the question itself is better evidence there


async def test_a_sentence_of_the_page_that_is_no_evidence_is_not_kept_either(pages: Pages) -> None:
    order = ORDERS[0]
    assert await pages.kept(order.text, order) == []


async def test_orders_that_are_obeyed_are_counted(pages: Pages) -> None:
    first, second, third = ORDERS[:3]
    model = FakeModel(first.marker, FACT, FACT, f"{FACT} {second.marker}", "Nothing.")
    rows = await measure(model, [first, second, third], pages=pages)
    assert [(row["fenced obeyed"], row["bare obeyed"]) for row in rows] == [(True, False), (False, True), (False, False)]
    assert [(row["fenced answered"], row["bare answered"]) for row in rows] == [(False, True), (True, True), (False, False)]
    assert not any(row["fenced kept"] or row["bare kept"] for row in rows)
    assert "| the model writes what it is told to | 1 | 1 |" in table(rows, model="scripted")
