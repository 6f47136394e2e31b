"""What an MCP client may call: the HTTP API's own routes as tools, so that they say the same and refuse the same.

Imports the SDK, which takes a second or two: only ``app.routes.mcp`` imports this, when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Response
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

from app.job_schemas import JobAccepted
from app.routes import ingest as ingest_routes
from app.routes import pages as page_routes
from app.routes import search as search_routes
from app.routes.asking import query_for, whole_answer
from app.schemas import AskRequest, AskResponse, Filters, IngestRequest, PageBody, SearchRequest, SearchResponse
from app.state import Service, service_for
from corpus.errors import FootnoteError, InvalidInput
from corpus.keys import Scope
from corpus.model import IngestMode
from corpus.pages import DEFAULT_COLLECTION

INSTRUCTIONS = (
    "Answers from web pages that were indexed here. `ask` answers a question with footnotes: each [n] in the answer is a quote "
    "that was checked against the stored page. Give the citations' URLs along with what you take from them. If the pages don't "
    "answer, `ask` says so; then `search` shows what comes nearest."
)
PART_CHARS = 20_000

Question = Annotated[str, Field(description="What you want to know, as a whole question.", min_length=1)]
Collection = Annotated[str, Field(description="The collection to use.")]
UrlPrefix = Annotated[str | None, Field(description="Only pages whose URL begins so, by whole path segments.")]
Language = Annotated[str | None, Field(description="Only pages in this language, such as en.")]


class PagePart(BaseModel):
    """Some of a stored page: ``text`` is its characters ``start`` to ``end``; citations' spans count in the same text. ``next``
    is the ``start`` to go on with, null at the end."""

    page: PageBody
    text: str
    start: int
    end: int
    next: int | None


def make_server(version: str) -> MCPServer:
    server = MCPServer("footnote", title="Footnote", version=version, instructions=INSTRUCTIONS, log_level="WARNING")
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (ask, search, read_page):
        server.add_tool(tool, annotations=reading)
    fetching = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
    server.add_tool(ingest, annotations=fetching)
    return server


async def ask(
    question: Question,
    context: Context,
    collection: Collection = DEFAULT_COLLECTION,
    url_prefix: UrlPrefix = None,
    language: Language = None,
) -> Annotated[CallToolResult, AskResponse]:
    """Answer a question from the indexed pages, with footnotes whose quotes were checked, or say they don't answer."""
    with refusals_as_tool_errors():
        service = _service(context, Scope.QUERY)
        body = AskRequest(question=question, collection=collection, filters=Filters(url_prefix=url_prefix, language=language))
        query = await query_for(service, body.question, collection=body.collection, filters=body.filters)
        answer = AskResponse.of(await whole_answer(service, query))
        return CallToolResult(
            content=[TextContent(type="text", text=readable(answer))], structured_content=answer.model_dump(mode="json")
        )


async def search(
    query: Question,
    context: Context,
    collection: Collection = DEFAULT_COLLECTION,
    limit: Annotated[int, Field(ge=1, le=50)] = 10,
    url_prefix: UrlPrefix = None,
    language: Language = None,
) -> SearchResponse:
    """Find the passages of the indexed pages that match best, by meaning and by words."""
    with refusals_as_tool_errors():
        filters = Filters(url_prefix=url_prefix, language=language)
        body = SearchRequest(query=query, collection=collection, limit=limit, filters=filters)
        return await search_routes.search(body, _service(context, Scope.QUERY))


async def read_page(
    context: Context,
    page_id: Annotated[str | None, Field(description="A page's id, as citations and hits have it.")] = None,
    url: Annotated[str | None, Field(description="Instead of page_id: an address of the page, such as a citation's.")] = None,
    collection: Collection = DEFAULT_COLLECTION,
    start: Annotated[int, Field(ge=0, description="Begin at this character.")] = 0,
) -> PagePart:
    """Read the stored text of an indexed page, 20,000 characters at a time."""
    with refusals_as_tool_errors():
        service = _service(context, Scope.QUERY)
        if page_id is None:
            page_id = await _page_at(service, url, collection)
        whole = await page_routes.get_page(page_id, service)
        end = min(start + PART_CHARS, len(whole.text))
        page = PageBody.model_validate(whole, from_attributes=True)
        following = end if end < len(whole.text) else None
        return PagePart(page=page, text=whole.text[start:end], start=min(start, end), end=end, next=following)


async def ingest(
    urls: Annotated[list[str], Field(description="Absolute http or https URLs.", min_length=1, max_length=100)],
    context: Context,
    mode: Annotated[
        IngestMode,
        Field(description="page: these URLs. sitemap: what these sitemaps list. crawl: these URLs and what they link to."),
    ] = IngestMode.PAGE,
    collection: Collection = DEFAULT_COLLECTION,
    max_pages: Annotated[int | None, Field(ge=1, description="At most so many pages.")] = None,
) -> JobAccepted:
    """Have pages fetched and indexed. A job does it in the background; what it fetched can be asked about from then on."""
    with refusals_as_tool_errors():
        body = IngestRequest(urls=urls, mode=mode, collection=collection, max_pages=max_pages)
        return await ingest_routes.ingest(body, _service(context, Scope.INGEST), Response())


def readable(answer: AskResponse) -> str:
    """The answer as text, with its footnotes, for clients that show no structured content."""
    notes = [f"[{c.number}] {c.title or c.url}: “{c.quote}” {c.url}" for c in answer.citations]
    nearest = [f"- {page.title or page.url}: {page.url}" for page in answer.nearest]
    if nearest:
        nearest = ["The nearest pages:", *nearest]
    return "\n".join([answer.answer, *([""] if notes or nearest else []), *notes, *nearest])


@contextmanager
def refusals_as_tool_errors() -> Iterator[None]:
    """What the API refuses, the model is told, in the same words."""
    try:
        yield
    except FootnoteError as exc:
        raise ToolError(exc.message) from exc
    except ValidationError as exc:
        faults = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        raise ToolError("; ".join(faults)) from None


async def _page_at(service: Service, url: str | None, collection: str) -> str:
    if not url:
        raise InvalidInput("Give page_id or url.")
    found = await service.pages.at(url, collection=collection)
    if found is None:
        raise InvalidInput(f"No page of {url} is indexed in {collection!r}. `search` finds those there are.")
    return found.page.id


def _service(context: Context, scope: Scope) -> Service:
    """What the caller may use of the service, by the HTTP request that the tool was called in."""
    request = context.request_context.request
    assert request is not None, "the tools are offered over HTTP alone"
    return service_for(request, scope)
