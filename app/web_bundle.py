"""The web page's files, read once from the package, under a name made from their content.

All of them lie under one digest (``/web/DIGEST/js/main.js``), so that modules can import each other by relative paths, a
browser may keep each for ever, and a new release is never mixed with files of the old one. The first page alone has a fixed
address and is asked for again every time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DIGEST_CHARS = 16
_BASE = b"web/DIGEST/"  # what index.html writes for the folder of the others
_PRELOADS = b"<!-- PRELOADS -->"

# No inline code or style, no other origin, no string that becomes code: what a page or a model wrote can't run here even if
# it were ever put in as markup.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class WebFile:
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class WebBundle:
    """``index`` is the first page; ``files`` are the others by their path under ``/web/{digest}/``."""

    digest: str
    index: bytes
    files: dict[str, WebFile]


def load_bundle() -> WebBundle:
    found = dict(sorted(_read(files("app") / "web", "")))
    hashed = hashlib.sha256()
    for path, file in found.items():
        hashed.update(f"{path}\n{len(file.content)}\n".encode() + file.content)
    digest = hashed.hexdigest()[:DIGEST_CHARS]
    index = found.pop("index.html").content
    # Named in the page, the modules are fetched side by side instead of each after the one that imports it.
    modules = [path for path in found if path.startswith("js/") and path not in ("js/main.js", "js/theme.js")]
    preloads = b"\n".join(b'<link rel="modulepreload" href="%s%s">' % (_BASE, path.encode()) for path in modules)
    index = index.replace(_PRELOADS, preloads).replace(_BASE, f"web/{digest}/".encode())
    return WebBundle(digest=digest, index=index, files=found)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, WebFile]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif media_type := MEDIA_TYPES.get(entry.name[entry.name.rfind(".") :]):
            found.append((prefix + entry.name, WebFile(entry.read_bytes(), media_type)))
    return found
