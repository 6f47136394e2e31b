"""Every door gives the same answer with the same citations: HTTP, the Python client, OpenAI's, an MCP client, LangChain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import openai
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI
from mcp import Client as McpClient

from corpus.errors import Conflict, InvalidInput, NotFound, Unavailable
from footnote import api_types
from footnote.api import AsyncFootnote, Footnote
from footnote.langchain import FootnoteRetriever
from tests.running import Running, StartService

TOWER = "The tower is 330 metres tall and was finished in 1889."
LIFT = "The lift of the tower carries 20 people at a time."
QUESTION = "How tall is the tower?"
Cited = list[tuple[int, str, str]]


@pytest.fixture(scope="module")
def api(start_service: StartService) -> Iterator[Running]:
    with start_service() as api:
        api.pages["tower"] = api.put("https://a.example/tower", TOWER, title="Tower")
        api.pages["lift"] = api.put("https://a.example/lift", LIFT, title="Lift")
        api.model.say(TOWER)
        yield api


@pytest.fixture
def footnote(api: Running) -> Iterator[Footnote]:
    with Footnote(api.url) as footnote:
        yield footnote


def cited(citations: Any) -> Cited:
    return [(citation["number"], citation["url"], citation["quote"]) for citation in citations]


async def test_every_door_gives_the_same_answer_with_the_same_citations(api: Running, footnote: Footnote) -> None:
    answers: dict[str, tuple[str, Cited]] = {}

    plain = api.http.post("/v1/ask", json={"question": QUESTION}).json()
    answers["HTTP"] = (plain["answer"], cited(plain["citations"]))

    with api.http.stream("POST", "/v1/ask", json={"question": QUESTION, "stream": True}) as response:
        data = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    answers["HTTP, streamed"] = (data[-1]["answer"], cited(data[-1]["citations"]))

    answer = footnote.ask(QUESTION)
    answers["Python client"] = (answer["answer"], cited(answer["citations"]))
    async with AsyncFootnote(api.url) as asynchronous:
        answer = await asynchronous.ask(QUESTION)
    answers["Python client, async"] = (answer["answer"], cited(answer["citations"]))

    async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none is needed", max_retries=0) as client:
        ask: Any = {"model": "footnote", "messages": [{"role": "user", "content": QUESTION}]}
        message = (await client.chat.completions.create(**ask)).choices[0].message.to_dict()
        answers["OpenAI client"] = (message["content"], cited(one["url_citation"] for one in message["annotations"]))
        deltas = [chunk.choices[0].delta.to_dict() async for chunk in await client.chat.completions.create(**ask, stream=True)]
    annotations = [one["url_citation"] for delta in deltas for one in delta.get("annotations", [])]
    answers["OpenAI client, streamed"] = ("".join(delta.get("content") or "" for delta in deltas), cited(annotations))

    async with McpClient(f"{api.url}/mcp") as tools:
        answer = (await tools.call_tool("ask", {"question": QUESTION})).structured_content
    answers["MCP client"] = (answer["answer"], cited(answer["citations"]))

    chat = ChatOpenAI(base_url=f"{api.url}/v1", api_key="none is needed", model="footnote", max_retries=0)
    text = str((await chat.ainvoke(QUESTION)).content)
    answers["LangChain's ChatOpenAI"] = (text, answers["HTTP"][1])  # it drops the annotations; the text has the marks

    expected = (f"{TOWER} [1]", [(1, plain["citations"][0]["url"], TOWER)])
    assert answers == dict.fromkeys(answers, expected)


async def test_the_retriever_gives_what_search_finds_and_what_a_citation_needs(api: Running) -> None:
    retriever = FootnoteRetriever(base_url=api.url, k=2)
    documents = retriever.invoke(QUESTION)
    assert await retriever.ainvoke(QUESTION) == documents
    hits = api.http.post("/v1/search", json={"query": QUESTION, "limit": 2}).json()["hits"]
    assert [(document.id, document.page_content) for document in documents] == [(hit["chunk_id"], hit["text"]) for hit in hits]
    for document in documents:
        facts = document.metadata
        page = api.http.get(f"/v1/pages/{facts['page_id']}").json()
        assert page["text"][facts["start"] : facts["end"]] == document.page_content
        assert (facts["source"], facts["content_hash"]) == (page["url"], page["content_hash"])
    narrowed = FootnoteRetriever(base_url=api.url, url_prefix="https://a.example/lift", mode="lexical", rerank=False)
    assert [document.page_content for document in narrowed.invoke("tower lift")] == [LIFT]
    with pytest.raises(NotFound):
        FootnoteRetriever(base_url=api.url, collection="unknown").invoke(QUESTION)


def test_the_retriever_serves_a_chain(api: Running) -> None:
    retriever = FootnoteRetriever(base_url=api.url, k=1)
    prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{passages}\n\nQuestion: {question}")
    seen: list[str] = []

    def together(documents: list[Any]) -> str:
        seen.extend(document.metadata["source"] for document in documents)
        return "\n".join(document.page_content for document in documents)

    passages: Any = retriever | together
    model = FakeListChatModel(responses=["330 metres."])
    chain = {"passages": passages, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()
    assert chain.invoke(QUESTION) == "330 metres."
    assert seen == ["https://a.example/tower"]


async def test_the_client_does_each_task_in_both_forms(api: Running, footnote: Footnote) -> None:
    async with AsyncFootnote(api.url) as asynchronous:
        [hit] = footnote.search("lift", limit=1, explain=True)
        assert (hit["page_id"], "fusion" in hit["stages"]) == (api.pages["lift"], True)
        assert await asynchronous.search("lift", limit=1, explain=True) == [hit]
        page = footnote.page(hit["page_id"])
        assert page["text"][hit["start"] : hit["end"]] == hit["text"]
        assert await asynchronous.page(hit["page_id"]) == page
        listed = list(footnote.pages(url_prefix="https://a.example/"))
        assert [one["id"] for one in listed] == [api.pages["lift"], api.pages["tower"]]
        assert [one async for one in asynchronous.pages(url_prefix="https://a.example/")] == listed
        assert footnote.collections() == await asynchronous.collections()
        citations = footnote.ask(QUESTION)["citations"]
        assert [aged["state"] for aged in footnote.check_citations(citations)] == ["current"]
        assert await asynchronous.check_citations(citations) == footnote.check_citations(citations)
        follow_up = {"question": "And when was it finished?", "history": [QUESTION]}
        assert footnote.ask(**follow_up)["rewritten_question"] is not None

        first = footnote.ingest(["https://a.example/new"], max_pages=1)["job_id"]
        second = (await asynchronous.ingest(["https://a.example/newer"], mode="crawl"))["job_id"]
        with pytest.raises(Unavailable, match="hasn't ended"):
            footnote.wait_for_job(first, timeout_s=0)
        with pytest.raises(Unavailable, match="hasn't ended"):
            await asynchronous.wait_for_job(second, timeout_s=0)
        footnote.cancel_job(first)
        assert (await asynchronous.wait_for_job(first))["state"] == "cancelled"
        await asynchronous.cancel_job(second)
        assert footnote.wait_for_job(second)["spec"]["mode"] == "crawl"

        for number, delete in enumerate((footnote.delete_page, asynchronous.delete_page)):
            page_id = api.put(f"https://gone.example/{number}", LIFT)
            waiting = delete(page_id)
            if waiting is not None:
                await waiting
            with pytest.raises(NotFound):
                footnote.page(page_id)


async def test_the_client_raises_what_the_service_raised(api: Running, footnote: Footnote) -> None:
    async with AsyncFootnote(api.url) as asynchronous:
        with pytest.raises(InvalidInput, match="question"):
            footnote.ask("")
        with pytest.raises(InvalidInput, match="limit"):
            await asynchronous.search("x", limit=0)
        with pytest.raises(NotFound):
            footnote.page("../collections")
        job = footnote.ingest(["https://a.example/"])["job_id"]
        footnote.cancel_job(job)
        with pytest.raises(Conflict):
            await asynchronous.cancel_job(job)
    with Footnote("http://127.0.0.1:1") as nobody, pytest.raises(Unavailable, match="can't be reached"):
        nobody.collections()


TYPED = {
    "Answer": "AskResponse",
    "Statement": "StatementBody",
    "Citation": "CitationBody",
    "NearestPage": "NearestBody",
    "Hit": "HitBody",
    "Stage": "StageBody",
    "JobAccepted": "JobAccepted",
    "Collection": "CollectionBody",
    "Page": "PageBody",
    "PageDetail": "PageDetail",
    "ChunkSpan": "ChunkBody",
    "Alias": "AliasBody",
    "Coverage": "CoverageBody",
    "LeftOut": "LeftOutBody",
    "Explanation": "ExplanationBody",
    "PastCitation": "PastCitationBody",
    "AgedCitation": "AgedBody",
}


def test_the_client_s_types_are_the_service_s(api: Running) -> None:
    schemas = api.http.get("/openapi.json").json()["components"]["schemas"]
    assert {name for name, value in vars(api_types).items() if hasattr(value, "__total__")} == set(TYPED)
    for name, schema in TYPED.items():
        assert set(get_type_hints(getattr(api_types, name))) == set(schemas[schema]["properties"]), name
