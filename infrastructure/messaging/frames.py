"""Frames to bytes and back. Reading is strict: a frame is exactly what `encode_frame` writes, or it is refused."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from domain.errors import UndecodableMessage
from domain.messaging import Frame

MAX_ORDERS = 1_000
MAX_BYTES = 262_144
DEFAULT_ORDERS = 200

OrderId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z")]
StepName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,31}\z")]


class _Sheet(BaseModel):
    """The frame as it is written: `{"v":1,"step":"risk","orders":["A-1"]}`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Annotated[int, Field(ge=1, le=1)]  # Literal[1] would take true and 1.0
    step: StepName
    orders: Annotated[tuple[OrderId, ...], Field(min_length=1, max_length=MAX_ORDERS)]


def encode_frame(frame: Frame) -> bytes:
    return _Sheet(v=1, step=frame.step, orders=frame.orders).model_dump_json().encode()


def decode_frame(body: bytes) -> Frame:
    """Raise `UndecodableMessage` for anything that is not a frame; its reason never repeats the body."""
    if len(body) > MAX_BYTES:
        raise UndecodableMessage(f"a frame of {len(body)} bytes, more than {MAX_BYTES}")
    try:
        sheet = _Sheet.model_validate_json(body)
    except ValidationError as invalid:
        raise UndecodableMessage(f"not a frame: {_first(invalid)}") from None
    return Frame(step=sheet.step, orders=sheet.orders)


def _first(invalid: ValidationError) -> str:
    error = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(ascii(part)[:40] for part in error["loc"]) or "document"
    return f"{place}: {error['type']}"


def frames(step: str, orders: Iterable[str], *, size: int = DEFAULT_ORDERS) -> Iterator[Frame]:
    """Cut the orders of one step into frames of at most `size`."""
    rest = iter(orders)
    while chunk := tuple(islice(rest, size)):
        yield Frame(step=step, orders=chunk)
