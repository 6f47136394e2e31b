"""API bodies as text for people. All foreign text passes through ``clean``; each function writes on the console it is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from footnote import kept
from footnote.client import Body
from footnote.terminal import clean, show

STATES = {
    "grounded": ("Grounded", "green", "the model's words; every sentence rests on a quote that was checked against the page"),
    "quoted": ("Quoted", "cyan", "the pages' own words; the model's were not supported well enough, or there is no model"),
    "abstained": ("No answer", "yellow", "nothing on the indexed pages supports one"),
}
JOB_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "queued": "dim",
}
URLS_SHOWN_PER_REASON = 5


def answer(console: Console, body: Body) -> None:
    """An answer with its footnotes, its state, and what was degraded on the way."""
    if rewritten := body.get("rewritten_question"):
        show(console, Text.assemble(("Answered: ", "dim"), (clean(rewritten), "dim italic")))
    show(console, Text(clean(body["answer"], keep_lines=True), style="bold" if body["state"] != "abstained" else ""))
    for citation in body["citations"]:
        console.print()
        show(console, Text(f"[{citation['number']}] ") + _place(citation))
        show(console, Text(f"“{clean(citation['quote'], keep_lines=True)}”", style="italic"), indent=4)
        show(console, Text(f"fetched {when(citation['fetched_at'])}", style="dim"), indent=4)
    if body["nearest"]:
        console.print()
        show(console, Text("Nearest pages:"))
        for page in body["nearest"]:
            show(console, Text(clean(page["title"]) or "(no title)") + Text(" — ", style="dim") + link(page["url"]), indent=4)
    console.print()
    word, colour, meaning = STATES.get(body["state"], (body["state"], "", ""))
    facts = [f"confidence {body['confidence']:.2f}"]
    facts += [f"model {clean(body['model'])}"] if body["model"] else []
    facts += [f"{body['timings_ms']['total'] / 1000:.1f} s"] if "total" in body["timings_ms"] else []
    show(console, Text.assemble((word, colour), (f": {meaning} ({', '.join(facts)})", "dim")))
    for note in body["notes"]:
        show(console, Text.assemble(("Note: ", "yellow"), clean(note)))


def hits(console: Console, body: Body) -> None:
    """Search results, best first; with ``explain``, each stage's judgement and time."""
    if not body["hits"]:
        show(console, Text("Nothing found."))
    for number, hit in enumerate(body["hits"], start=1):
        if number > 1:
            console.print()
        show(console, Text(f"{number}. ") + _place(hit) + Text(f"  {hit['score']:.3f}", style="dim"))
        text = clean(hit["text"])
        show(console, Text(text if len(text) <= 300 else text[:299] + "…"), indent=3)
        if stages := hit.get("stages"):
            judged = "  ".join(f"{clean(name)} #{s['rank']} ({s['score']:.3f})" for name, s in stages.items())
            show(console, Text(judged, style="cyan"), indent=3)
    if timings := body.get("timings_ms"):
        console.print()
        times = "  ".join(f"{clean(name)} {ms:.1f} ms" for name, ms in timings.items())
        show(console, Text(f"{'reranked' if body['reranked'] else 'not reranked'}  {times}", style="dim"))


def pages(console: Console, bodies: Sequence[Body]) -> None:
    """Without ids and languages on a terminal: every command takes URLs too, and they leave no room for those."""
    shown = (
        ("url", "title", "kept", "chunks", "fetched")
        if console.is_terminal
        else ("id", "url", "title", "chunks", "language", "fetched", "kept")
    )
    told = [
        p
        | {"url": link(p["url"]), "language": p["language"] or "", "fetched": when(p["fetched_at"])}
        | {"kept": kept.share(p["coverage"])}
        for p in bodies
    ]
    table(console, shown, [[page[name] for name in shown] for page in told])


def page(console: Console, body: Body) -> None:
    """A page's facts, then its stored text."""
    show(console, Text(clean(body["title"]) or "(no title)", style="bold"))
    show(console, link(body["url"]))
    size = f"{body['characters']:,} characters in {body['chunks']} chunks, {body['language'] or 'language unknown'}"
    show(console, Text(f"{body['id']} · {clean(body['collection'])} · fetched {when(body['fetched_at'])} · {size}", style="dim"))
    show(console, Text(f"sha-256 {body['content_hash']}", style="dim"))
    kept.paragraph(console, body["coverage"])
    for note in body["notes"]:
        show(console, Text.assemble(("Note: ", "yellow"), clean(note)))
    for alias in body["aliases"]:
        show(console, Text(f"also ({clean(alias['kind'])}): ", style="dim") + link(alias["url"]))
    console.print()
    show(console, Text(clean(body["text"], keep_lines=True)))


