"""The door: bytes in, an order submission or a refusal out.

Bytes are parsed once, straight into the strict models; nobody else reads them before. What concerns the document as a whole is checked
afterwards: doubled keys, the sum, card data. The time is bounded by the length of the document, which is bounded itself.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from infrastructure.intake.cards import find_card, holds_card_number
from infrastructure.intake.duplicates import has_duplicate_keys
from infrastructure.intake.refusal import CARD_DATA, ROOT, FieldError, Refusal, refusal_of, unreadable
from infrastructure.intake.submission import KEY_PATTERN, OrderSubmission

MAX_BYTES = 262_144
MAX_VALUES = 5_000  # 1,000 lines of 4 fields and the rest; it bounds what the refusal of a hostile document costs

_KEY = re.compile(KEY_PATTERN.removesuffix("$"))
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SIGNATURES = (
    (b"\xef\xbb\xbf", "begins with a byte order mark; send plain UTF-8"),
    (b"\xff\xfe", "is UTF-16; send UTF-8"),
    (b"\xfe\xff", "is UTF-16; send UTF-8"),
    (b"\x1f\x8b", "is compressed; send it unpacked"),
    (b"PK\x03\x04", "is compressed; send it unpacked"),
)


def parse_order(raw: bytes) -> OrderSubmission:
    """Raise `Refusal`, which says of every field what is wrong with it."""
    if len(raw) > MAX_BYTES:
        raise unreadable(f"is longer than {MAX_BYTES} bytes")
    if raw.count(b",") > MAX_VALUES and _TEXT.sub(b"", raw).count(b",") > MAX_VALUES:
        raise unreadable(f"has more than {MAX_VALUES} values, more than any order can have")
    try:
        order = OrderSubmission.model_validate_json(raw)
    except ValidationError as invalid:
        raise _refusal(raw, invalid) from None
    if errors := list(_problems(order, raw)):
        raise Refusal(errors, order_id=_shown(order.order_id))
    return order


def encode_order(order: Mapping[str, Any]) -> bytes:
    """The document of an order that is at hand as a dictionary; it then takes the same way as everybody's."""
    try:
        return orjson.dumps(order)
    except orjson.JSONEncodeError:
        raise unreadable("holds a value that JSON has no form for, or an integer of more than 64 bits") from None


def _problems(order: OrderSubmission, raw: bytes) -> Iterator[FieldError]:
    if has_duplicate_keys(raw, order):
        yield FieldError(field=ROOT, reason="has a field twice in the same object")
    of_lines = sum([line.amount for line in order.lines])
    if of_lines + order.shipping != order.total:
        yield FieldError(field="total", reason="must be the sum of the amounts of all lines and the shipping")
    if card_field := find_card(order):
        yield FieldError(field=card_field, reason=CARD_DATA)


def _refusal(raw: bytes, invalid: ValidationError) -> Refusal:
    for signature, reason in _SIGNATURES:
        if raw.startswith(signature):
            return unreadable(reason)
    if not raw.strip():
        return unreadable("is empty")
    return refusal_of(invalid, order_id=_order_id_in(raw))


def _order_id_in(raw: bytes) -> str | None:
    """The order's key as far as a refused document has one, so that its sender knows which order is meant."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return _shown(document.get("order_id")) if isinstance(document, dict) else None


def _shown(order_id: object) -> str | None:
    if not isinstance(order_id, str) or not _KEY.fullmatch(order_id):
        return None
    return None if holds_card_number(order_id) else order_id
