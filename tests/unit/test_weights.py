"""Weights that are made once, also where several processes share the folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from corpus.errors import StorageFull
from corpus.weights import made_once


def test_only_one_of_several_makes_it_and_nobody_sees_a_part(tmp_path: Path) -> None:
    target = tmp_path / "models" / "weights"
    making, go_on = threading.Event(), threading.Event()
    makers: list[str] = []

    def make(path: Path) -> None:
        makers.append(threading.current_thread().name)
        path.write_text("half")
        making.set()
        assert go_on.wait(60)
        path.write_text("whole")

    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(made_once(target, make, what="it").read_text()), name=str(number))
        for number in range(3)
    ]
    threads[0].start()
    assert making.wait(60)
    assert not target.exists()
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert found == ["whole"] * 3
    assert makers == ["0"]


def test_what_a_killed_process_left_is_made_anew(tmp_path: Path) -> None:
    left = tmp_path / "weights.partial"
    left.mkdir()
    (left / "half").write_text("half")

    def make(path: Path) -> None:
        path.mkdir()
        (path / "whole").write_text("whole")

    assert [path.name for path in made_once(tmp_path / "weights", make, what="it").iterdir()] == ["whole"]


def test_one_that_fails_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        made_once(tmp_path / "weights", fail, what="it")
    assert not (tmp_path / "weights").exists()
    assert made_once(tmp_path / "weights", lambda path: path.write_text("whole") and None, what="it").read_text() == "whole"


def test_room_is_looked_at_first_but_not_for_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match="Unpacking it needs"):
        made_once(tmp_path / "weights", pytest.fail, what="it", bytes_needed=1 << 60)
    (tmp_path / "weights").write_text("whole")
    assert made_once(tmp_path / "weights", pytest.fail, what="it", bytes_needed=1 << 60).read_text() == "whole"
