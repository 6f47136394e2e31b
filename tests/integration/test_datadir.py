"""One owner per data directory, and no start on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from corpus.datadir import LEAST_FREE_BYTES, DataDirectory
from corpus.errors import DataDirectoryLocked, StartupError, StorageFull

HOLD = """
import sys, pathlib
from corpus.datadir import DataDirectory
with DataDirectory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(DataDirectoryLocked) as caught, DataDirectory(path):
            pass
        assert str(owner.pid) in caught.value.message
        assert "FOOTNOTE_DATA_DIR" in caught.value.message
        assert caught.value.details == {"process": str(owner.pid)}
        owner.kill()  # no clean-up on its side: the lock must not outlive the process
        owner.wait()
    with DataDirectory(path):
        assert (path / "lock").read_text() == str(os.getpid())


def test_the_same_process_cannot_open_it_twice(tmp_path: Path) -> None:
    with DataDirectory(tmp_path), pytest.raises(DataDirectoryLocked), DataDirectory(tmp_path):
        pass
    with DataDirectory(tmp_path):
        pass


def test_a_refused_second_owner_leaves_the_first_ones_announcement(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as first:
        first.announce("http://127.0.0.1:8000")
        with pytest.raises(DataDirectoryLocked), DataDirectory(tmp_path):
            pass
        assert DataDirectory(tmp_path).announced() == {"url": "http://127.0.0.1:8000", "pid": os.getpid()}
    assert DataDirectory(tmp_path).announced() is None


def test_only_its_owner_may_look_into_a_new_directory(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data" / "deep") as directory:
        assert directory.path.stat().st_mode & 0o077 == 0


def test_a_path_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StartupError, match="FOOTNOTE_DATA_DIR"), DataDirectory(path):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StartupError, match="FOOTNOTE_DATA_DIR"), DataDirectory(tmp_path):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_a_directory_that_refuses_its_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()  # what even root can't open for writing
    with pytest.raises(StartupError, match="FOOTNOTE_DATA_DIR"), DataDirectory(tmp_path):
        pass


def test_a_nearly_full_disk_is_refused_and_the_lock_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=LEAST_FREE_BYTES // 4096, f_frsize=4096))
        with pytest.raises(StorageFull, match="Free some space"), DataDirectory(tmp_path):
            pass
        patched.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=LEAST_FREE_BYTES // 4096 + 1, f_frsize=4096))
        with DataDirectory(tmp_path):
            pass
    with DataDirectory(tmp_path):
        pass


def test_a_garbled_announcement_is_none(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    for garbled in ("", "{", "[]", '"x"', "\x00"):
        directory.service_file.write_text(garbled)
        assert directory.announced() is None
