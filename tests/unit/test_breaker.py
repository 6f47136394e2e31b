"""When calls to a server that doesn't answer are held back, by a clock of the test's own."""

from __future__ import annotations

import pytest

from corpus.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause_s=5.0, clock=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_calls_pass_until_so_many_have_failed_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert (breaker.wait_s(), breaker.is_open) == (0, False)
    fail(breaker, 1)
    assert (breaker.wait_s(), breaker.is_open) == (5.0, True)


def test_one_answer_between_failures_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.wait_s() == 0


def test_after_the_pause_one_call_alone_probes(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 4
    assert breaker.wait_s() == pytest.approx(1)
    clock.now += 1
    assert breaker.wait_s() == 0
    assert breaker.wait_s() > 0
    assert breaker.is_open


def test_a_probe_that_is_answered_lets_all_through(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    assert breaker.wait_s() == 0
    breaker.succeeded()
    assert [breaker.wait_s() for _ in range(3)] == [0, 0, 0]
    assert not breaker.is_open


def test_a_probe_that_fails_begins_the_pause_anew(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 7
    assert breaker.wait_s() == 0
    clock.now += 2
    breaker.failed()
    assert breaker.wait_s() == 5.0


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    assert breaker.wait_s() == 0
    clock.now += 5
    assert breaker.wait_s() == 0
