"""Announcing after a commit: a broker that is away is left alone for a while and fails nobody."""

from collections.abc import Iterable

from domain.errors import BrokerUnavailable
from workers.announce import QUIET_S, patiently


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
