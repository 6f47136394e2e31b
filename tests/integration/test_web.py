"""The web page as the service serves it: addresses, headers, caching. tests/acceptance/test_web_page.py uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from app.main import create_app
from app.state import Readiness
from app.web_bundle import CONTENT_SECURITY_POLICY, load_bundle
from corpus.settings import Settings


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A service that is still starting: the page is there from the first moment, and tells of it."""
    transport = httpx2.ASGITransport(create_app(settings, readiness=Readiness()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_the_page_is_asked_for_anew_and_its_files_are_kept_for_ever(http: httpx2.AsyncClient) -> None:
    page = await http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    again = await http.get("/", headers={"If-None-Match": f'W/"other", {page.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert (await http.get("/", headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await http.head("/")).headers["etag"] == page.headers["etag"]
    bundle = load_bundle()
    for path, file in bundle.files.items():
        found = await http.get(f"/web/{bundle.digest}/{path}")
        assert (found.status_code, found.content, found.headers["content-type"]) == (200, file.content, file.media_type)
        assert "immutable" in found.headers["cache-control"]


async def test_every_file_carries_the_headers_that_bound_it(http: httpx2.AsyncClient) -> None:
    for path in ("/", f"/web/{load_bundle().digest}/js/main.js", f"/web/{load_bundle().digest}/icon.svg"):
        headers = (await http.get(path)).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/web/0000000000000000/js/main.js",
        "/web/DIGEST/js/none.js",
        "/web/DIGEST/%2e%2e/main.py",
        "/web/DIGEST/index.html",
        "/web/",
    ],
)
async def test_what_is_no_file_of_this_release_is_not_found(http: httpx2.AsyncClient, path: str) -> None:
    response = await http.get(path.replace("DIGEST", load_bundle().digest))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_page_is_no_part_of_the_api(http: httpx2.AsyncClient) -> None:
    assert "/" not in (await http.get("/openapi.json")).json()["paths"]
