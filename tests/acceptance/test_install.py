"""The image's last step, as a script here: a wheel of the sources, in a virtual environment of its own, holds all that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, at: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FOOTNOTE_", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_wheel_is_whole(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, at=tmp_path)
    python = venv / "bin" / "python"
    folder = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", at=tmp_path).strip())
    # What pyproject.toml pins is installed beside these tests; a minute's download would bring the same.
    (folder / "pinned.pth").write_text(sysconfig.get_path("purelib"))
    assert "footnote" in run(ROOT / "deploy" / "install.sh", "footnote", venv, at=tmp_path).lower()

    for package in ("app", "corpus", "ingest", "footnote"):
        source = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"}
        missing = [path for path in source if not (folder / path).is_file()]
        assert not missing
    where = run(python, "-c", "import corpus; print(corpus.__file__)", at=tmp_path)
    assert where.startswith(str(folder))
    assert "database.url" in run(venv / "bin" / "footnote", "settings", "--markdown", at=tmp_path)
