"""The body of a retrieval evaluation, for the tests of what is drawn from it."""

from __future__ import annotations

from typing import Any

from corpus.settings import Settings
from footnote.evaluation import reproduction
from footnote.evaluation.configurations import CONFIGURATIONS
from footnote.evaluation.dataset import Dataset, Document, Judgement, Query
from footnote.evaluation.found import Found
from footnote.evaluation.retrieval_results import set_bodies
from footnote.evaluation.running import Run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<!--\u2028\x1b[31m"


def evaluation(*, sets: int = 1, hostile: str = HOSTILE) -> dict[str, Any]:
    """A body as ``evaluate_datasets`` makes it, of rankings made up here, with hostile text wherever a stranger can write."""
    documents = [Document(f"d{number}{hostile}", f"Title {number} {hostile}", f"Text {number} {hostile}") for number in range(4)]
    queries = [Query("1", f"First? {hostile}"), Query("2", "Second?"), Query("3", "Third?")]
    qrels = {query.id: {documents[place].id: 2} for place, query in enumerate(queries)}
    known = {configuration.name: configuration for configuration in CONFIGURATIONS}
    runs = []
    for name, shift in (("bm25", 1), ("maxsim", 0)):
        rankings = [[documents[(place + shift * (place > 0)) % 4].id, documents[place].id] for place in range(3)]
        best = [[Found(f"c{one}", one, "T", "x") for one in dict.fromkeys(ranking)] for ranking in rankings]
        runs.append(
            Run(known[name], [list(dict.fromkeys(one)) for one in rankings], best, [3.0, 4.0, 5.0], {"lexical": [1.0, 2.0, 3.0]})
        )
    body: dict[str, Any] = {
        "evaluation": "retrieval",
        **reproduction.facts(Settings(), seed=1, resamples=50, arguments=[hostile]),
    }
    facts = {"index": {"chunks": 4, "unread": {hostile: "no"}, "stamp": {"embedder": {"name": hostile}}}}
    bodies = []
    for number in range(sets):
        dataset = Dataset(f"set{number} {hostile}", documents, queries, [Judgement("", qrels)])
        bodies += set_bodies(dataset, runs, facts=facts, seed=1, resamples=50)
    return body | {"default": "maxsim", "left_out": {"dense": hostile}, "sets": bodies}
