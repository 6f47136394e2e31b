"""The web page at / and its files."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, Response

from app.web_bundle import CONTENT_SECURITY_POLICY, MEDIA_TYPES, WebBundle

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
ASK_AGAIN = {"Cache-Control": "no-cache"}


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page. Its address stays, so a browser asks each time whether it has changed."""
    bundle: WebBundle = request.app.state.web
    etag = f'"{bundle.digest}"'
    headers = HEADERS | ASK_AGAIN | {"ETag": etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(bundle.index, media_type=MEDIA_TYPES[".html"], headers=headers)


@router.api_route("/web/{digest}/{path:path}", methods=["GET", "HEAD"])
async def file(digest: str, path: str, request: Request) -> Response:
    """A file under its content's name; under another's, it is none of this release."""
    bundle: WebBundle = request.app.state.web
    found = bundle.files.get(path) if digest == bundle.digest else None
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file. Load the page again: / names those there are.")
    return Response(found.content, media_type=found.media_type, headers=HEADERS | FOR_EVER)
