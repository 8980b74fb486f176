"""What a message that ends its consumer may do to others: nothing. For brokers that count how often a message was given out."""

import multiprocessing
import os
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from domain.messaging import Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.contracts.inbox import PATIENCE_S, Inbox, consuming

INNOCENTS = 30
GIVE_UP_AFTER = 5
KILLED = 77


def consume_until_killed(settings: BrokerSettings, queue: str, book: Path) -> None:
    """Write down and settle whatever comes; poison ends the process. End in peace when the poison was refused."""
    done = threading.Event()

    def note(verb: str, inbound: Inbound) -> None:
        with book.open("a") as file:
            file.write(f"{verb} {inbound.body.decode()} {inbound.deliveries}\n")
        inbound.settle()

    def take(inbound: Inbound) -> None:
        if inbound.body == b"poison":
            os._exit(KILLED)
        note("took", inbound)

    def refuse(inbound: Inbound, _reason: str) -> None:
        note("refused", inbound)
        done.set()

    consumer = connect(settings).consumer([queue], on_unreadable=refuse, prefetch=INNOCENTS + 1)
    consumer.start(take)
    assert done.wait(PATIENCE_S)
    consumer.stop(PATIENCE_S)
    os._exit(0)


class KillersContract:
    """Inherit and supply the fixtures `broker` and `hasten`, which lets messages that nobody settled be given out again."""

    @pytest.fixture
    def queue(self) -> str:
        return f"ow_test_{random.randrange(10**9)}"

    def test_a_message_that_ends_its_consumers_is_refused_and_takes_nobody_with_it(
        self, broker: Broker, queue: str, hasten: Callable[[str], None], tmp_path: Path
    ) -> None:
        settings, book = replace(broker.settings, give_up_after=GIVE_UP_AFTER), tmp_path / "book"
        bodies = [b"%d" % number for number in range(INNOCENTS)]
        with broker.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=body) for body in [b"poison", *bodies]])
        exits: list[int | None] = []
        while (not exits or exits[-1] == KILLED) and len(exits) < 2 * GIVE_UP_AFTER:
            process = multiprocessing.get_context("spawn").Process(
                target=consume_until_killed, args=(settings, queue, book)
            )
            process.start()
            process.join(60)
            exits.append(process.exitcode)
            hasten(queue)
        assert exits == [KILLED] * GIVE_UP_AFTER + [0]
        rest = Inbox()
        with consuming(broker, queue, rest.take, rest.refuse), broker.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"last")])
            assert wait_until(lambda: b"last" in rest.bodies(), timeout_s=PATIENCE_S)
        lines = [line.split() for line in book.read_text().splitlines()]
        assert [body for verb, body, _ in lines if verb == "refused"] == ["poison"]
        taken = {body.encode() for verb, body, _ in lines if verb == "took"} | set(rest.bodies())
        assert taken == {*bodies, b"last"}

    def test_what_came_back_again_and_again_is_handed_over_alone(
        self, broker: Broker, queue: str, hasten: Callable[[str], None]
    ) -> None:
        with broker.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"%d" % number) for number in range(5)])
        for _ in range(3):
            inbox = Inbox(settling=False)
            with consuming(broker, queue, inbox.take, inbox.refuse):
                assert inbox.has(5)
            hasten(queue)
        out = Inbox(settling=False)
        with consuming(broker, queue, out.take, out.refuse), broker.publisher() as publisher:
            assert out.has(1)
            publisher.publish([Outbound(queue=queue, body=b"fresh")])
            for number in range(1, 6):
                assert (len(out.messages), out.messages[-1].deliveries) == (number, 4)
                out.messages[-1].settle()
                assert out.has(number + 1)
            assert out.bodies()[5] == b"fresh"
