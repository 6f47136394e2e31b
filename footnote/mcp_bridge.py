"""MCP over stdin and stdout, for clients that start their servers themselves: a bridge to a service's /mcp.

So both transports offer the same tools, and what the key may do is decided in one place, the service.
"""

from __future__ import annotations

import asyncio

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, ListToolsResult, PaginatedRequestParams

from footnote.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, authorization, is_loopback


async def serve_stdio(url: str) -> None:
    """Serve the client on stdin and stdout by the service at ``url``, until it closes stdin."""
    timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    async with (
        httpx2.AsyncClient(headers=authorization(None), timeout=timeout, trust_env=not is_loopback(url)) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as service,
        stdio_server() as (received, sent),
    ):
        bridge = _bridge_to(service)
        await bridge.run(received, sent, bridge.create_initialization_options())


def _bridge_to(service: Client) -> Server[dict[str, object]]:
    async def list_tools(_: ServerRequestContext[dict[str, object]], params: PaginatedRequestParams | None) -> ListToolsResult:
        return await service.list_tools(cursor=params.cursor if params else None)

    async def call_tool(
        _: ServerRequestContext[dict[str, object]], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        return await service.call_tool(params.name, params.arguments)

    return Server(
        "footnote",
        title="Footnote",
        version=service.server_info.version if service.server_info else "",
        instructions=service.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def run(url: str) -> None:
    asyncio.run(serve_stdio(url))