def visits(console: Console, bodies: Sequence[Body]) -> None:
    """What each job made of one URL; on a terminal, with what was left out when it was last read and is on record."""
    told = kept.share if console.is_terminal else kept.line
    rows = [
        (
            when(v["at"]),
            v["state"],
            v["reason"] or "",
            v["http_status"] or "",
            v["attempts"],
            v["job_id"],
            v["message"] or "",
            told(v["coverage"]),
        )
        for v in bodies
    ]
    table(console, ("at", "state", "reason", "http", "tries", "job", "message", "kept"), rows)
    recorded = next((v for v in bodies if v["coverage"] and v["coverage"]["left_out"] is not None), None)
    if console.is_terminal and recorded is not None:
        console.print()
        show(console, Text(f"read {when(recorded['at'])}"))
        kept.paragraph(console, recorded["coverage"])


def collections(console: Console, bodies: Sequence[Body]) -> None:
    table(console, ("name", "pages", "created"), [(c["name"], c["pages"], when(c["created_at"])) for c in bodies])


def verification(console: Console, body: Body) -> None:
    """What a verification found: how many differences of each kind, then the first of them one by one."""
    size = f"{body['pages']:,} pages, {body['chunks']:,} chunks"
    if body["clean"]:
        show(console, Text.assemble(("Clean", "green"), f": {size}; database and indexes hold the same."))
    for name, count in body["counts"].items():
        show(console, Text.assemble((f"{count:,} × {clean(name)}", "red")))
        for finding in body["findings"]:
            if finding["difference"] == name:
                where = f" ({clean(finding['store'])})" if finding["store"] else ""
                mended = Text(" — mended", style="green") if finding["mended"] else Text()
                show(console, Text(f"{clean(finding['subject'])}{where}: {clean(finding['message'])}") + mended, indent=4)
    if not body["clean"]:
        total = sum(body["counts"].values())
        left = total - body["mended"]
        rest = (
            "all mended" if not left else f"{body['mended']:,} mended, {left:,} left (mend them with: footnote verify --repair)"
        )
        show(console, Text.assemble((f"{total:,} differences", "red"), f" in {size}: {rest}"))
    if body["pending"]:
        note = f"{body['pending']:,} versions of pages are being written or wait to be removed."
        show(console, Text(note, style="dim"))


def jobs(console: Console, bodies: Sequence[Body]) -> None:
    rows = [(j["id"], _job_state(j), _mode(j), j["collection"], counts(j), when(j["created_at"])) for j in bodies]
    table(console, ("id", "state", "mode", "collection", "progress", "created"), rows)


def job(console: Console, body: Body, failed: Iterable[Body]) -> None:
    """A job's outcome, and what failed, grouped by reason."""
    show(console, Text(f"Job {body['id']}: ") + _job_state(body) + Text(f" · {counts(body)}{_took(body)}"))
    if body["error"]:
        show(console, Text(clean(body["error"]), style="red"), indent=4)
    if body["waits_for"]:
        show(console, Text(f"It waits for the job {clean(body['waits_for'])} of the same source.", style="dim"), indent=4)
    for note in body["notes"]:
        show(console, Text(clean(note)), indent=4)
    by_reason: defaultdict[str, list[Body]] = defaultdict(list)
    for outcome in failed:
        by_reason[clean(outcome["reason"] or "failed")].append(outcome)
    for reason, outcomes in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        show(console, Text.assemble((f"{len(outcomes)} × {reason}", "red")), indent=2)
        for outcome in outcomes[:URLS_SHOWN_PER_REASON]:
            show(console, link(outcome["url"]) + Text(f" — {clean(outcome['message'] or '')}", style="dim"), indent=6)
        if len(outcomes) > URLS_SHOWN_PER_REASON:
            show(console, Text(f"… and {len(outcomes) - URLS_SHOWN_PER_REASON} more (all: --json)", style="dim"), indent=6)


def preview(console: Console, body: Body, found: Sequence[Body]) -> None:
    """A dry run: the verdict on each URL, those that would be fetched first, and what that would take."""
    order = sorted(found, key=lambda outcome: (outcome["reason"] or "") not in ("would_fetch", "would_check"))
    rows = [(o["reason"] or o["state"], link(o["url"]), o["message"] or "") for o in order]
    table(console, ("verdict", "url", "why"), rows)
    console.print()
    show(console, Text(f"Dry run {body['id']}: ") + _job_state(body) + Text(f" · {len(found):,} URLs{_took(body)}"))
    if body["error"]:
        show(console, Text(clean(body["error"]), style="red"), indent=4)
    for note in body["notes"]:
        show(console, Text(clean(note)), indent=4)


def failures(console: Console, bodies: Sequence[Body]) -> None:
    rows = [(f["reason"] or "failed", link(f["url"]), f["job_id"], f["message"] or "") for f in bodies]
    table(console, ("reason", "url", "job", "why"), rows)


