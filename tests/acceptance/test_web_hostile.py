"""Whatever stands on a page, in an address or in a model's mouth, the web page shows it as text and does nothing else."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.acceptance.hostile_texts import HOSTILE, MARKUP
from tests.acceptance.mortal import MortalService
from tests.acceptance.scripted_model import ScriptedModel
from tests.acceptance.sites import serve
from tests.acceptance.web_browser import CHROMIUM, Visit

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
    pytest.mark.timeout(300),
]

TIME = "2026-11-03T09:30:00Z"
ID, HASH = "0" * 32, "0" * 64
REAL_PAGES = 8


def check_links(visit: Visit) -> None:
    """Every link leads to a view of this page, or by http or https to elsewhere, telling nobody from where."""
    links = visit.page.eval_on_selector_all(
        "a[href]", "links => links.map(link => [link.getAttribute('href'), link.protocol, link.rel, link.target])"
    )
    assert links
    for href, protocol, rel, target in links:
        if href.startswith("#/"):
            continue
        assert protocol in ("http:", "https:"), href
        assert {"noopener", "noreferrer"} <= set(rel.split()), href
        assert target == "_blank"


def test_hostile_pages_and_a_hostile_model_from_end_to_end(
    visit: Visit, service_with_model: MortalService, model: ScriptedModel, tmp_path: Path
) -> None:
    """All of it real: pages that hold the texts, escaped so that they are the page's words, are fetched, indexed and asked."""
    for number in range(REAL_PAGES):
        texts = HOSTILE[number::REAL_PAGES]
        words = "".join(f"<p>The password of door {number} is {html.escape(text[:200])} said the porter.</p>" for text in texts)
        title = html.escape(MARKUP[number])
        (tmp_path / f"{number}.html").write_text(
            f"<!doctype html><meta charset=utf-8><title>{title}</title><main><h1>{title}</h1>{words}</main>"
        )
    with serve(tmp_path) as site:
        names = [f"{number}.html?q=%22%3E%3Csvg%20onload=pwned()%3E" for number in range(REAL_PAGES)]
        job = service_with_model.post("/v1/ingest", {"urls": [site.url + name for name in names]})["job_id"]
        assert service_with_model.wait_for_job(job, timeout_s=200)["urls"]["indexed"] == REAL_PAGES
    model.text = " ".join(HOSTILE[:60])
    visit.open()
    visit.page.get_by_label("Your question").fill(f"What is the password of door 3? {MARKUP[1]}")
    visit.page.get_by_role("button", name="Ask", exact=True).click()
    visit.page.locator(".turn .state").wait_for()
    expect(visit.page.locator(".marker").first).to_be_visible()
    visit.page.locator(".marker").first.click()
    expect(visit.page.locator(".note").first).to_be_visible()
    check_links(visit)
    pages = service_with_model.get("/v1/pages")["pages"]
    assert {page["title"] for page in pages} == set(MARKUP[:REAL_PAGES])
    for view in ("#/sources", "#/pages", *(f"#/pages/{page['id']}" for page in pages), "#/inspect?q=password%20of%20door"):
        visit.open(view)
        visit.page.locator(".source, .page-list li, .stored, .hits").first.wait_for()
        check_links(visit)
        visit.check_nothing_ran()


