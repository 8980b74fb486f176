"""When a process has seen enough."""

from domain.breaker import Limits
from domain.call_window import CallWindow, Tripped

LIMITS = Limits()


def feed(
    window: CallWindow, pattern: str, *, start: float = 0.0, every: float = 0.01, orders: int = 50
) -> Tripped | None:
    """`.` a success, `x` a failure, `s` a slow success; returns what the first call that was one too many said."""
    for number, sign in enumerate(pattern):
        tripped = window.add(
            start + number * every, order_id=f"o-{number % orders}", failed=sign == "x", slow=sign == "s"
        )
        if tripped:
            return tripped
    return None


def window() -> CallWindow:
    return CallWindow(LIMITS, 0.0)


def test_half_of_enough_calls_failing_is_too_much() -> None:
    tripped = feed(window(), ".x" * 10)
    assert tripped is not None
    assert (tripped.why, tripped.failure_rate) == ("10 of the last 20 calls failed", 0.5)


def test_fewer_calls_than_the_minimum_prove_nothing() -> None:
    assert feed(window(), "x" * 19) is None


def test_a_third_failing_is_borne() -> None:
    assert feed(window(), "..x" * 200) is None


def test_failures_that_are_old_are_forgotten() -> None:
    seen = window()
    feed(seen, "x" * 19)
    assert feed(seen, ".x", start=100.0) is None


def test_failures_beyond_the_number_of_calls_are_forgotten() -> None:
    seen = window()
    assert feed(seen, "." * 60 + "x" * 49 + "." * 60 + "x" * 49) is None


def test_slow_answers_are_reason_enough() -> None:
    tripped = feed(window(), "s" * 20)
    assert tripped is not None
    assert tripped.why == "20 of the last 20 calls took 4 s or more"


def test_a_quiet_shop_learns_of_an_outage_from_a_few_calls() -> None:
    assert feed(window(), "xxxx", every=4.0) is None
    tripped = feed(window(), "xxxxx", every=4.0)
    assert tripped is not None
    assert tripped.failing_since == 0.0


def test_one_order_that_always_fails_proves_nothing_about_the_dependency() -> None:
    assert feed(window(), "x" * 15, every=4.0, orders=1) is None


def test_a_success_in_between_ends_the_row() -> None:
    assert feed(window(), "xxxx.xxxx", every=2.0) is None


def test_a_short_row_of_failures_under_traffic_is_chance() -> None:
    assert feed(window(), "." * 50 + "xxxxxx" + "." * 50) is None


def test_it_knows_since_when_it_has_been_failing() -> None:
    seen = window()
    feed(seen, "." * 20)
    tripped = feed(seen, "x" * 30, start=5.0)
    assert tripped is not None
    assert tripped.failing_since == 5.0


def test_a_cleared_window_has_seen_nothing() -> None:
    seen = window()
    feed(seen, "x" * 19)
    seen.clear(1.0)
    assert feed(seen, "x" * 19, start=1.0) is None
