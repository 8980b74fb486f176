"""Frames: what is written can be read, and nothing else can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.errors import UndecodableMessage
from domain.messaging import Frame
from infrastructure.messaging.frames import MAX_BYTES, decode_frame, encode_frame, frames

order_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(st.lists(order_ids, min_size=1, max_size=50))
def test_a_frame_is_read_as_it_was_written(orders: list[str]) -> None:
    frame = Frame(step="hand_over", orders=tuple(orders))
    assert decode_frame(encode_frame(frame)) == frame


def test_the_written_form_is_stable() -> None:
    assert encode_frame(Frame(step="risk", orders=("A-1", "B"))) == b'{"v":1,"step":"risk","orders":["A-1","B"]}'


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableMessage):
        decode_frame(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"v":"1","step":"risk","orders":["A"]}',
        b'{"v":true,"step":"risk","orders":["A"]}',
        b'{"v":1.0,"step":"risk","orders":["A"]}',
        b'{"step":"risk","orders":["A"]}',
        b'{"v":1,"step":"Risk","orders":["A"]}',
        b'{"v":1,"step":"risk","orders":[1]}',
        b'{"v":1,"step":"risk","orders":"A"}',
        b'{"v":1,"step":"risk","orders":["A\\n"]}',
        b'{"v":1,"step":"risk","orders":["' + b"A" * 65 + b'"]}',
        b'{"v":1,"step":"risk","orders":["A"]} x',
        b" " * (MAX_BYTES + 1),
        b'{"v":1,"step":"risk","orders":[' + b'"A",' * 1_000 + b'"A"]}',
    ],
)
def test_what_is_almost_a_frame_is_refused_without_repeating_it(body: bytes) -> None:
    with pytest.raises(UndecodableMessage) as refusal:
        decode_frame(body)
    assert len(refusal.value.reason) < 200


@pytest.mark.parametrize(
    "frame", [Frame(step="risk", orders=()), Frame(step="Risk", orders=("A",)), Frame(step="risk", orders=("..",))]
)
def test_nothing_is_written_that_could_not_be_read(frame: Frame) -> None:
    with pytest.raises(ValidationError):
        encode_frame(frame)


def test_the_orders_of_a_step_are_cut_into_frames_in_order() -> None:
    cut = list(frames("risk", (str(number) for number in range(5)), size=2))
    assert [frame.orders for frame in cut] == [("0", "1"), ("2", "3"), ("4",)]
    assert list(frames("risk", [])) == []
