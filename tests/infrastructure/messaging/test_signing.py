"""The file of keys, and signatures of messages that never travelled."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Misconfigured
from domain.messaging import Inbound, Outbound
from infrastructure.messaging.signing import Keyring, read_keys

SECRET = "s" * 32


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"k1 {SECRET}\n")
    return Keyring(path)


def arrived(message: Outbound) -> Inbound:
    return Inbound(
        queue=message.queue,
        body=message.body,
        content_type=message.content_type,
        headers=message.headers,
        message_id=message.message_id,
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key"),
        ("# only a comment\n\n", "has no key"),
        ("k1\n", "write `name secret`"),
        (f"k 1 {SECRET}\n", "write `name secret`"),
        (f"k/1 {SECRET}\n", "write `name secret`"),
        ("k1 short-secret\n", "at least 32 characters"),
        (f"k1 {SECRET}\nk1 {SECRET}x\n", "line 2: the name k1 is there twice"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_not_repeated(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=why) as refused:
        read_keys(path)
    assert "short-secret" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="FileNotFoundError"):
        Keyring(tmp_path / "none")


def test_the_first_key_of_the_file_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# new\n  b.2 {SECRET}b  \n\na-1 {SECRET}a\n")
    assert list(read_keys(path)) == ["b.2", "a-1"]


def test_a_signature_is_the_same_for_ever(keyring: Keyring) -> None:
    """Producers in other languages write it too: see docs/operations/rabbitmq.md."""
    signed = keyring.signed(Outbound(queue="ow_orders", body=b"{}", correlation_id="c", reply_to="ow_reply_tmp_1"))
    assert signed.headers["ow-signature"] == "44ef7ee2296cdb5b635bc166638ac5fc6cdff227a5757d57043aa3a827044cf8"


labels = st.none() | st.text(max_size=4)
messages = st.builds(
    Outbound,
    queue=st.sampled_from(["ow_a", "ow_b"]),
    body=st.binary(max_size=4),
    message_id=labels,
    correlation_id=labels,
    reply_to=labels,
    headers=st.dictionaries(st.sampled_from(["ow-a", "ow-b"]), st.text(max_size=3) | st.integers(0, 3), max_size=2),
)


@given(sent=messages)
def test_what_was_signed_is_trusted(keyring: Keyring, sent: Outbound) -> None:
    assert keyring.trouble(arrived(keyring.signed(sent))) is None


@given(sent=messages, other=messages)
def test_a_signature_fits_no_other_message(keyring: Keyring, sent: Outbound, other: Outbound) -> None:
    signed = keyring.signed(sent)
    moved = {name: signed.headers[name] for name in ("ow-key", "ow-signature")}
    trusted = keyring.trouble(arrived(replace(other, headers={**other.headers, **moved}))) is None
    assert trusted == (sent == other)


def test_headers_of_the_broker_may_come_on_the_way(keyring: Keyring) -> None:
    signed = keyring.signed(Outbound(queue="ow_a", body=b"{}"))
    assert keyring.trouble(arrived(replace(signed, headers={**signed.headers, "x-delivery-count": 3}))) is None
