"""Instruct and base models through transformers, quantised by bitsandbytes: NF4 (4 bits), int8, or bf16 as they are.

The answers of all users are generated together: transformers' continuous batching gives each step's tokens to everyone who is
being answered, so a long answer holds nobody up, and a long prompt is read in parts between which others get their tokens.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.llm.admission import Admission
from app.llm.base import Piece
from app.llm.memory import PAGE_TOKENS
from app.llm.stops import StopCutter
from app.llm.transformers_loading import Loaded, load
from corpus.errors import InvalidInput, Unavailable
from corpus.settings import LlmSettings

log = logging.getLogger(__name__)

POLL_S = 0.1
STOP_TIMEOUT_S = 30.0
RETRY_AFTER_S = 5


class TransformersModel:
    """One model in this process. Its generation runs in a thread of its own, and starts again if that ever breaks."""

    def __init__(self, *, loaded: Loaded, settings: LlmSettings) -> None:
        self.facts = loaded.facts
        self._loaded = loaded
        self._backend = loaded.tokenizer.backend_tokenizer  # the wrapper's padding state isn't safe for two threads
        self._control_tokens = _control_tokens(loaded.tokenizer)
        self._ends = _end_tokens(loaded.model, loaded.tokenizer)
        self.admission = Admission(slots=settings.slots, queue_limit=settings.queue_limit)
        self._slots = settings.slots
        self._listeners: dict[str, Callable[[Any], None]] = {}
        self._numbers = itertools.count()
        self._starting = threading.Lock()
        self._manager: Any = None
        self._start()

    @classmethod
    def load(cls, *, settings: LlmSettings, models_dir: Path | None = None) -> TransformersModel:
        """Load the weights and start to take prompts. ``models_dir``: where fetched models are. Blocks for seconds to minutes.

        Raises: as ``transformers_loading.load``.
        """
        return cls(loaded=load(settings, models_dir=models_dir), settings=settings)

    async def warm(self, beginning: str) -> None:
        """Kernels are loaded at the first batch; where all layers see the whole text, whole pages of it are kept for others."""
        async with aclosing(self.generate(beginning, max_tokens=1)) as pieces:
            async for _ in pieces:
                pass

    async def lacks(self) -> str | None:
        return f"the language model broke and starts again at the next answer: {self._failure}" if self._failure else None

    @property
    def _failure(self) -> str | None:
        error = self._manager.background_thread_status.fatal_error
        return None if error is None else f"{type(error).__name__}: {error}"[:300]

    def count_tokens(self, text: str) -> int:
        return len(self._backend.encode(text, add_special_tokens=False).ids)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        async with self.admission.slot(asker):
            ids = await asyncio.to_thread(self._encode, prompt)
            room = self.facts.context_tokens - len(ids)
            if room < 1:
                raise InvalidInput(
                    f"The prompt doesn't fit the model's context: {len(ids)} tokens of {self.facts.context_tokens}."
                )
            await asyncio.to_thread(self._ensure_running)
            loop = asyncio.get_running_loop()
            outputs: asyncio.Queue[Any] = asyncio.Queue()
            number = str(next(self._numbers))

            def listen(output: Any) -> None:
                loop.call_soon_threadsafe(outputs.put_nowait, output)

            self._listeners[number] = listen
            limit = min(max_tokens, room)
            try:
                added = self._manager.add_request(
                    ids, request_id=number, max_new_tokens=limit, streaming=True, eos_token_id=self._ends
                )
                if added is None:
                    raise self._broken()
                async for piece in self._pieces(outputs, StopCutter(stop), prompt_tokens=len(ids)):
                    yield piece
            finally:
                self._listeners.pop(number, None)
                self._manager.cancel_request(number)  # nothing, where it has ended

    async def _pieces(self, outputs: asyncio.Queue[Any], cutter: StopCutter, *, prompt_tokens: int) -> AsyncGenerator[Piece]:
        """Each output holds all tokens so far. A character of several tokens comes whole."""
        from tokenizers.decoders import DecodeStream

        decoding = DecodeStream(skip_special_tokens=True)
        read = 0
        while True:
            output = await outputs.get()
            if output is None or output.error is not None:
                raise self._broken()
            tokens = output.generated_tokens
            text = "".join(decoding.step(self._backend, token) or "" for token in tokens[read:] if token not in self._ends)
            read = len(tokens)
            said = cutter.feed(text)
            ended = output.is_finished()
            if cutter.stopped or (ended and tokens and tokens[-1] in self._ends):
                yield Piece(said + cutter.rest(), "stop", prompt_tokens, read)
                return
            if ended:
                yield Piece(said + cutter.rest(), "length", prompt_tokens, read)
                return
            if said:
                yield Piece(said)

    def _encode(self, prompt: str) -> list[int]:
        # What a page says must not be taken for the template's own marks, such as the end of the user's turn.
        prompt = self._control_tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}", prompt)
        if self.facts.style == "completion":
            return list(self._backend.encode(prompt).ids)
        text = self._loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=False,  # known to the templates of models that would think first; others pass over it
        )
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def _broken(self) -> Unavailable:
        return Unavailable(
            f"The language model broke off: {self._failure or 'its generation ended'}. It starts again at the next question.",
            retry_after_s=RETRY_AFTER_S,
        )

    def _ensure_running(self) -> None:
        with self._starting:
            if not self._manager.is_running():
                log.warning("the language model's generation had ended (%s) and is started again", self._failure)
                self._manager.stop(block=True, timeout=STOP_TIMEOUT_S)
                self._start()

    def _start(self) -> None:
        from transformers import GenerationConfig
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        batching = ContinuousBatchingConfig(
            page_size=PAGE_TOKENS,
            num_blocks=self._loaded.pages,
            max_batch_tokens=self._loaded.batch_tokens,
            max_requests_per_batch=self._slots,
            safety_margin=0.0,  # the cache was planned for every slot's whole context
            use_cuda_graph=False,
            use_async_batching=False,
            auto_switch_to_flash=False,  # it would look for kernels on the hub
        )
        generation = GenerationConfig(do_sample=False, eos_token_id=self._ends)  # type: ignore[no-untyped-call]
        manager = self._loaded.model.init_continuous_batching(generation_config=generation, continuous_batching_config=batching)
        manager.start()
        self._manager = manager
        threading.Thread(target=self._deliver, args=(manager,), name="llm-deliver", daemon=True).start()

    def _deliver(self, manager: Any) -> None:
        """Hand each output to whom it belongs, until the generation ends; then tell those who still wait."""
        while True:
            output = manager.get_result(timeout=POLL_S)
            if output is not None:
                self._tell(output.request_id, output)
            elif not manager.is_running():
                break
        for number in list(self._listeners):
            self._tell(number, None)

    def _tell(self, number: str, output: Any) -> None:
        if listener := self._listeners.get(number):
            try:
                listener(output)
            except RuntimeError:  # its event loop has closed: nobody listens any more
                self._listeners.pop(number, None)

    async def close(self) -> None:
        await asyncio.to_thread(self._manager.stop, block=True, timeout=STOP_TIMEOUT_S, hard_stop=True)


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a text: chat models end a turn with another than the one that ends a document."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    known = ends if isinstance(ends, list) else [ends]
    return sorted({token for token in (*known, tokenizer.eos_token_id) if token is not None})


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """A pattern of the tokens that mean something to the model's template and nothing in a text."""
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special and len(token.content) > 1]
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
