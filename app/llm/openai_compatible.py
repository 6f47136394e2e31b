"""Language models behind the OpenAI API: vLLM, llama-server, Ollama, TGI, or a provider.

Streams ``/chat/completions`` (or ``/completions``, for base models) as server-sent events. Hanging up is how a generation is
cancelled there: all these servers free the slot of a client that is gone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from http import HTTPStatus
from typing import Any

import httpx2

from app.llm.admission import Admission
from app.llm.base import ModelFacts, Piece, most_tokens
from corpus.errors import InvalidInput, Overloaded, Unavailable
from corpus.settings import LlmSettings
from corpus.spans import trace_headers

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
RETRY_AFTER_S = 5
MAX_EVENT_CHARS = 1_000_000
DATA = "data:"


class OpenAiModel:
    """One model of one server. Safe for concurrent use from one event loop."""

    def __init__(self, *, settings: LlmSettings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        key = settings.api_key.get_secret_value()
        self._client = httpx2.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(settings.request_deadline_s, connect=CONNECT_TIMEOUT_S),
            trust_env=False,  # a proxy that somebody's shell names must not see the questions
            transport=transport,
        )
        self._server = settings.base_url
        self.admission = Admission(slots=settings.slots, queue_limit=settings.queue_limit)
        self.facts = ModelFacts(
            name=settings.model,
            engine="openai",
            device=settings.base_url,
            quantisation="as the server has it",
            context_tokens=settings.context_tokens,
            style="completion" if settings.style == "completion" else "chat",
        )

    async def warm(self, beginning: str) -> None:
        """Nothing: servers cache for themselves, and asking may cost."""

    async def lacks(self) -> str | None:
        """What keeps the server from answering, as far as its list of models tells; None if nothing is known to."""
        try:
            response = await self._client.get("models")
            names = [model["id"] for model in response.json()["data"]] if response.is_success else None
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
            return f"the language model server {self._server} doesn't answer ({type(exc).__name__}): answers are quotes"
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"the language model server {self._server} refuses the key (llm.api_key): answers are quotes"
        if names and self.facts.name not in names:
            return f"the language model server {self._server} has no {self.facts.name!r}, but {', '.join(sorted(names)[:5])}"
        return None

    def count_tokens(self, text: str) -> int:
        return most_tokens(text)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        request: dict[str, Any] = {
            "model": self.facts.name,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stop": list(stop),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.facts.style == "chat":
            path, request["messages"] = "chat/completions", [{"role": "user", "content": prompt}]
        else:
            path, request["prompt"] = "completions", prompt
        ended = None
        usage: dict[str, Any] = {}
        async with self.admission.slot(asker):
            try:
                async with self._client.stream("POST", path, json=request, headers=trace_headers()) as response:
                    if not response.is_success:
                        await response.aread()
                        raise self._refusal(response)
                    async for chunk in _events(response):
                        usage = chunk.get("usage") or usage
                        choice = (chunk.get("choices") or [{}])[0]
                        ended = choice.get("finish_reason") or ended
                        if text := choice.get("text") or (choice.get("delta") or {}).get("content"):
                            yield Piece(str(text))
            except (httpx2.HTTPError, ValueError) as exc:
                log.warning("the language model server %s failed: %r", self._server, exc)
                raise Unavailable(
                    f"The language model server {self._server} failed ({type(exc).__name__}). Does it run at llm.base_url?",
                    retry_after_s=RETRY_AFTER_S,
                ) from exc
        if ended:
            yield Piece("", "length" if ended == "length" else "stop", usage.get("prompt_tokens"), usage.get("completion_tokens"))

    def _refusal(self, response: httpx2.Response) -> Exception:
        said = _message(response)
        match response.status_code:
            case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
                after = response.headers.get("retry-after", "")
                wait_s = min(int(after), 600) if after.isdecimal() else RETRY_AFTER_S
                return Overloaded(f"The language model server is busy: {said}", retry_after_s=wait_s)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.REQUEST_ENTITY_TOO_LARGE if "context" in said or "length" in said:
                return InvalidInput(f"The prompt doesn't fit the model's context: {said}")
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return Unavailable(f"The language model server {self._server} refuses the key (llm.api_key): {said}")
            case status:
                log.warning("the language model server %s answered %d: %s", self._server, status, said)
                return Unavailable(
                    f"The language model server {self._server} answered {status}: {said} Are llm.base_url, llm.model right?",
                    retry_after_s=RETRY_AFTER_S,
                )

    async def close(self) -> None:
        await self._client.aclose()


async def _events(response: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
    """The JSON of a stream of server-sent events, until [DONE]. Raises: ValueError, for what is none."""
    async for line in response.aiter_lines():
        if len(line) > MAX_EVENT_CHARS:
            raise ValueError("an event without end")
        if not line.startswith(DATA):
            continue  # blank lines, comments that keep the connection alive
        data = line[len(DATA) :].strip()
        if data == "[DONE]":
            return
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            raise ValueError("an event that is no object")
        if "error" in chunk:
            raise ValueError(str(chunk["error"])[:200])
        yield chunk


def _message(response: httpx2.Response) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
