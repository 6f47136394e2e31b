"""The OpenAI-compatible API, through OpenAI's own client and LangChain's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.fakes import FakeModel
from tests.running import Running, StartService, until

TOWER = "The tower is 330 metres tall and was finished in 1889."
LIFT = "The lift of the tower carries 20 people at a time [1]."
HOW_TALL = [{"role": "user", "content": "How tall is the tower?"}]

# As Open WebUI 0.12.4 sends them with every question; two of its thirty-six.
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_current_timestamp",
            "description": "Get the current Unix timestamp in seconds.",
            "parameters": {"properties": {}, "type": "object"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "ask_user",
            "description": "Ask the user clarifying questions before continuing.",
            "parameters": {"properties": {"questions": {"type": "array"}}, "required": ["questions"], "type": "object"},
        },
    },
]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    # Words that nothing matches count for more in a bag of words than they do with a real embedder.
    with start_service(answer={"max_question_chars": 500, "abstain_below": 0.1}) as api:
        api.pages["tower"] = api.put("https://a.example/tower", TOWER, title="Tower")
        api.put("https://a.example/lift", LIFT, title="Lift", collection="lifts")
        yield api


@pytest.fixture
def client(api: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.url}/v1", api_key="none is needed", max_retries=0) as client:
        yield client


def check_citation(annotation: dict[str, Any], content: str) -> None:
    cited = annotation["url_citation"]
    assert annotation["type"] == "url_citation"
    assert content[cited["start_index"] : cited["end_index"]] == f"[{cited['number']}]"
    assert (cited["title"], cited["quote"]) == ("Tower", TOWER)
    assert cited["url"].startswith("https://a.example/tower#:~:text=")


def test_an_answer_has_its_citations_as_annotations(api: Running, client: openai.OpenAI) -> None:
    api.model.say(TOWER)
    whole = client.chat.completions.create(model="footnote", messages=HOW_TALL, temperature=0.3, max_tokens=50, seed=1, user="me")
    [choice] = whole.choices
    assert (choice.finish_reason, choice.message.role, choice.message.content) == ("stop", "assistant", f"{TOWER} [1]")
    [annotation] = choice.message.annotations or []
    assert annotation.url_citation.title == "Tower"
    check_citation(annotation.to_dict(), choice.message.content or "")
    assert (whole.object, whole.model) == ("chat.completion", "footnote")
    assert whole.usage is not None
    assert 0 < whole.usage.prompt_tokens < whole.usage.completion_tokens < whole.usage.total_tokens
    same = api.http.post("/v1/ask", json={"question": "How tall is the tower?"}).json()
    given = whole.to_dict()["footnote"]
    assert {k: v for k, v in given.items() if k != "timings_ms"} == {k: v for k, v in same.items() if k != "timings_ms"}


def test_a_stream_gives_what_held_and_never_the_draft(api: Running, client: openai.OpenAI) -> None:
    api.model.say(f"{TOWER} It was built by giants.")
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="footnote", messages=HOW_TALL, stream=True, stream_options=options))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    text = "".join(delta.content or "" for delta in deltas)
    assert text == f"{TOWER} [1]"
    assert deltas[0].role == "assistant"
    *others, last = [chunk for chunk in chunks if chunk.choices]
    assert {chunk.choices[0].finish_reason for chunk in others} == {None}
    assert last.choices[0].finish_reason == "stop"
    [annotation] = last.choices[0].delta.to_dict()["annotations"]
    check_citation(annotation, text)
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens > 0) == ([], True)
    assert len({chunk.id for chunk in chunks}) == 1
    assert "giants" not in str(chunks)


def test_each_sentence_is_a_chunk_and_a_mark_of_the_page_is_none_of_ours(api: Running, client: openai.OpenAI) -> None:
    api.put("https://a.example/both", TOWER, LIFT, title="Both", collection="both")
    api.model.say("")  # so the pages are quoted, their own [1] included
    ask = [{"role": "user", "content": "How tall is the tower and how many people does the lift of the tower carry at a time?"}]
    chunks = list(client.chat.completions.create(model="footnote/both", messages=ask, stream=True))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    whole = client.chat.completions.create(model="footnote/both", messages=ask).choices[0].message
    assert "".join(pieces) == whole.content
    assert len(pieces) == len(whole.annotations or []) > 0
    content = whole.content or ""
    for annotation in whole.annotations or []:
        cited = annotation.to_dict()["url_citation"]
        assert content[: cited["start_index"]].endswith(f"“{cited['quote']}” ")
    assert LIFT in content


def test_what_the_pages_do_not_answer_is_not_answered(client: openai.OpenAI) -> None:
    unknown = [{"role": "user", "content": "Which shipping container rusts fastest?"}]
    message = client.chat.completions.create(model="footnote", messages=unknown).choices[0].message
    assert (message.content, message.annotations) == ("The indexed pages don't answer this.", [])


def test_the_last_message_of_the_user_is_the_question(api: Running, client: openai.OpenAI) -> None:
    api.model.say(TOWER)
    said = [
        {"role": "system", "content": "Answer like a pirate, without citations."},
        {"role": "user", "content": "Tell me about the tower."},
        {"role": "assistant", "content": "Which of its facts?"},
        {"role": "user", "content": [{"type": "text", "text": "How tall is the tower?"}]},
    ]
    message = client.chat.completions.create(model="footnote", messages=said).choices[0].message
    assert message.content == f"{TOWER} [1]"
    assert "pirate" not in api.model.prompts[-1]


def test_a_follow_up_is_answered_as_the_conversation_means_it(api: Running, client: openai.OpenAI) -> None:
    api.model.say(TOWER)
    said = [
        {"role": "user", "content": "How tall is the tower?"},
        {"role": "assistant", "content": f"{TOWER} [1]"},
        {"role": "user", "content": "x" * 501},  # too long to be asked, and no reason to refuse what is asked now
        {"role": "user", "content": "And when was it finished?"},
    ]
    body = {"question": "And when was it finished?", "history": ["How tall is the tower?"]}
    same = api.http.post("/v1/ask", json=body).json()
    given = client.chat.completions.create(model="footnote", messages=said).to_dict()["footnote"]
    assert given["rewritten_question"] == same["rewritten_question"] is not None
    assert given["citations"] == same["citations"] != []


def test_tools_are_an_offer_that_is_not_taken(api: Running, client: openai.OpenAI) -> None:
    api.model.say(TOWER)
    for offer in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}):
        chunks = client.chat.completions.create(model="footnote", messages=HOW_TALL, stream=True, tools=TOOLS, **offer)
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert "".join(delta.content or "" for delta in deltas) == f"{TOWER} [1]"
        assert not any(delta.tool_calls for delta in deltas)


def test_what_was_said_with_another_model_is_no_obstacle(api: Running, client: openai.OpenAI) -> None:
    """In a chat whose model is changed, the other one's pictures and tool calls come along for good."""
    api.model.say(TOWER)
    files = {"type": "text", "text": '<attached_files>\n<file type="file" name="web.png"/>\n</attached_files>'}
    call = {"id": "1", "type": "function", "function": {"name": "get_current_timestamp", "arguments": "{}"}}
    said = [
        {"role": "user", "content": [files, {"type": "text", "text": "Which famous building stands here?"}, PICTURE]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "1795353209"},
        {"role": "assistant", "content": "It is a tower."},
        {"role": "user", "content": "Is that tower 330 metres tall?"},  # "that" refers, and not to what was asked of a picture
    ]
    completion = client.chat.completions.create(model="footnote", messages=said, tools=TOOLS)
    assert completion.to_dict()["footnote"]["rewritten_question"] is None
    assert completion.choices[0].message.content == f"{TOWER} [1]"


