"""``footnote doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from footnote.commands.options import JsonOption
from footnote.doctor import Finding, Status, examine
from footnote.terminal import clean, out, show, show_json

STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.MISSING: "bold red"}


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Ask every server to do what Footnote will ask of it, and load the embedder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what would run where, and why; what is missing, and how to mend it. Fails if `serve` would."""
    findings = examine(deep=deep)
    blocked = any(finding.status is Status.MISSING for finding in findings)
    if as_json:
        show_json({"ready_to_serve": not blocked, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    raise typer.Exit(1 if blocked else 0)


def _show(findings: list[Finding]) -> None:
    console = out()
    if not console.is_terminal:
        for finding in findings:
            remedy = f" → {clean(finding.remedy)}" if finding.remedy else ""
            show(console, Text(f"{finding.status:8}{finding.name}: {clean(finding.found)}{remedy}"))
        return
    drawn = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        found = Text(clean(finding.found, keep_lines=True))
        if finding.remedy:
            found.append(f"\n→ {clean(finding.remedy)}", style=STYLES[finding.status])
        drawn.add_row(Text(finding.status, style=STYLES[finding.status]), Text(finding.name, style="bold"), found)
    console.print(drawn)
