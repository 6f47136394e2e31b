"""The command line: what each folder holds, what is measured of it, what is printed."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import Executor
from pathlib import Path

from bench.errors import BenchError
from bench.extraction import articles, dump, manuals
from bench.extraction.extractors import EXTRACTORS, OURS, warm_up
from bench.extraction.measures import differences
from bench.extraction.processes import workers

SHOWN_CHARS = 500


def main() -> int:
    arguments = _arguments()
    extractors = (OURS,) if arguments.ours else tuple(EXTRACTORS)
    try:
        with workers(warm_up) as pool:
            for folder in arguments.folders:
                if not folder.is_dir():
                    raise BenchError(f"{folder} is no folder. Name one with articles or with manuals.")
                wanted = articles.read_set(folder)
                if wanted is not None:
                    _articles(folder, wanted, extractors, pool, arguments)
                else:
                    _manuals(folder, extractors, pool, arguments)
    except BenchError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _articles(
    folder: Path,
    wanted: articles.ArticleSet,
    extractors: tuple[str, ...],
    pool: Executor,
    arguments: argparse.Namespace,
) -> None:
    measured = articles.measure(wanted, extractors, pool)
    print(f"\n{folder.name}, {articles.report(wanted, measured, extractors)}", flush=True)
    for article in articles.worst(measured, arguments.worst):
        our = article.overlaps[OURS]
        print(f"  {article.name}: right {our.right:.2f}, superfluous {our.superfluous:.2f}, missing {our.missing:.2f}")
        for label, pieces in differences(article.truth, article.runs[OURS].text).items():
            print(f"    {label}: {' … '.join(pieces)[:SHOWN_CHARS]}")
    if arguments.dump:
        for article in measured:
            texts = {"truth": article.truth} | {name: run.text for name, run in article.runs.items()}
            dump.write(arguments.dump / folder.name, article.name, texts)


def _manuals(folder: Path, extractors: tuple[str, ...], pool: Executor, arguments: argparse.Namespace) -> None:
    folders = manuals.manual_folders(folder)
    if not folders:
        raise BenchError(f"{folder} holds neither {articles.BODIES_FILE}, {articles.EXPECTED_FILE} nor HTML pages.")
    found = []
    for one in folders:
        manual = manuals.measure(one, extractors, pool, pages=arguments.pages, seed=arguments.seed)
        print(f"… {manual.name}: {len(manual.pages)} pages; left out: {dict(manual.left_out)}", file=sys.stderr, flush=True)
        found.append(manual)
        if arguments.worst and manual.pages:
            print(f"\n{manual.name}\n{manuals.losses_by_path(manual, arguments.worst)}")
            print(manuals.failures(manual, arguments.worst), flush=True)
        if arguments.dump:
            for page in manual.pages:
                texts = {"truth": page.truth} | {name: run.text for name, run in page.runs.items()}
                dump.write(arguments.dump / manual.name, page.name, texts)
    print(f"\n{manuals.report(found, extractors)}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.extraction", description="Measure what extraction keeps of pages.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="articles, a manual, or a folder of manuals")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="name the N worst pages with what they lack")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write for each page the wanted text and each extractor's here")
    parser.add_argument("--pages", type=int, default=60, metavar="N", help="pages of a manual at most (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of a manual's pages (1)")
    parser.add_argument("--ours", action="store_true", help="measure Footnote alone, which is faster")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
