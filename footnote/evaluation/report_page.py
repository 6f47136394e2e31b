"""The page that every report stands on: one file, nothing from elsewhere, readable by day and by night and without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from footnote.evaluation.markup import Html, document, join, tag


def report(
    *,
    title: str,
    lead: str,
    sections: Sequence[Html],
    body: Mapping[str, Any],
    script: str | None = None,
    data: Html | None = None,
) -> str:
    """A report with how to reproduce it (``body`` as :func:`footnote.evaluation.reproduction.facts` made it) at its end.

    ``script`` is the name of a file of this package; no other script can run on the page, and it can load nothing.
    """
    code = resource(script) if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src 'sha256-{digest}'"
    head = join(
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("style", Html(resource("report.css"))),
    )
    main = tag(
        "main",
        tag("header", tag("p", "Footnote", class_="mark"), tag("h1", title), tag("p", lead, class_="lead")),
        sections,
        _reproduction(body),
    )
    return document(title=title, head=head, body=tag("body", main, data, Html(f"<script>{code}</script>") if code else None))


def resource(name: str) -> str:
    """A file that lies beside this one."""
    return files("footnote.evaluation").joinpath(name).read_text(encoding="utf-8")


def _reproduction(body: Mapping[str, Any]) -> Html:
    libraries = ", ".join(f"{name} {found}" for name, found in body["libraries"].items() if found)
    rows = [
        ("Command", tag("code", body["command"])),
        ("Made", body["made_at"]),
        ("Footnote", f"{body['footnote'] or 'not installed as a package'}, Python {body['python']}"),
        ("Libraries", libraries),
        ("Machine", f"{body['machine']['processor']}, {body['machine']['cores']} cores, {body['machine']['system']}"),
        ("Intervals", f"95%, percentile bootstrap over questions, {body['resamples']:,} resamples, seed {body['seed']}"),
        *((f"{section.title()} settings", _settings(values)) for section, values in body["settings"].items()),
    ]
    return tag(
        "section",
        tag("h2", "To get the same figures", id="reproduction"),
        tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in rows], class_="facts"),
    )


def _settings(values: Mapping[str, Any]) -> Html:
    return tag("code", ", ".join(f"{name} = {value}" for name, value in values.items()))
