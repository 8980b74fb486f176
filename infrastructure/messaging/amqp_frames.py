"""What py-amqp is spared: content headers that it cannot read, and bodies that would fill the memory.

A header that cannot be read would end the connection and come again for ever: it is stripped to its fixed part, and the message, without a
content type, is refused like any other stranger's. Of a body that is longer than anything we take, only the beginning is let through, so
that refusing 32 megabytes costs no 64. The last byte is held back until the whole body has come: the message is complete when it was.
"""

import amqp
from amqp import method_framing

from infrastructure.messaging.untyped import Untyped

HEADER_FRAME, BODY_FRAME = 2, 3
LONGEST = 1_048_576
_SIZE = slice(4, 12)


class Cut:
    """One body that is too long: how much may still pass, and how much is still to come."""

    def __init__(self, size: int) -> None:
        self._room = LONGEST - 1
        self._to_come = size

    def take(self, payload: bytes) -> bytes:
        self._to_come -= len(payload)
        part = payload[: self._room]
        self._room -= len(part)
        return part if self._to_come > 0 else part.ljust(len(part) + self._room + 1, b" ")


def tolerant_frames(connection: Untyped, callback: Untyped) -> Untyped:
    """The frame handler of a connection."""
    on_frame = method_framing.frame_handler(connection, callback)
    connection.sizes = sizes = dict[int, int]()
    cuts: dict[int, Cut] = {}

    def on_any_frame(frame: tuple[int, int, bytes]) -> Untyped:
        kind, channel, payload = frame
        if kind == HEADER_FRAME:
            payload = bytes(payload) if _is_readable(payload) else bytes(payload[:12]) + b"\0\0"
            sizes[channel] = size = int.from_bytes(payload[_SIZE], "big")
            cuts.pop(channel, None)
            if size > LONGEST:
                cuts[channel] = Cut(size)
                payload = payload[:4] + LONGEST.to_bytes(8, "big") + payload[12:]
        elif kind == BODY_FRAME and channel in cuts:
            payload = cuts[channel].take(bytes(payload))
            if not payload:
                return False
        return on_frame((kind, channel, payload))

    return on_any_frame


def whole_size(connection: Untyped, message: Untyped) -> int:
    """How long the body was of the message that is being delivered now, if it was cut; else 0."""
    size = int(connection.sizes.get(message.channel.channel_id, 0))
    return size if size > LONGEST else 0


def _is_readable(header: bytes) -> bool:
    try:
        amqp.basic_message.Message().inbound_header(header)
    except Exception:  # noqa: BLE001 - RecursionError, UnicodeDecodeError, struct.error, FrameSyntaxError, OverflowError ...
        return False
    return True
