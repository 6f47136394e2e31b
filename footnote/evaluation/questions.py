"""Questions of one's own: a CSV file with the columns ``question`` and ``expected_url``."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import InvalidInput
from footnote.evaluation.dataset import Dataset, Judgement, Query
from footnote.evaluation.files import refused

QUESTION, EXPECTED_URL = "question", "expected_url"


def read_questions(path: Path) -> Dataset:
    """Questions and the pages that answer them. Several pages of one question stand in as many rows, or in one with ``;``
    between them. Other columns are passed over. The documents are those that are indexed, so none are given here.

    Raises: InvalidInput, naming file and line.
    """
    questions: dict[str, dict[str, int]] = {}
    for line, row in _rows(path):
        question = (row[QUESTION] or "").strip()
        urls = [url.strip() for url in (row[EXPECTED_URL] or "").split(";") if url.strip()]
        if not question:
            raise refused(path, line, f"the column {QUESTION} is empty")
        if not urls:
            raise refused(path, line, f"the column {EXPECTED_URL} is empty: name at least one page that answers the question")
        for url in urls:
            if not url.lower().startswith(("http://", "https://")):
                raise refused(path, line, f"{url!r} is no URL: it must begin with http:// or https://")
            questions.setdefault(question, {})[url.partition("#")[0]] = 1
    if not questions:
        raise InvalidInput(f"{path} holds no questions, only a header.")
    queries = [Query(f"q{number}", question) for number, question in enumerate(questions, start=1)]
    qrels = {query.id: questions[query.text] for query in queries}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset(path.stem, [], queries, [Judgement("", qrels)], {path.name: digest})


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            lacking = [name for name in (QUESTION, EXPECTED_URL) if columns.count(name) != 1]
            if lacking:
                raise refused(path, 1, f"it must name the columns {QUESTION} and {EXPECTED_URL}, once each, with a comma between")
            reader.fieldnames = columns
            for row in reader:
                if None in row:
                    raise refused(
                        path, reader.line_num, "there are more fields than columns: put quotes around fields with commas"
                    )
                yield reader.line_num, row
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.") from exc
    except OSError as exc:
        raise InvalidInput(f"{path} can't be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path} is not UTF-8 ({exc.reason} at byte {exc.start + 1}). Save it as CSV UTF-8.") from exc
    except csv.Error as exc:
        raise refused(path, reader.reader.line_num, f"this is no CSV ({exc})") from exc
