"""Stored name <-> event type: the only place where pydantic meets events.

Events are plain dataclasses; one `TypeAdapter` a type writes and reads their JSON. Reading is strict about types and ignores fields
it does not know, so an older program reads what a newer one added. A name or schema number that is not in the table is an
`UnknownEvent`, never a guess. What is encoded is decoded at once and compared, so nothing can be stored that cannot be read back.
"""

from collections.abc import Iterable
from typing import Any, get_args

import orjson
from pydantic import TypeAdapter, ValidationError

from domain import fulfillment, order, payment, process, review, stock
from domain.errors import Poison, UnknownEvent

SCHEMA = 1
_NUL = rb"\u0000"


def _types(*unions: object) -> Iterable[type[Any]]:
    for union in unions:
        yield from get_args(union)


EVENT_TYPES: dict[str, type[Any]] = {
    event.__name__: event
    for event in _types(
        order.OrderEvent,
        payment.PaymentEvent,
        fulfillment.FulfillmentEvent,
        stock.StockEvent,
        process.ProcessEvent,
        review.ReviewEvent,
    )
}
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {event: TypeAdapter(event) for event in EVENT_TYPES.values()}
_WRITE = {event: adapter.serializer.to_json for event, adapter in _ADAPTERS.items()}
_READ = {name: _ADAPTERS[event].validator.validate_json for name, event in EVENT_TYPES.items()}


def encode(event: object) -> tuple[str, int, bytes]:
    """Name, schema number and JSON of an event. Raises `Poison` when it would not be read back as the same."""
    kind = type(event)
    name = kind.__name__
    if EVENT_TYPES.get(name) is not kind:
        raise UnknownEvent(type=name, schema=SCHEMA)
    try:
        data = _WRITE[kind](event)
        same = _READ[name](data, strict=True) == event
    except (ValueError, UnicodeError, RecursionError) as error:
        raise Poison(f"{name} cannot be stored ({type(error).__name__})") from None  # its text repeats the content
    if not same:
        raise Poison(f"{name} would not be read back as it was written")
    if _NUL in data and _has_nul(orjson.loads(data)):
        raise Poison(f"{name} has a NUL character in a text, which jsonb does not take")
    return name, SCHEMA, data


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_nul(part) for part in value)
    return isinstance(value, str) and "\0" in value


def decode(name: str, schema: int, data: bytes | str) -> Any:  # noqa: ANN401 - of the type that the name says
    """The event. Raises `UnknownEvent` for a name or schema number that this code does not know."""
    read = _READ.get(name)
    if read is None or schema != SCHEMA:
        raise UnknownEvent(type=name, schema=schema)
    try:
        return read(data, strict=True)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise Poison(f"stored {name} is damaged: {problems}") from None  # as above


def event_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every event as it is stored, by name."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        name: {**dialect, **_ADAPTERS[kind].json_schema(mode="serialization"), "title": f"{name}, schema {SCHEMA}"}
        for name, kind in sorted(EVENT_TYPES.items())
    }
