"""The memory plan of a language model, against figures that are known."""

from __future__ import annotations

import pytest
from transformers import Gemma3TextConfig, LlamaConfig

from app.llm.memory import BYTES_PER_WEIGHT, MemoryPlan, Shape, Weights, most_slots, plan, refuse_unless_it_fits
from corpus.errors import ModelTooLarge

# Llama 3.1 8B: 8.03 billion weights, 1.05 of them in the embedding and the output layer; 128 KiB of cache for each token.
LLAMA = LlamaConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)
WEIGHTS = Weights(linear=6_979_321_856, other_bytes=2 * 1_050_939_392, largest=128_256 * 4096)
OPTIONS = {"weights": WEIGHTS, "shape": Shape.of(LLAMA), "context_tokens": 8192, "batch_tokens": 2048, "on_gpu": True}


def test_the_cache_is_what_the_models_card_says() -> None:
    assert Shape.of(LLAMA).cache_bytes_per_token == 128 * 1024
    one = plan(**OPTIONS, quantisation="nf4", slots=1)
    eight = plan(**OPTIONS, quantisation="nf4", slots=8)
    assert eight.cache - one.cache == 7 * 8192 * 128 * 1024
    assert eight.pages - one.pages == 7 * 8192 // 256


def test_weights_take_what_their_quantisation_says() -> None:
    assert BYTES_PER_WEIGHT["nf4"] * 8 == pytest.approx(4.127, abs=1e-3)  # QLoRA: 4 bits and .127 for the scales
    sizes = {q: plan(**OPTIONS, quantisation=q, slots=1).weights / 1e9 for q in ("nf4", "int8", "bf16")}
    assert sizes == pytest.approx({"nf4": 5.7, "int8": 9.15, "bf16": 16.06}, abs=0.05)


def test_an_8b_model_fits_a_24_gb_card_in_nf4_and_not_in_bf16_with_eight_slots() -> None:
    assert plan(**OPTIONS, quantisation="nf4", slots=8).total < 23e9
    assert plan(**OPTIONS, quantisation="bf16", slots=8).total > 23e9


def test_the_most_slots_that_fit_do_fit_and_one_more_does_not() -> None:
    found = most_slots(64, int(20e9), **OPTIONS, quantisation="nf4")
    assert 1 < found < 64
    assert plan(**OPTIONS, quantisation="nf4", slots=found).total <= 20e9
    assert plan(**OPTIONS, quantisation="nf4", slots=found + 1).total > 20e9
    assert most_slots(64, int(4e9), **OPTIONS, quantisation="nf4") == 0


def test_a_refusal_has_figures_and_a_remedy() -> None:
    needed = MemoryPlan(weights=6_000_000_000, cache=8_000_000_000, working=1_000_000_000, pages=1)
    options = {"device": "cuda:0", "name": "a/b", "slots": 8}
    refuse_unless_it_fits(needed, free=15_000_000_000, fitting_slots=8, **options)
    with pytest.raises(ModelTooLarge, match=r"15\.0 GB on cuda:0, where 12\.0 GB.*6\.0 GB.*8\.0 GB.*llm\.slots to 5"):
        refuse_unless_it_fits(needed, free=12_000_000_000, fitting_slots=5, **options)
    with pytest.raises(ModelTooLarge, match=r"To mend it, take a smaller model"):
        refuse_unless_it_fits(needed, free=5_000_000_000, fitting_slots=0, **options)


def test_layers_that_see_a_window_need_a_mask_of_their_own() -> None:
    assert Shape.of(Gemma3TextConfig()).masks == 2
    assert Shape.of(LLAMA).masks == 1
