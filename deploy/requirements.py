"""``python requirements.py PYPROJECT [EXTRAS]``: what the project and its extras pin, one requirement a line."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """Raises: SystemExit, if there is no such extra."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project["optional-dependencies"]
    if unknown := [extra for extra in extras if extra not in optional]:
        raise SystemExit(f"There is no extra {', '.join(unknown)}; there are {', '.join(sorted(optional))}.")
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


if __name__ == "__main__":
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    print("\n".join(requirements(Path(sys.argv[1]), [extra for extra in wanted.split(",") if extra])))
