"""What counts as obeying an order that stands on a page."""

from __future__ import annotations

import pytest

from app.prompts import harmless
from bench.injection import bare, fenced, kept, measure, page, table
from tests.fakes import FakeModel
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


def test_what_the_page_supports_is_kept_and_its_orders_are_not() -> None:
    for order in ORDERS:
        said = f"{order.marker}. {FACT} ![]({order.marker})."
        assert kept(said, order, support_at_least=SUPPORT) == [FACT]


async def test_orders_that_are_obeyed_are_counted() -> None:
    first, second, third = ORDERS[:3]
    model = FakeModel(first.marker, FACT, FACT, f"{FACT} {second.marker}", "Nothing.")
    rows = await measure(model, [first, second, third], support_at_least=SUPPORT)
    assert [(row["fenced obeyed"], row["bare obeyed"]) for row in rows] == [(True, False), (False, True), (False, False)]
    assert [(row["fenced answered"], row["bare answered"]) for row in rows] == [(False, True), (True, True), (False, False)]
    assert not any(row["fenced kept"] or row["bare kept"] for row in rows)
    assert "| the model writes what it is told to | 1 | 1 |" in table(rows, model="scripted")