def test_a_hostile_service_is_shown_as_text_too(visit: Visit) -> None:
    """Answers that our service would never give, with each of the texts in each place that holds a text."""
    forge(visit)
    visit.open()
    visit.page.get_by_label("Your question").fill("Anything?")
    visit.page.get_by_role("button", name="Ask", exact=True).click()
    visit.page.locator(".turn .state").wait_for()
    expect(visit.page.locator(".notes li")).to_have_count(len(HOSTILE))
    said = visit.page.locator(".says bdi").all_text_contents()
    assert said == list(HOSTILE), "something that was said isn't shown as it was said"
    check_links(visit)
    visit.page.evaluate("document.querySelectorAll('.marker').forEach(marker => marker.click())")  # each note is made
    assert visit.page.locator(".note").count() == len(HOSTILE)
    check_links(visit)
    visit.check_fits()
    visit.page.reload()  # the conversation comes back from where it was kept
    expect(visit.page.locator(".notes li")).to_have_count(len(HOSTILE))

    visit.open("#/sources")
    expect(visit.page.locator(".source")).to_have_count(len(HOSTILE))
    visit.page.locator(".source summary", has_text="Last run").first.click()
    visit.page.locator(".source .job summary", has_text="Each address").first.click()
    expect(visit.page.locator(".source .outcomes tbody tr")).to_have_count(len(HOSTILE))
    visit.page.get_by_label("Addresses, one a line").fill("https://docs.example.com/")
    visit.page.get_by_role("button", name="What would be kept?").click()
    expect(visit.page.locator(".sides .reason")).to_have_count(len(HOSTILE))
    visit.page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
    check_links(visit)
    visit.check_fits()
    visit.open("#/pages")
    expect(visit.page.locator(".page-list li")).to_have_count(len(HOSTILE))
    visit.check_fits()
    visit.open(f"#/pages/{ID}?cite=2-900")
    expect(visit.page.locator(".stored")).to_contain_text("<script>pwned()</script>")
    assert visit.page.locator(".stored mark").count() > 0
    visit.page.get_by_text("History").click()
    visit.page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
    expect(visit.page.locator(".facts .left-out bdi")).to_have_count(len(HOSTILE))
    check_links(visit)
    visit.check_fits()
    visit.open("#/inspect?q=x")
    expect(visit.page.locator(".hits > li")).to_have_count(len(HOSTILE))
    check_links(visit)
    visit.check_fits()
    visit.open("#/evaluations")
    expect(visit.page.locator("main tbody tr")).to_have_count(len(HOSTILE))
    visit.check_fits()
    for report in ("r", "a"):
        visit.open(f"#/evaluations/{report}")
        expect(visit.page.locator("main .plot").first).to_be_visible()
        visit.page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
        assert visit.page.locator(".cases li").count() > 0
        check_links(visit)
        visit.check_fits()
    for text in HOSTILE[::20]:  # and in the address itself
        visit.page.evaluate("text => { location.hash = '#/' + text; }", text)
        visit.page.evaluate("text => { location.hash = '#/pages/' + encodeURIComponent(text) + '?cite=' + text; }", text)