def test_collections_are_models(client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert listed[0].id == "footnote"
    assert {"footnote", "footnote/lifts"} <= {model.id for model in listed}
    assert {(model.object, model.owned_by) for model in listed} == {("model", "footnote")}
    assert client.models.retrieve("footnote/lifts").id == "footnote/lifts"
    ask = [{"role": "user", "content": "How many people does the lift of the tower carry at a time?"}]
    for model, found in (("footnote/lifts", True), ("footnote", False)):
        message = client.chat.completions.create(model=model, messages=ask).choices[0].message
        assert (LIFT[:-1] in (message.content or "")) is found
    for unknown in ("gpt-4o", "footnote/unknown", "footnote/"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model=unknown, messages=HOW_TALL)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "How tall is it?"}, PICTURE]}]}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
        ({"n": 2}, "n"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "ask_user"}}}, "tool_choice"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, "function_call"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user", "content": "x" * 501}]}, None),
    ],
)
def test_what_can_not_be_had_is_refused_as_openai_does(client: openai.OpenAI, wrong: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**({"model": "footnote", "messages": HOW_TALL} | wrong))
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", param)
    assert refused.value.body["message"]


def test_an_overloaded_model_is_a_status_that_clients_retry(api: Running, client: openai.OpenAI) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    with patch.object(api.service.answerer, "_model", hanging):
        with api.http.stream("POST", "/v1/ask", json={"question": HOW_TALL[0]["content"], "stream": True}) as response:
            lines = response.iter_lines()
            while "token" not in next(lines):
                pass
            for stream in (False, True):
                with pytest.raises(openai.InternalServerError) as refused:
                    client.chat.completions.create(model="footnote", messages=HOW_TALL, stream=stream)
                assert (refused.value.status_code, refused.value.code) == (503, "server_overloaded")
                assert int(refused.value.response.headers["retry-after"]) > 0
        until(lambda: hanging.running == 0)


def test_a_client_that_leaves_a_stream_frees_the_model(api: Running) -> None:
    hanging = FakeModel("One", slots=1, queue_limit=0, hangs=True)
    with patch.object(api.service.answerer, "_model", hanging), patch("app.routes.openai.KEEP_ALIVE_S", 0.0):
        body = {"model": "footnote", "messages": HOW_TALL, "stream": True}
        with api.http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines).removeprefix("data: "))["choices"][0]["delta"] == {"role": "assistant", "content": ""}
            while next(lines) != ": working":
                pass
            assert hanging.running == 1
        until(lambda: hanging.running == 0)
    assert hanging.cancelled == 1


def test_a_failure_in_a_stream_is_an_error_to_the_client(api: Running, client: openai.OpenAI) -> None:
    async def breaks(*_: Any) -> Any:
        from corpus.errors import StorageFull

        raise StorageFull("The disk is full.")

    api.model.say(TOWER)
    options = {"include_usage": True}
    with patch("app.routes.openai._usage", breaks):
        stream = client.chat.completions.create(model="footnote", messages=HOW_TALL, stream=True, stream_options=options)
        with pytest.raises(openai.APIError, match="disk is full"):
            list(stream)


def chat(api: Running, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{api.url}/v1", api_key="none is needed", model="footnote", max_retries=0, **options)


def test_langchain_talks_to_it_as_to_openai(api: Running) -> None:
    api.model.say(TOWER)
    message = chat(api).invoke("How tall is the tower?")
    assert message.content == f"{TOWER} [1]"
    assert message.usage_metadata is not None
    streamed = "".join(
        str(part.content) for part in chat(api, streaming=True, stream_usage=True).stream("How tall is the tower?")
    )
    assert streamed == message.content
