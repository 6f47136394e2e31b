"""A retrieval test set of our own writing, as folders in BEIR's layout, in two languages with parallel ids."""

from __future__ import annotations

import json
from pathlib import Path

ENGLISH = {
    "bell": ("The harbour bell", "The harbour bell rings at dusk. It was cast in bronze and weighs four tonnes."),
    "ferry": ("The ferry", "The ferry crosses the strait twice a day. In storms it stays at the quay, and nobody crosses."),
    "gulls": ("Gulls", "Gulls nest on the northern cliff. They steal fish from the market stalls in the morning."),
    "market": ("The fish market", "The fish market opens at five in the morning. Herring is sold by the crate."),
    "pier": ("The pier", "The pier is built of oak. Its planks are tarred every spring against the worms."),
    "fog": ("Fog", "Fog comes from the open sea in autumn, and then a horn sounds every minute."),
    "keeper": ("The keeper", "The keeper of the lamp climbs ninety steps and trims the wick before midnight."),
    "empty": ("", " "),
}
GERMAN = {
    "bell": ("Die Hafenglocke", "Die Hafenglocke läutet in der Dämmerung. Sie ist aus Bronze und wiegt vier Tonnen."),
    "ferry": ("Die Fähre", "Die Fähre quert den Sund zweimal am Tag. Bei Sturm bleibt sie am Kai."),
    "gulls": ("Möwen", "Möwen nisten an der nördlichen Klippe. Morgens stehlen sie Fische vom Markt."),
    "market": ("Der Fischmarkt", "Der Fischmarkt öffnet um fünf Uhr früh. Hering wird in Kisten verkauft."),
    "pier": ("Der Steg", "Der Steg ist aus Eiche. Jeden Frühling werden seine Planken geteert."),
    "fog": ("Nebel", "Im Herbst kommt Nebel vom Meer, und jede Minute ertönt ein Horn."),
    "keeper": ("Die Wärterin", "Die Wärterin der Lampe steigt neunzig Stufen hinauf und kürzt den Docht."),
    "empty": ("", ""),
}
ENGLISH_QUESTIONS = {
    "q1": ("When does the harbour bell ring?", {"bell": 2}),
    "q2": ("How often does the ferry cross the strait?", {"ferry": 1}),
    "q3": ("Who steals fish in the morning?", {"gulls": 2, "market": 1}),
    "q4": ("What is the pier built of?", {"pier": 1, "keeper": 0}),
    "q5": ("What sounds every minute in the fog?", {"fog": 1}),
    "q6": ("Nobody has judged this?", {}),
}
GERMAN_QUESTIONS = {
    "q1": ("Wann läutet die Hafenglocke?", {"bell": 2}),
    "q2": ("Wie oft quert die Fähre den Sund?", {"ferry": 1}),
}


def write_set(
    folder: Path,
    documents: dict[str, tuple[str, str]] = ENGLISH,
    questions: dict[str, tuple[str, dict[str, int]]] = ENGLISH_QUESTIONS,
) -> Path:
    folder.mkdir(parents=True)
    corpus = [{"_id": key, "title": title, "text": text} for key, (title, text) in documents.items()]
    queries = [{"_id": key, "text": text} for key, (text, _) in questions.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = [f"{query}\t{document}\t{grade}" for query, (_, grades) in questions.items() for document, grade in grades.items()]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    return folder