def forge(visit: Visit) -> None:
    """Put our own answers in the place of the service's."""
    h = list(HOSTILE)

    def chunk(n: int) -> dict[str, Any]:
        return {
            "page_id": ID,
            "chunk_id": str(n),
            "url": h[n],
            "title": h[n],
            "heading_path": [h[n], h[-n]],
            "content_hash": HASH,
            "fetched_at": TIME,
            "start": 0,
            "end": 5,
        }

    hits = [
        {**chunk(n), "text": text, "score": 0.5, "stages": {"dense": {"rank": n + 1, "score": 0.1}}} for n, text in enumerate(h)
    ]
    citations = [{**chunk(n), "number": n + 1, "quote": text, "url": f"https://{n}.example/{text}"} for n, text in enumerate(h)]
    for n, citation in enumerate(citations[-40:]):
        citation["url"] = h[n - 40]
    answer = {
        "state": "grounded",
        "answer": h[0],
        "statements": [{"text": t, "citations": [n + 1]} for n, t in enumerate(h)],
        "citations": citations,
        "nearest": [{"page_id": ID, "url": t, "title": t} for t in h],
        "evidence_score": 1,
        "model": h[1],
        "notes": h,
        "rewritten_question": h[2],
        "timings_ms": {t[:40]: 1.0 for t in h} | {"total": 200.0},
    }
    parts = [{"reason": t, "words": 2, "link_words": 1, "text": t, "at": n * 7} for n, t in enumerate(h)]
    coverage = {"visible_words": 9, "kept_words": 3, "share": 0.3, "prose_share": 0.5, "left_out": parts}
    outcome = {
        "state": "failed",
        "page_id": None,
        "chunks": 0,
        "depth": 0,
        "attempts": 1,
        "http_status": 200,
        "size_bytes": 1,
        "elapsed_ms": 1,
        "finished_at": TIME,
        "coverage": {**coverage, "left_out": parts[:3]},
    }
    outcomes = [{**outcome, "url": text, "reason": text, "message": text} for text in h]
    job = {
        "id": "1",
        "collection": "default",
        "state": "failed",
        "mode": "crawl",
        "spec": {"urls": h},
        "error": h[0],
        "notes": h,
        "source_id": ID,
        "run": 1,
        "cancel_requested": False,
        "pause_requested": False,
        "waits_for": None,
        "created_at": TIME,
        "started_at": TIME,
        "finished_at": TIME,
        "worked_s": 3.0,
        "found": 200,
        "chunks": 1,
        "removed": 0,
        "poorly_kept": 2,
        "failures": outcomes,
        "urls": {"pending": 0, "indexed": 0, "unchanged": 0, "skipped": 0, "failed": 200},
    }
    last = {"id": "1", "state": "failed", "created_at": TIME, "finished_at": TIME}
    sources = [
        {
            "id": str(n),
            "collection": text,
            "mode": text,
            "spec": {"urls": [text, text]},
            "pages": 1,
            "every_s": 900,
            "next_at": TIME,
            "created_at": TIME,
            "last_job": last,
        }
        for n, text in enumerate(h)
    ]
    facts = {
        "collection": "default",
        "language": h[1],
        "content_hash": HASH,
        "fetched_at": TIME,
        "published_at": TIME,
        "modified_at": None,
        "notes": h,
        "chunks": 200,
        "characters": 9,
        "coverage": coverage,
    }
    pages = [{**facts, "id": ID, "url": text, "title": text} for text in h]
    text = "\n\n".join(h)
    spans = [{"id": str(n), "ordinal": n, "start": n * 7, "end": n * 7 + 9, "heading_path": []} for n in range(len(h))]
    detail = {**pages[0], "text": text, "chunk_spans": spans, "aliases": [{"url": t, "kind": t, "seen_at": TIME} for t in h]}
    visits = [{**outcome, "job_id": "1", "at": TIME, "reason": t, "message": t} for t in h]
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6}
    spent = {"p50": 3.0, "p95": 5.0}
    made = {"made_at": TIME, "footnote": h[6], "machine": {"processor": h[7], "cores": 2}, "command": h[8], "default": h[0]}
    judged = [{"id": t, "text": t, "relevant": {t: 1}, "found": {h[0]: {"measures": {"ndcg@10": 0.1}}}} for t in h]
    configurations = [{"name": t, "title": t, "measures": {"ndcg@10": estimate}, "ms": spent} for t in h]
    searched = {
        "name": h[9],
        "queries": 3,
        "configurations": configurations,
        "by_query": judged,
        "texts": {h[0]: {"title": h[1]}},
    }
    retrieval = {"evaluation": "retrieval", **made, "sets": [searched]}
    cases = [
        {"question": t, "answerable": True, "state": t, "confidence": 0.5, "answer": t, "wanted": [t], "right": False} for t in h
    ]
    asked = {
        "name": h[10],
        "questions": 2,
        "answerable": 1,
        "states": {},
        "refusal": {"precision": estimate, "recall": estimate, "wrongly_refused": 0, "wrongly_answered": 0},
        "gold_sentence_cited": None,
        "answer_said": None,
        "citations": 1,
        "citations_unresolved": 0,
        "calibration": {"ece": 0.1, "bins": [{"n": 1, "confidence": 0.5, "answerable": 1.0}]},
        "risk_coverage": [{"coverage": 1.0, "risk": 0.5}],
        "cases": cases,
    }
    answered = {"evaluation": "answers", **made, "sets": [asked]}
    streamed = [("retrieval", {"hits": hits}), *(("token", {"text": t}) for t in h), ("done", answer)]
    explained = {"url": h[0], "title": h[1], "language": h[2], "text": text, "coverage": coverage, "notes": h}
    bodies = {
        r"/v1/ingest/explain$": {**explained, "keep": h, "drop": h},
        r"/v1/search$": {"hits": hits, "reranked": True, "timings_ms": answer["timings_ms"]},
        r"/v1/collections$": {"collections": [{"name": t, "pages": 1, "created_at": TIME} for t in ["default", *h]]},
        r"/v1/jobs\?": {"jobs": [job]},
        r"/v1/jobs/1$": job,
        r"/v1/jobs/1/urls": {"urls": outcomes, "next": None},
        r"/v1/sources\?": {"sources": sources, "next": None},
        r"/v1/reindex$": {"state": "failed", "step": None, "done": 0, "total": 0, "error": h[5]},
        r"/v1/evaluations$": {
            "evaluations": [{"id": "r", "kind": t, "made_at": TIME, "sets": [t, t], "questions": 1} for t in h]
        },
        r"/v1/evaluations/r$": retrieval,
        r"/v1/evaluations/a$": answered,
        r"/v1/pages\?": {"pages": pages, "next": None},
        r"/v1/pages/\w+$": detail,
        r"/v1/pages/\w+/log": {"url": h[0], "visits": visits, "next": None},
        r"/v1/citations/check$": {
            "citations": [
                {"state": "moved", "start": n * 9, "end": n * 9 + 30, "content_hash": HASH, "fetched_at": TIME}
                for n in range(100)
            ]
        },
        r"/readyz$": {"state": "ready", "stage": h[0], "degraded": h, "version": h[0]},
    }

    def answer_for(route: Route) -> None:
        url = route.request.url
        if url.endswith("/v1/ask"):
            events = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in streamed)
            return route.fulfill(content_type="text/event-stream", body=events)
        body = next((body for pattern, body in bodies.items() if re.search(pattern, url)), None)
        if body is None:
            refusal = {"code": h[3], "detail": h[4]}
            return route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(refusal))
        return route.fulfill(content_type="application/json", body=json.dumps(body))

    visit.page.route(re.compile(r"/v1/|/readyz$"), answer_for)
