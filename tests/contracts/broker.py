"""What the pipeline may rely on, whichever broker is behind the URL. A subclass supplies the broker and how to do it harm."""

import gc
import random
import threading
from collections.abc import Iterator
from time import perf_counter

import pytest

from domain.errors import BrokerUnavailable, Misconfigured, UndecodableMessage
from domain.messaging import TEMPORARY_REPLIES, Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.frames import decode_frame
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.publisher import KombuPublisher
from tests.contracts.inbox import PATIENCE_S, Inbox, consuming, nothing_refused, receiving, resident_bytes, send_raw
from tests.contracts.strangers import JSON, unreadable_frames, unreadable_labels


class BrokerContract:
    """Inherit and supply the fixture `broker` and `delete_queue`."""

    @pytest.fixture
    def broker(self) -> Broker:
        raise NotImplementedError

    def delete_queue(self, broker: Broker, queue: str) -> None:
        raise NotImplementedError

    @pytest.fixture
    def queue(self) -> str:
        return f"ow_test_{random.randrange(10**9)}"

    @pytest.fixture
    def publisher(self, broker: Broker) -> Iterator[KombuPublisher]:
        with broker.publisher() as publisher:
            yield publisher

    def test_a_message_arrives_with_its_labels(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        inbox = Inbox()
        sent = Outbound(
            queue=queue, body=b'{"a":1}', message_id="m", correlation_id="c", reply_to="r", headers={"ow": "x", "n": 1}
        )
        with receiving(broker, queue, inbox):
            publisher.publish([sent])
            assert inbox.has(1)
        assert inbox.messages == [
            Inbound(
                queue=queue,
                body=b'{"a":1}',
                content_type="application/json",
                content_encoding="utf-8",
                headers={"ow": "x", "n": 1},
                message_id="m",
                correlation_id="c",
                reply_to="r",
            )
        ]

    def test_one_consumer_gets_messages_in_the_order_sent(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox = Inbox()
        bodies = [b"%d" % number for number in range(300)]
        publisher.publish([Outbound(queue=queue, body=body) for body in bodies[:150]])
        with receiving(broker, queue, inbox):
            publisher.publish([Outbound(queue=queue, body=body) for body in bodies[150:]])
            assert inbox.has(300)
        assert inbox.bodies() == bodies

    def test_a_settled_message_does_not_come_again(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        first, second = Inbox(), Inbox()
        publisher.publish([Outbound(queue=queue, body=b"1")])
        with receiving(broker, queue, first):
            assert first.has(1)
        with receiving(broker, queue, second):
            publisher.publish([Outbound(queue=queue, body=b"2")])
            assert second.has(1)
        assert second.bodies() == [b"2"]

    def test_an_unsettled_message_comes_again_when_its_consumer_stops(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        first, second = Inbox(settling=False), Inbox()
        publisher.publish([Outbound(queue=queue, body=b"1")])
        with receiving(broker, queue, first):
            assert first.has(1)
        with receiving(broker, queue, second):
            assert second.has(1)

    def test_what_is_settled_after_the_end_of_its_connection_is_ignored(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        first, second = Inbox(settling=False), Inbox()
        publisher.publish([Outbound(queue=queue, body=b"1")])
        with receiving(broker, queue, first):
            assert first.has(1)
        first.messages[0].settle()
        with receiving(broker, queue, second):
            assert second.has(1)

    def test_a_released_message_comes_again(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        seen: list[bytes] = []

        def release_once(inbound: Inbound) -> None:
            seen.append(inbound.body)
            (inbound.settle if len(seen) > 1 else inbound.release)()

        publisher.publish([Outbound(queue=queue, body=b"1")])
        with consuming(broker, queue, release_once, nothing_refused):
            assert wait_until(lambda: len(seen) == 2, timeout_s=PATIENCE_S)
            assert wait_until(lambda: publisher.depth(queue) == 0, timeout_s=PATIENCE_S)

    def test_settling_twice_is_settling(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        inbox = Inbox(settling=False)
        with receiving(broker, queue, inbox) as consumer:
            publisher.publish([Outbound(queue=queue, body=b"1"), Outbound(queue=queue, body=b"2")])
            assert inbox.has(2)
            first, second = inbox.messages
            for settle in (first.settle, first.settle, second.settle, first.release, second.settle):
                settle()
            publisher.publish([Outbound(queue=queue, body=b"3")])
            assert inbox.has(3)
            assert consumer.connected
        assert inbox.bodies() == [b"1", b"2", b"3"]

    def test_no_more_than_the_prefetch_is_in_hand_and_settling_elsewhere_lets_more_come(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox = Inbox(settling=False)
        publisher.publish([Outbound(queue=queue, body=b"%d" % number) for number in range(20)])
        with receiving(broker, queue, inbox, prefetch=5):
            assert inbox.has(5)
            for taken in range(5, 20, 5):
                assert len(inbox.messages) == taken
                threads = [threading.Thread(target=message.settle) for message in inbox.messages[-5:]]
                for thread in threads:
                    thread.start()
                assert inbox.has(taken + 5)

    def test_a_queue_deleted_under_consumer_and_publisher_comes_back(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox = Inbox()
        with receiving(broker, queue, inbox):
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)
            self.delete_queue(broker, queue)
            publisher.publish([Outbound(queue=queue, body=b"2")])
            assert inbox.has(2)
        assert inbox.bodies() == [b"1", b"2"]

    def test_depth_counts_what_waits_and_is_none_without_a_queue(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        assert publisher.depth(queue) is None
        broker.declare([queue])
        assert publisher.depth(queue) == 0
        publisher.publish([Outbound(queue=queue, body=b"1")] * 3)
        assert wait_until(lambda: publisher.depth(queue) == 3, timeout_s=PATIENCE_S)

    def test_declaring_twice_is_declaring(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        broker.declare([queue])
        publisher.publish([Outbound(queue=queue, body=b"1")])
        broker.declare([queue])
        assert wait_until(lambda: publisher.depth(queue) == 1, timeout_s=PATIENCE_S)

    def test_a_dropped_queue_is_gone_with_its_messages_and_dropping_it_again_is_nothing(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        publisher.publish([Outbound(queue=queue, body=b"1")])
        publisher.drop(queue)
        assert publisher.depth(queue) is None
        publisher.drop(queue)
        inbox = Inbox()
        publisher.publish([Outbound(queue=queue, body=b"2")])
        with receiving(broker, queue, inbox):
            assert inbox.has(1)
        assert inbox.bodies() == [b"2"]

    def test_a_queue_for_answers_works_like_any_other_and_is_not_tidied_away_under_its_reader(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox, answers = Inbox(), f"{TEMPORARY_REPLIES}{queue}"
        with receiving(broker, answers, inbox):
            publisher.publish([Outbound(queue=answers, body=b"1")])
            assert inbox.has(1)
            assert publisher.tidy() == 0
            publisher.publish([Outbound(queue=answers, body=b"2")])
            assert inbox.has(2)
        publisher.drop(answers)
        with pytest.raises(BrokerUnavailable, match="gone"):
            publisher.publish([Outbound(queue=answers, body=b"3")])
        assert publisher.depth(answers) is None, "an answer does not bring back the queue of a reader who has left"

    @pytest.mark.parametrize("name", ["orders.new", "Orders", "", "a" * 41, "ow-x"])
    def test_a_queue_name_that_could_collide_is_refused(
        self, broker: Broker, publisher: KombuPublisher, name: str
    ) -> None:
        with pytest.raises(Misconfigured, match="queue name"):
            broker.consumer([name], on_unreadable=nothing_refused)
        with pytest.raises(Misconfigured, match="queue name"):
            publisher.publish([Outbound(queue=name, body=b"{}")])
        with pytest.raises(Misconfigured, match="queue name"):
            publisher.drop(name)

    @pytest.mark.parametrize("name", unreadable_labels)
    def test_a_message_that_cannot_be_ours_is_handed_over_unread(self, broker: Broker, queue: str, name: str) -> None:
        body, labels = unreadable_labels[name]
        inbox = Inbox()
        with receiving(broker, queue, inbox):
            send_raw(broker, queue, body, labels)
            send_raw(broker, queue, b"{}", JSON)
            assert inbox.has_refused(1)
            assert inbox.has(1)
        assert [(inbound.body, bool(reason)) for inbound, reason in inbox.refused] == [(body, True)]

    @pytest.mark.parametrize("name", unreadable_frames)
    def test_what_the_handler_cannot_decode_is_handed_over(self, broker: Broker, queue: str, name: str) -> None:
        inbox = Inbox()

        def decode(inbound: Inbound) -> None:
            decode_frame(inbound.body)
            inbox.take(inbound)

        with consuming(broker, queue, decode, inbox.refuse):
            send_raw(broker, queue, unreadable_frames[name], JSON)
            send_raw(broker, queue, b'{"v":1,"step":"risk","orders":["A"]}', JSON)
            assert inbox.has_refused(1)
            assert inbox.has(1)
        assert [inbound.body for inbound, _ in inbox.refused] == [unreadable_frames[name]]

    def test_hostile_messages_leave_no_memory_behind(self, broker: Broker, queue: str) -> None:
        inbox = Inbox()
        bomb, labels = unreadable_labels["a compressed bomb"]
        with receiving(broker, queue, inbox):
            send_raw(broker, queue, bomb, labels)
            assert inbox.has_refused(1)
            before = resident_bytes()
            for _ in range(10):
                inbox.refused.clear()
                send_raw(broker, queue, bomb, labels)
                send_raw(broker, queue, b" " * 4_000_000, JSON)
                assert inbox.has_refused(2)
            inbox.refused.clear()
            gc.collect()
            assert resident_bytes() - before < 50_000_000

    def test_a_handler_that_fails_does_not_end_the_loop(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox = Inbox()

        def fail_once(inbound: Inbound) -> None:
            if inbound.body == b"bad":
                raise ZeroDivisionError
            inbox.take(inbound)

        with consuming(broker, queue, fail_once, inbox.refuse):
            publisher.publish([Outbound(queue=queue, body=b"bad"), Outbound(queue=queue, body=b"good")])
            assert inbox.has(1)
        assert [reason for _, reason in inbox.refused] == ["its handler failed: ZeroDivisionError"]

    def test_a_message_whose_refusal_fails_comes_again(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox = Inbox()
        failures: list[str] = []

        def refuse(inbound: Inbound, reason: str) -> None:
            if not failures:
                failures.append(reason)
                raise ConnectionError("no place to put it")
            inbox.refuse(inbound, reason)

        def undecodable(inbound: Inbound) -> None:
            raise UndecodableMessage("no")

        with consuming(broker, queue, undecodable, refuse):
            publisher.publish([Outbound(queue=queue, body=b"bad")])
            assert inbox.has_refused(1)
        assert failures == ["no"]

    def test_a_refused_message_is_moved_to_the_dead_letters_with_its_reason(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox, dead = Inbox(), f"{queue}_dead"
        with consuming(broker, queue, inbox.take, DeadLetterSender(publisher=publisher, queue=dead)):
            send_raw(broker, queue, b"<xml/>", {**JSON, "content_type": "text/xml"})
            keeper = broker.consumer([dead], on_unreadable=nothing_refused, check=anything)
            keeper.start(inbox.take)
            assert inbox.has(1)
            assert keeper.stop(PATIENCE_S)
        letter = inbox.messages[0]
        assert (letter.body, letter.headers["ow-queue"]) == (b"<xml/>", queue)
        assert "text/xml" in str(letter.headers["ow-reason"])

    def test_an_idle_consumer_hears_at_once(self, broker: Broker, publisher: KombuPublisher, queue: str) -> None:
        """Prints the figure; nothing about time is asserted."""
        inbox = Inbox()
        publisher.publish([Outbound(queue=queue, body=b"0")])
        with receiving(broker, queue, inbox):
            assert inbox.has(1)
            began = perf_counter()
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(2)
            print(f"idle to received, with publishing: {(perf_counter() - began) * 1e3:.1f} ms")  # noqa: T201

    def test_a_paused_queue_keeps_its_messages_and_the_others_go_on(
        self, broker: Broker, publisher: KombuPublisher, queue: str
    ) -> None:
        inbox, other = Inbox(), f"{queue}_b"
        consumer = broker.consumer([queue, other], on_unreadable=inbox.refuse)
        consumer.start(inbox.take)
        consumer.pause([queue])
        publisher.publish([Outbound(queue=other, body=b"first")])
        assert inbox.has(1)
        publisher.publish([Outbound(queue=queue, body=b"later"), Outbound(queue=other, body=b"second")])
        assert inbox.has(2)
        assert inbox.bodies() == [b"first", b"second"]
        consumer.resume([queue])
        assert inbox.has(3)
        assert consumer.stop(PATIENCE_S)
        assert inbox.bodies()[2:] == [b"later"]

    def test_a_consumer_that_never_started_stops(self, broker: Broker, queue: str) -> None:
        assert broker.consumer([queue], on_unreadable=nothing_refused).stop(0.0)
