"""What signed messages must withstand, whichever broker carries them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from domain.messaging import Outbound
from infrastructure.messaging import signing
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.hardening import anything
from tests.contracts.inbox import PATIENCE_S, Inbox, receiving

OLD, NEW = f"old {'o' * 40}", f"new {'n' * 40}"


class SigningContract:
    """Inherit and supply the fixture `broker` (without keys) and `queue`."""

    @pytest.fixture
    def keys(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(signing, "LOOK_AGAIN_S", 0.0)
        path = tmp_path / "keys"
        path.write_text(f"# ours\n{OLD}\n")
        return path

    @pytest.fixture
    def keyed(self, broker: Broker, keys: Path) -> Broker:
        return connect(replace(broker.settings, message_keys=keys))

    def test_who_knows_the_key_is_heard_with_every_label(self, keyed: Broker, queue: str) -> None:
        inbox = Inbox()
        sent = Outbound(
            queue=queue,
            body=b"{}",
            message_id="m",
            correlation_id="c",
            reply_to="r",
            headers={"ow": "\u00fc", "ow-n": 7},
        )
        with receiving(keyed, queue, inbox):
            keyed_publish(keyed, [sent, replace(sent, headers={}), Outbound(queue=queue, body=b"[]")])
            assert inbox.has(3)
        assert inbox.messages[0].headers["ow-key"] == "old"

    def test_who_knows_no_key_is_refused(self, broker: Broker, keyed: Broker, queue: str) -> None:
        inbox = Inbox()
        with receiving(keyed, queue, inbox):
            keyed_publish(broker, [Outbound(queue=queue, body=b"{}")])
            assert inbox.has_refused(1)
        assert inbox.refused[0][1] == "not signed"
        assert inbox.messages == []

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"body": b"{ }"}, "wrongly signed"),
            ({"message_id": "other"}, "wrongly signed"),
            ({"correlation_id": "other"}, "wrongly signed"),
            ({"reply_to": "ow_reply_theirs"}, "wrongly signed"),
            ({"ow-more": "x"}, "wrongly signed"),
            ({"ow-key": "other"}, "unknown here"),
            ({"ow-key": 1}, "not signed"),
            ({"ow-signature": "\u00e4" * 64}, "wrongly signed"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_a_message_that_was_changed_on_the_way_is_refused(
        self, keyed: Broker, queue: str, change: Mapping[str, object], why: str
    ) -> None:
        inbox = Inbox()
        with receiving(keyed, queue, inbox):
            _send_changed(keyed, queue, change)
            assert inbox.has_refused(1)
        assert why in inbox.refused[0][1]

    def test_a_message_that_was_moved_to_another_queue_is_refused(self, keyed: Broker, queue: str) -> None:
        inbox = Inbox()
        with receiving(keyed, queue, inbox):
            _send_changed(keyed, queue, {}, signed_for=f"{queue}_x")
            assert inbox.has_refused(1)
        assert "wrongly signed" in inbox.refused[0][1]

    def test_keys_change_one_after_the_other_without_a_restart(self, keyed: Broker, queue: str, keys: Path) -> None:
        inbox = Inbox()
        others = keys.with_name("others")
        others.write_text(f"{NEW}\n{OLD}\n")
        ahead = connect(replace(keyed.settings, message_keys=others))
        with receiving(keyed, queue, inbox), keyed.publisher() as publisher:
            publisher.publish([Outbound(queue=queue, body=b"1")])
            assert inbox.has(1)
            _write(keys, f"{OLD}\n{NEW}\n")
            keyed_publish(ahead, [Outbound(queue=queue, body=b"2")])
            assert inbox.has(2)
            _write(keys, f"{NEW}\n")
            publisher.publish([Outbound(queue=queue, body=b"3")])
            assert inbox.has(3)
            _write(others, f"{OLD}\n")
            keyed_publish(ahead, [Outbound(queue=queue, body=b"4")])
            assert inbox.has_refused(1)
        assert [message.headers["ow-key"] for message in inbox.messages] == ["old", "new", "new"]

    def test_a_broken_file_leaves_the_keys_as_they_were(self, keyed: Broker, queue: str, keys: Path) -> None:
        inbox = Inbox()
        with receiving(keyed, queue, inbox):
            _write(keys, "half a li")
            keyed_publish(keyed, [Outbound(queue=queue, body=b"{}")])
            assert inbox.has(1)
            keys.unlink()
            keyed_publish(keyed, [Outbound(queue=queue, body=b"{}")])
            assert inbox.has(2)

    def test_what_is_refused_is_kept_as_a_dead_letter_with_the_reason(
        self, broker: Broker, keyed: Broker, queue: str
    ) -> None:
        dead, kept = f"{queue}_dead", Inbox()
        with keyed.publisher() as publisher:
            bury = DeadLetterSender(publisher=publisher, queue=dead)
            consumer = keyed.consumer([queue], on_unreadable=bury)
            keeper = keyed.consumer([dead], on_unreadable=kept.refuse, check=anything)
            keeper.start(kept.take)
            consumer.start(lambda inbound: inbound.settle())
            keyed_publish(broker, [Outbound(queue=queue, body=b'{"forged":1}')])
            assert kept.has(1)
            assert consumer.stop(PATIENCE_S)
            assert keeper.stop(PATIENCE_S)
        assert kept.messages[0].headers["ow-reason"] == "not signed"
        assert kept.messages[0].body == b'{"forged":1}'

    def test_a_forged_dead_letter_is_told_from_ours_and_from_one_that_the_broker_moved(
        self, broker: Broker, keyed: Broker, queue: str
    ) -> None:
        kept = Inbox()
        assert keyed.keyring is not None
        moved = keyed.keyring.signed(Outbound(queue=f"{queue}_x", body=b"moved"))
        moved = replace(moved, queue=queue, headers={**moved.headers, "x-first-death-queue": f"{queue}_x"})
        with receiving(broker, queue, kept):
            keyed_publish(keyed, [Outbound(queue=queue, body=b"ours")])
            keyed_publish(broker, [moved, Outbound(queue=queue, body=b"forged")])
            assert kept.has(3)
        doubts = {letter.body: keyed.doubt(letter) for letter in kept.messages}
        assert doubts == {b"ours": None, b"moved": None, b"forged": "not signed"}
        assert {broker.doubt(letter) for letter in kept.messages} == {None}

    def test_without_keys_signatures_are_nobodys_business(self, broker: Broker, keyed: Broker, queue: str) -> None:
        inbox = Inbox()
        with receiving(broker, queue, inbox):
            keyed_publish(keyed, [Outbound(queue=queue, body=b"{}")])
            assert inbox.has(1)


def keyed_publish(broker: Broker, messages: list[Outbound]) -> None:
    with broker.publisher() as publisher:
        publisher.publish(messages)


def _write(path: Path, text: str) -> None:
    """As an operator should: whole or not at all."""
    path.with_suffix(".next").write_text(text)
    path.with_suffix(".next").replace(path)


def _send_changed(broker: Broker, queue: str, change: Mapping[str, object], *, signed_for: str = "") -> None:
    """A message of ours, with other labels than those that were signed."""
    assert broker.keyring is not None
    signed = broker.keyring.signed(
        Outbound(queue=signed_for or queue, body=b"{}", message_id="m", correlation_id="c", reply_to="r")
    )
    labels = {"message_id": "m", "correlation_id": "c", "reply_to": "r"}
    changed = {**labels, **{name: str(value) for name, value in change.items() if name in labels}}
    own = {name: value for name, value in change.items() if name.startswith("ow")}
    body = change.get("body", signed.body)
    assert isinstance(body, bytes)
    unkeyed = replace(broker, keyring=None)
    with unkeyed.publisher() as publisher:
        publisher.publish([Outbound(queue=queue, body=body, headers={**signed.headers, **own}, **changed)])
