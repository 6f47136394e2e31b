"""Retrieval test sets in the layout of BEIR: documents, queries, and which document answers which query.

Thakur et al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval Models" (NeurIPS 2021). A
folder holds ``corpus.jsonl`` {_id, title, text}, ``queries.jsonl`` {_id, text} and ``qrels.tsv`` (query-id, corpus-id, score);
another split has its name in them: ``queries-train.jsonl``, ``qrels-train.tsv``, or ``qrels/train.tsv`` as BEIR ships it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from corpus.errors import InvalidInput
from footnote.evaluation.files import lines, records, refused

Qrels = Mapping[str, Mapping[str, int]]  # query id → document id → grade; what is graded 0 or less is judged irrelevant


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What counts as found. One set may be judged in more than one way, such as within and across languages.

    ``passed_over`` maps a query's id to the beginning of document ids that are neither right nor wrong for it: they are taken
    out of its rankings.
    """

    name: str
    qrels: Qrels
    passed_over: Mapping[str, str] = field(default_factory=dict)

    def grades(self, query_id: str) -> Mapping[str, int]:
        return self.qrels.get(query_id, {})

    def answers(self, query_id: str) -> bool:
        """Whether any document is relevant: otherwise no ranking could be right, and the query says nothing."""
        return any(grade > 0 for grade in self.grades(query_id).values())

    def counted(self, query_id: str, ranking: Sequence[str]) -> list[str]:
        """A ranking without what is passed over."""
        beginning = self.passed_over.get(query_id)
        return [one for one in ranking if beginning is None or not one.startswith(beginning)]


@dataclass(frozen=True, slots=True)
class Dataset:
    """``files`` holds the SHA-256 of what was read, by path: which data a figure belongs to."""

    name: str
    documents: Sequence[Document]
    queries: Sequence[Query]
    judgements: Sequence[Judgement]
    files: Mapping[str, str] = field(default_factory=dict)
    split: str = "test"

    def label(self, judgement: Judgement) -> str:
        """What a table calls the set, judged so."""
        label = self.name if self.split == "test" else f"{self.name} ({self.split})"
        return f"{label}: {judgement.name}" if judgement.name else label

    def answerable(self) -> list[Query]:
        """The queries that some judgement has a relevant document for, in their order."""
        return [query for query in self.queries if any(judgement.answers(query.id) for judgement in self.judgements)]

    def limited(self, queries: int | None) -> Dataset:
        """The same with only the first so many answerable queries."""
        return self if queries is None else replace(self, queries=self.answerable()[:queries])


def read_dataset(folder: Path, *, split: str = "test") -> Dataset:
    """Read a folder in BEIR's layout.

    Raises: InvalidInput, naming file and line, if anything is missing, twice there, or refers to what isn't.
    """
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}. Give one that holds corpus.jsonl, queries.jsonl and qrels.tsv.")
    corpus, queries = folder / "corpus.jsonl", folder / f"queries-{split}.jsonl"
    queries = queries if queries.is_file() else folder / "queries.jsonl"
    qrels = _qrels_file(folder, split)
    documents = read_documents(corpus)
    asked = read_queries(queries)
    judged = read_qrels(qrels, queries={query.id for query in asked}, documents={document.id for document in documents})
    files = {str(path.relative_to(folder)): _sha256(path) for path in (corpus, queries, qrels)}
    dataset = Dataset(folder.resolve().name, documents, asked, [Judgement("", judged)], files, split)
    if not dataset.answerable():
        raise InvalidInput(
            f"{qrels} names no relevant document for any query (a score of 1 or more), so nothing can be measured."
        )
    return dataset


def read_documents(path: Path) -> list[Document]:
    """All documents, empty ones among them, which well-known sets have. Raises: InvalidInput, naming the line."""
    documents: dict[str, Document] = {}
    for record in records(path):
        one = Document(record.identifier(), record.string("title", default="").strip(), record.string("text", default=""))
        if one.id in documents:
            raise record.refused(f"the _id {one.id!r} was there before")
        documents[one.id] = one
    if not documents:
        raise InvalidInput(f"{path} holds no documents.")
    return list(documents.values())


def read_queries(path: Path) -> list[Query]:
    """Raises: InvalidInput, naming the line."""
    queries: dict[str, Query] = {}
    for record in records(path):
        one = Query(record.identifier(), record.string("text").strip())
        if one.id in queries:
            raise record.refused(f"the _id {one.id!r} was there before")
        if not one.text:
            raise record.refused(f"the query {one.id!r} has no text")
        queries[one.id] = one
    if not queries:
        raise InvalidInput(f"{path} holds no queries.")
    return list(queries.values())


def read_qrels(path: Path, *, queries: set[str], documents: set[str]) -> Qrels:
    """Relevance judgements, of which each must speak of a known query and a known document.

    Raises: InvalidInput, naming the line.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, (number, text) in enumerate(lines(path)):
        fields = [value.strip() for value in text.split("\t")]
        if len(fields) != 3:
            raise refused(path, number, f"three fields with tabs between them are expected, and there are {len(fields)}")
        query, document, score = fields
        if not score.lstrip("-").isdecimal():
            if place == 0:
                continue  # the header
            raise refused(path, number, f"the score must be a whole number, and is {score!r}")
        if query not in queries:
            raise refused(path, number, f"there is no query {query!r}")
        if document not in documents:
            raise refused(path, number, f"there is no document {document!r}")
        grades = qrels.setdefault(query, {})
        if grades.setdefault(document, int(score)) != int(score):
            raise refused(path, number, f"query {query!r} and document {document!r} were judged otherwise before")
    return qrels


def pooled(datasets: Sequence[Dataset]) -> Dataset:
    """Several sets as one, their ids prefixed by their names. Where all hold the same document ids (one text in several
    languages), a second judgement asks across languages: relevant is what was, in the others; the query's own language is
    passed over.

    Raises: InvalidInput, if two have one name.
    """
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise InvalidInput(f"Pooled sets are told apart by their names, and these are not: {', '.join(names)}.")
    named = list(zip(names, datasets, strict=True))
    documents = [replace(one, id=f"{name}/{one.id}") for name, dataset in named for one in dataset.documents]
    queries = [replace(one, id=f"{name}/{one.id}") for name, dataset in named for one in dataset.queries]
    own: dict[str, dict[str, int]] = {}
    across: dict[str, dict[str, int]] = {}
    for name, dataset in named:
        others = [other for other in names if other != name]
        for query, grades in dataset.judgements[0].qrels.items():
            own[f"{name}/{query}"] = {f"{name}/{document}": grade for document, grade in grades.items()}
            across[f"{name}/{query}"] = {f"{other}/{document}": grade for other in others for document, grade in grades.items()}
    ids = [{document.id for document in dataset.documents} for dataset in datasets]
    is_parallel = len(ids) > 1 and all(one == ids[0] for one in ids)
    judgements = [Judgement("", own)]
    if is_parallel:
        own_language = {query.id: f"{query.id.partition('/')[0]}/" for query in queries}
        judgements = [Judgement("same language", own), Judgement("other languages", across, own_language)]
    files = {f"{dataset.name}/{path}": digest for dataset in datasets for path, digest in dataset.files.items()}
    return Dataset("+".join(names), documents, queries, judgements, files, datasets[0].split)


def _qrels_file(folder: Path, split: str) -> Path:
    tried = [folder / f"qrels-{split}.tsv", folder / "qrels" / f"{split}.tsv"]
    if split == "test":
        tried.insert(0, folder / "qrels.tsv")
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise InvalidInput(f"{folder} has no relevance judgements for the split {split!r}: one of {', '.join(map(str, tried))}.")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
