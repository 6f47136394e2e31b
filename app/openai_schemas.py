"""Bodies of the OpenAI-compatible API: a conversation in, an answer with ``url_citation`` annotations out.

Requests take whatever other parameters clients send along (temperature, seed, max_tokens, …) and ignore them, for the words of
an answer are chosen by what the pages support. Tools are an offer that a model may leave untaken; Open WebUI makes it with every
question. What would change the shape of the answer and can't be had is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answering import Answer
from app.citations import Citation
from app.schemas import MAX_HISTORY, AskResponse
from corpus.errors import InvalidInput
from corpus.pages import DEFAULT_COLLECTION

MODEL = "footnote"
OWNER = "footnote"
CHUNK = "chat.completion.chunk"


class ContentPart(BaseModel):
    type: str = Field(max_length=64)
    text: str | None = None


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    include_usage: bool | None = None


class ResponseFormat(BaseModel):
    type: str = Field(max_length=64)


class ChatRequest(BaseModel):
    """``messages``: the last message of the user is the question, those before it are what was said so far. Messages of the
    system and of tools are ignored: what an answer may say is decided by the pages alone."""

    model_config = {
        "json_schema_extra": {
            "examples": [{"model": MODEL, "messages": [{"role": "user", "content": "How do I cancel a task?"}]}],
        }
    }

    model: str = Field(
        min_length=1, max_length=128, description="footnote for the default collection, footnote/NAME for another one."
    )
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    tool_choice: str | dict[str, Any] | None = None
    function_call: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None


class UrlCitation(BaseModel):
    """``start_index`` and ``end_index``: where in the content the citation's mark stands, such as [1]. ``quote`` and what
    follows are Footnote's own; ``page_id``, ``start`` and ``end`` say where the quote stands."""

    start_index: int
    end_index: int
    url: str
    title: str
    number: int
    quote: str
    page_id: str
    start: int
    end: int
    content_hash: str
    fetched_at: datetime


class Annotation(BaseModel):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class Message(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    index: int = 0
    message: Message
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class Usage(BaseModel):
    """Of the conversation and of the answer, as the embedder's tokenizer counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, completion: int) -> Usage:
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class ChatCompletion(BaseModel):
    """``footnote`` is the answer as POST /v1/ask gives it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    footnote: AskResponse


class ModelBody(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = OWNER

    @classmethod
    def of(cls, collection: str, created_at: datetime) -> ModelBody:
        return cls(id=model_name(collection), created=int(created_at.timestamp()))


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelBody]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Conversation:
    """``history``: the questions before this one, the oldest first. ``texts``: all that was said, which usage counts."""

    question: str
    history: tuple[str, ...]
    texts: tuple[str, ...]


def model_name(collection: str) -> str:
    return MODEL if collection == DEFAULT_COLLECTION else f"{MODEL}/{collection}"


def collection_of(model: str) -> str | None:
    """The collection that a model's name stands for; None for a model of somebody else's."""
    if model == MODEL:
        return DEFAULT_COLLECTION
    prefix, _, name = model.partition("/")
    return name if prefix == MODEL and name else None


def check_supported(body: ChatRequest) -> None:
    """Raises: InvalidInput, with the parameter's name, for what would change the shape of the answer."""
    refused = {
        "n": body.n not in (None, 1),
        "tool_choice": body.tool_choice not in (None, "none", "auto"),
        "function_call": body.function_call not in (None, "none", "auto"),
        "logprobs": bool(body.logprobs),
        "response_format": body.response_format is not None and body.response_format.type != "text",
        "modalities": bool(body.modalities) and body.modalities != ["text"],
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise InvalidInput(
                f"Footnote answers with one text and its citations; {name!r} asks for something else. Leave it out.", param=name
            )


def conversation(messages: Sequence[ChatMessage], *, max_question_chars: int) -> Conversation:
    """Earlier questions that Footnote couldn't have been asked, such as too long ones or pictures, are left out, and so are
    those that are too many: a client can't change what was said already.

    Raises: InvalidInput without a question, and for one that isn't text alone.
    """
    asked = [message for message in messages if message.role == "user"]
    if asked and (others := _beside_text(asked[-1])):
        raise InvalidInput(f"Footnote reads text alone, no {others[0]!r}.", param="messages")
    if not asked or not (question := _text(asked[-1])):
        raise InvalidInput("There is no question: the last message of role user is empty or missing.", param="messages")
    earlier = [_text(message) for message in asked[:-1] if not _beside_text(message)]
    history = [text for text in earlier if 0 < len(text) <= max_question_chars][-MAX_HISTORY:]
    texts = tuple(_text(message) for message in messages if message.role in ("user", "assistant"))
    return Conversation(question, tuple(history), texts)


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text or "" for part in message.content if part.type == "text").strip()
    return (message.content or "").strip()


def _beside_text(message: ChatMessage) -> list[str]:
    return sorted({part.type for part in message.content} - {"text"}) if isinstance(message.content, list) else []


def annotations_of(answer: Answer) -> list[Annotation]:
    """One for each mark in the answer's text, in its order."""
    by_number = {citation.number: citation for citation in answer.citations}
    return [
        Annotation(url_citation=UrlCitation(start_index=begin, end_index=end, **_facts(by_number[number])))
        for marks in _marks(answer)
        for number, begin, end in marks
    ]


def pieces_of(answer: Answer) -> list[str]:
    """The answer's text, cut behind each statement's marks; joined, it is the whole."""
    ends = [marks[-1][2] for marks in _marks(answer) if marks]
    cuts = [0, *ends, len(answer.text)]
    return [answer.text[begin:end] for begin, end in pairwise(cuts) if end > begin]


def _marks(answer: Answer) -> list[list[tuple[int, int, int]]]:
    """The marks of each statement, such as [1], by number, begin and end. A page may write [1] itself, and be quoted with it,
    so each statement's marks are looked for behind it."""
    found: list[list[tuple[int, int, int]]] = []
    position = 0
    for statement in answer.statements:
        position = answer.text.index(statement.text, position) + len(statement.text)
        marks = []
        for number in statement.citations:
            begin = answer.text.index(f"[{number}]", position)
            position = begin + len(f"[{number}]")
            marks.append((number, begin, position))
        found.append(marks)
    return found


def _facts(citation: Citation) -> dict[str, Any]:
    return {name: getattr(citation, name) for name in UrlCitation.model_fields if name not in ("start_index", "end_index")}


def chunk(*, id: str, created: int, model: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "object": CHUNK, "created": created, "model": model} | fields


def delta(*, finish_reason: str | None = None, **fields: Any) -> list[dict[str, Any]]:
    """The one choice of a chunk."""
    return [{"index": 0, "delta": fields, "finish_reason": finish_reason, "logprobs": None}]
