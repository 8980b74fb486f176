"""The outcome of a submission as it travels: one JSON object."""

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import UndecodableMessage
from infrastructure.intake import FieldError
from workers.intake import Accepted, AlreadyKnown, Outcome, Refused


class _Error(BaseModel):
    field: str
    reason: str


class _Answer(BaseModel):
    """Fields that this version does not know are let be: an answer comes from our own side."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)

    order_id: str | None
    status: Literal["accepted", "already_known", "refused"]
    errors: Annotated[list[_Error], Field(max_length=100)] = []


def encode_outcome(outcome: Outcome) -> bytes:
    """`{"order_id":"A","status":"accepted","errors":[]}`."""
    match outcome:
        case Accepted():
            status = "accepted"
        case AlreadyKnown():
            status = "already_known"
        case _:
            return orjson.dumps({"order_id": outcome.order_id, "status": "refused", "errors": outcome.errors})
    return orjson.dumps({"order_id": outcome.order_id, "status": status, "errors": []})


def decode_outcome(body: bytes) -> Outcome:
    """Raises `UndecodableMessage`."""
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise UndecodableMessage("not an answer of the intake") from None
    if answer.status == "refused":
        errors = tuple(FieldError(field=error.field, reason=error.reason) for error in answer.errors)
        return Refused(order_id=answer.order_id, errors=errors)
    kind = Accepted if answer.status == "accepted" else AlreadyKnown
    return kind(order_id=answer.order_id or "")
