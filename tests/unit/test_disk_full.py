"""Telling a full disk from other trouble, however it is wrapped."""

from __future__ import annotations

import errno

import pytest

from corpus.database import is_disk_full


def raised(exc: BaseException, cause: BaseException) -> BaseException:
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EIO, "broken"), False),
        (RuntimeError("No space left on device"), True),
        (raised(RuntimeError("it failed"), OSError(errno.ENOSPC, "full")), True),
        (ExceptionGroup("both", [ValueError(), OSError(errno.ENOSPC, "full")]), True),
        (ValueError("else"), False),
    ],
)
def test_a_full_disk_is_known_however_it_is_wrapped(exc: BaseException, expected: bool) -> None:
    assert is_disk_full(exc) is expected


def test_errors_that_are_each_others_cause_come_to_an_end() -> None:
    """Libraries that keep an error and raise it again make such rings."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert is_disk_full(one) is False
