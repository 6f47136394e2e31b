"""Footnote's search as a LangChain retriever (the extra ``langchain``).

::

    from footnote.langchain import FootnoteRetriever

    retriever = FootnoteRetriever(base_url="http://127.0.0.1:8000", collection="docs", k=5)
    documents = retriever.invoke("How do I cancel a task?")

For whole answers with their citations, point ChatOpenAI at the service's ``/v1``.
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, SecretStr

from footnote.api import DEFAULT_COLLECTION, DEFAULT_URL, AsyncFootnote, Footnote
from footnote.api_types import Hit, SearchMode


class FootnoteRetriever(BaseRetriever):
    """Passages of the indexed pages. A document's metadata is what a citation needs: ``page_id``, ``start``, ``end`` and
    ``content_hash`` say which characters of which version of the page its text is; ``source`` is the page's URL."""

    base_url: str = DEFAULT_URL
    api_key: SecretStr | None = Field(None, description="By default the one in FOOTNOTE_API_KEY.")
    collection: str = DEFAULT_COLLECTION
    k: int = Field(10, ge=1, le=1000, description="Most documents.")
    mode: SearchMode = "hybrid"
    rerank: bool = True
    url_prefix: str | None = None
    language: str | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with Footnote(self.base_url, api_key=self._key()) as footnote:
            return [to_document(hit) for hit in footnote.search(query, **self._wanted())]

    async def _aget_relevant_documents(self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun) -> list[Document]:
        async with AsyncFootnote(self.base_url, api_key=self._key()) as footnote:
            return [to_document(hit) for hit in await footnote.search(query, **self._wanted())]

    def _key(self) -> str | None:
        return self.api_key.get_secret_value() if self.api_key else None

    def _wanted(self) -> dict[str, Any]:
        return {
            "limit": self.k,
            "mode": self.mode,
            "rerank": self.rerank,
            "collection": self.collection,
            "url_prefix": self.url_prefix,
            "language": self.language,
        }


def to_document(hit: Hit) -> Document:
    metadata = {name: value for name, value in hit.items() if name not in ("text", "stages")}
    return Document(id=hit["chunk_id"], page_content=hit["text"], metadata={"source": hit["url"]} | metadata)