def sources(console: Console, bodies: Sequence[Body]) -> None:
    rows = []
    for s in bodies:
        first, *others = s["spec"]["urls"]
        urls = link(first) + Text(f" and {len(others)} more" if others else "")
        last = s["last_job"]["state"] if s["last_job"] else "—"
        rows.append((s["id"], s["mode"], s["collection"], urls, s["pages"], interval(s["every_s"]), when(s["next_at"]), last))
    table(console, ("id", "mode", "collection", "urls", "pages", "every", "next run", "last job"), rows)


def keys(console: Console, bodies: Sequence[Body]) -> None:
    rows = []
    for key in bodies:
        where = "all" if key["collections"] is None else ", ".join(key["collections"])
        ends = f"revoked {when(key['revoked_at'])}" if key["revoked_at"] else when(key["expires_at"])
        rows.append((key["id"], clean(key["name"]), ", ".join(key["scopes"]), where, when(key["created_at"]), ends))
    table(console, ("id", "name", "scopes", "collections", "made", "expires"), rows)


def feedback(console: Console, bodies: Sequence[Body]) -> None:
    rows = []
    for one in bodies:
        wrong = ", ".join(f"[{citation['number']}]" for citation in one["citations"] if citation["wrong"]) or "—"
        word = "helpful" if one["helpful"] else "not helpful"
        said = clean(one["comment"] or "")
        rows.append((when(one["created_at"]), one["collection"], word, one["state"], wrong, clean(one["question"]), said))
    table(console, ("when", "collection", "judged", "answer", "wrong", "question", "comment"), rows)


def interval(seconds: int | None) -> str:
    """As `--every` takes it: 1d, 12h, 90m."""
    if seconds is None:
        return "—"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def counts(body: Body) -> str:
    """``12 found: 9 indexed, 2 unchanged, 1 failed; 3 removed; 2 with little kept; 140 chunks``."""
    urls = body["urls"]
    parts = [f"{urls[state]:,} {state}" for state in ("indexed", "unchanged", "skipped", "failed", "pending") if urls.get(state)]
    removed = f"; {body['removed']:,} removed" if body["removed"] else ""
    poor = f"; {body['poorly_kept']:,} with little kept" if body["poorly_kept"] else ""
    return f"{body['found']:,} found" + (f": {', '.join(parts)}" if parts else "") + f"{removed}{poor}; {body['chunks']:,} chunks"


def state_word(body: Body) -> str:
    """A job's state, and where it is going if that was asked for."""
    if body["state"] == "running" and (body["cancel_requested"] or body["pause_requested"]):
        return "cancelling" if body["cancel_requested"] else "pausing"
    return clean(body["state"])


def table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on a terminal; elsewhere tab-separated values with a header line, for cut and awk."""
    cells = [[value if isinstance(value, Text) else Text(clean(str(value))) for value in row] for row in rows]
    if not console.is_terminal:
        for row in ([Text(name) for name in headers], *cells):
            show(console, Text("\t").join(row))
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in headers:
        drawn.add_column(name, overflow="fold", no_wrap=name in ("id", "chunks", "pages", "state", "fetched", "created", "at"))
    for row in cells:
        drawn.add_row(*row)
    console.print(drawn)


def link(url: str, *, text: str | None = None) -> Text:
    """A URL that a terminal can open. Only http and https become links: a page's URL must not start another program."""
    target = clean(url).replace(" ", "%20")
    opens = target.startswith(("http://", "https://"))
    return Text(text or target, style=Style(underline=opens, link=target if opens else None))


def when(timestamp: str | None) -> str:
    """An API time stamp for people, to the minute, in UTC."""
    if not timestamp:
        return "—"
    moment = datetime.fromisoformat(timestamp)
    return f"{(moment.astimezone(UTC) if moment.tzinfo else moment):%Y-%m-%d %H:%M} UTC"


def _place(body: Body) -> Text:
    """``title › heading — URL``. The text fragment that leads a browser to the quote is in the link, not in what is shown."""
    title = clean(body["title"]) or "(no title)"
    path = [heading for heading in map(clean, body["heading_path"]) if heading != title]
    url = clean(body["url"])
    return Text(" › ".join([title, *path])) + Text(" — ", style="dim") + link(url, text=url.partition("#:~:text=")[0])


def _mode(body: Body) -> str:
    return f"{body['mode']}, dry run" if body["spec"].get("dry_run") else str(body["mode"])


def _job_state(body: Body) -> Text:
    return Text(state_word(body), style=JOB_STYLES.get(body["state"], ""))


def _took(body: Body) -> str:
    return f" in {body['worked_s']:.1f} s" if body["finished_at"] else ""
