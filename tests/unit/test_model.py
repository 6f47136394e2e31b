"""Ids and hashes: stored on disk, so they must never change."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.model import Chunk, JobState, PageText, chunk_id, content_hash, page_id
from corpus.pages import live_chunks


def test_ids_and_hashes_are_what_old_indexes_hold() -> None:
    page = page_id(1, "https://a.example/")
    assert page == "fefa94e355e00bdf4cee897dca68a14b"
    assert chunk_id(page, 7, 0) == "8c2c58cc1d5d3297ba25805430f35303"
    assert content_hash("Guide", "Text.") == "ba40744d059c4f8348414d6cb0d8795270044c218a03f7fc68a0cfee058c4977"


def test_a_page_belongs_to_its_collection() -> None:
    assert page_id(1, "https://a.example/") != page_id(2, "https://a.example/")
    assert page_id(1, "1\nhttps://a.example/") != page_id(11, "https://a.example/")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_chunk_ids_differ_by_generation_and_ordinal(g1: int, o1: int, g2: int, o2: int) -> None:
    assert (chunk_id("p", g1, o1) == chunk_id("p", g2, o2)) == ((g1, o1) == (g2, o2))


def test_the_content_hash_covers_title_and_text() -> None:
    first = PageText("A", "text", ()).content_hash
    assert first != PageText("B", "text", ()).content_hash
    assert first != PageText("A", "text.", ()).content_hash
    assert first == PageText("A", "text", (), language="en").content_hash


@pytest.mark.parametrize("state", list(JobState))
def test_final_states_are_those_a_job_never_leaves(state: JobState) -> None:
    assert state.is_final == (state in {"succeeded", "failed", "cancelled"})


def test_what_is_read_of_a_chunk_are_its_fields_in_their_order() -> None:
    assert live_chunks().selected_columns.keys() == [field.name for field in fields(Chunk)]
