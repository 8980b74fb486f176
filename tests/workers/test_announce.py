"""Announcing after a commit: a broker that is away is left alone for a while and fails nobody."""

import threading
from collections.abc import Iterable

from domain.errors import BrokerUnavailable
from infrastructure.embedded.waiting import wait_until
from workers.announce import QUIET_S, Announcing, patiently

PATIENCE_S = 20.0


class Broker:
    def __init__(self) -> None:
        self.away = False
        self.asked: list[list[tuple[str, str]]] = []

    def announce(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.asked.append(list(pairs))
        if self.away:
            raise BrokerUnavailable("away")


def test_work_is_announced() -> None:
    broker = Broker()
    patiently(broker.announce)([("risk", "o1")])
    assert broker.asked == [[("risk", "o1")]]


def test_nothing_to_announce_asks_no_broker() -> None:
    broker = Broker()
    patiently(broker.announce)(iter(()))
    assert broker.asked == []


def test_a_broker_that_is_away_fails_nobody_and_is_left_alone_for_a_while() -> None:
    broker, now = Broker(), [0.0]
    announce = patiently(broker.announce, lambda: now[0])
    broker.away = True
    announce([("risk", "o1")])
    broker.away = False
    announce([("risk", "o2")])
    assert len(broker.asked) == 1
    now[0] = QUIET_S
    announce([("risk", "o3")])
    assert broker.asked[1:] == [[("risk", "o3")]]


class Silent(Broker):
    """Says nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.speaks = threading.Event()

    def announce(self, pairs: Iterable[tuple[str, str]]) -> None:
        super().announce(pairs)
        assert self.speaks.wait(PATIENCE_S)


def test_a_silent_broker_holds_up_nobody_and_hears_at_once_what_has_gathered() -> None:
    broker = Silent()
    announcing = Announcing(broker.announce, room=3)
    announcing.start(broken)
    announcing([("risk", "o1")])
    assert wait_until(lambda: len(broker.asked) == 1, timeout_s=PATIENCE_S)
    announcing([("risk", "o2")])
    announcing([("risk", "o3"), ("risk", "o4"), ("risk", "too many"), ("risk", "too many")])
    broker.speaks.set()
    assert announcing.stop(PATIENCE_S)
    assert broker.asked == [[("risk", "o1")], [("risk", "o2"), ("risk", "o3"), ("risk", "o4")]]


def test_a_silent_broker_keeps_nobody_from_ending() -> None:
    broker = Silent()
    announcing = Announcing(broker.announce)
    announcing.start(broken)
    announcing([("risk", "o1")])
    assert not announcing.stop(0.01)
    broker.speaks.set()
    assert announcing.stop(PATIENCE_S)


def test_what_nobody_expects_is_told_to_who_started_it() -> None:
    def fails(_pairs: Iterable[tuple[str, str]]) -> None:
        raise ValueError("unexpected")

    told: list[BaseException] = []
    announcing = Announcing(fails)
    announcing.start(told.append)
    announcing([("risk", "o1")])
    assert wait_until(lambda: bool(told), timeout_s=PATIENCE_S)
    assert announcing.stop(PATIENCE_S)


def test_stopping_what_never_began_is_no_error() -> None:
    announcing = Announcing(broken)
    assert announcing.stop(PATIENCE_S)


def broken(unexpected: object) -> None:
    raise AssertionError(unexpected)
