"""The shape of every stored event: its exact fields and what each may hold.

Written down by hand from the storage format, so that an event the product can write and read back, but that nobody agreed on, is
found. A shape is a name of `_LEAVES`, a set of words, `[shape]` for a list, or a mapping for an object with exactly these fields.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

MONEY = {"amount": "amount", "currency": "currency"}
UNITS = {"line": "count", "sku": "key", "quantity": "count"}
LINE = {"number": "count", "sku": "key", "quantity": "count", "amount": "amount", "name": "text"}
ADDRESS = {
    "name": "words",
    "street": "words",
    "city": "words",
    "country": "country",
    "region": "words?",
    "postal_code": "words?",
}
ASSIGNMENT = {"fulfillment_id": "fulfillment", "warehouse": "key", "units": [UNITS]}
BACKORDER = {"warehouse": "key", "units": UNITS}
HOLDS = {
    "AWAITING_PAYMENT",
    "HIGH_RISK_OF_FRAUD",
    "INCORRECT_ADDRESS",
    "INVENTORY_OUT_OF_STOCK",
    "UNKNOWN_DELIVERY_DATE",
    "OTHER",
}
REASONS = {"customer", "declined", "fraud", "inventory", "staff", "expired", "other"}
STEPS = {
    *("risk", "authorize", "allocate", "label", "hand_over", "capture", "deliver", "notify", "cancel", "void"),
    *("refund_label", "expire", "close"),
}
RUN = {"step": STEPS, "part": "amount", "ordinal": "count"}
HELD = {"reason": HOLDS, "note": "text", "by": "words", "at": "moment"}
ANSWER = {"key": "words", "at": "moment"}
FAILURE = {**ANSWER, "code": "words"}
INTENT = {**ANSWER, "ordinal": "count"}
PAID = {**ANSWER, "reference": "words", "amount": MONEY}

SHAPES: dict[str, dict[str, Any]] = {
    "OrderPlaced": {
        "order_id": "key",
        "customer_id": "key",
        "ship_to": ADDRESS,
        "lines": [LINE],
        "shipping": MONEY,
        "total": MONEY,
        "payment_token": "words",
        "policy": {"ship-partial", "ship-complete", "cancel-remainder"},
        "content_hash": "words",
        "placed_at": "moment",
        "note": "text",
    },
    "RiskAssessed": {
        "decision": {"approve", "review", "reject"},
        "score": "amount",
        "reasons": ["words"],
        "at": "moment",
    },
    "HoldPlaced": {**HELD, "until": "moment?"},
    "HoldReleased": HELD,
    "FulfillmentPlanned": {"assignments": [ASSIGNMENT], "backorders": [BACKORDER], "at": "moment"},
    "CancellationRequested": {**HELD, "reason": REASONS},
    "CancellationRefused": {"reason": REASONS, "why": "words", "offered": {"return"}, "by": "words", "at": "moment"},
    "LinesCancelled": {"units": [UNITS], "stood_down": ["fulfillment"], "reason": REASONS, "at": "moment"},
    "OrderClosed": {"outcome": {"delivered", "partially_delivered", "cancelled"}, "at": "moment"},
    "AuthorizationStarted": {**INTENT, "amount": MONEY},
    "Authorized": {**PAID, "reference": "text", "expires_at": "moment"},
    "AuthorizationExpiring": {"at": "moment"},
    "AuthorizationDeclined": {**FAILURE, "kind": {"hard", "soft"}},
    "CaptureStarted": {**INTENT, "fulfillment_id": "fulfillment", "amount": MONEY},
    "Captured": {**PAID, "reference": "text", "fulfillment_id": "fulfillment"},
    "CaptureFailed": {**FAILURE, "fulfillment_id": "fulfillment"},
    "VoidStarted": INTENT,
    "Voided": PAID,
    "VoidFailed": FAILURE,
    "OutcomeUnknown": {**ANSWER, "operation": {"authorize", "capture", "void"}, "reason": "text"},
    "OperationNotDone": {**ANSWER, "operation": {"authorize", "capture", "void"}},
    "FulfillmentCreated": {**ASSIGNMENT, "order_id": "key", "at": "moment"},
    "LabelStarted": INTENT,
    "LabelPurchased": {**ANSWER, "tracking": "words", "carrier": "words", "cost": MONEY},
    "LabelFailed": FAILURE,
    "HandOverStarted": INTENT,
    "HandOverRefused": FAILURE,
    "HandedOver": {**ANSWER, "scan_id": "words"},
    "Delivered": {"at": "moment"},
    "StoodDown": {"reason": "words", "at": "moment"},
    "LabelRefundStarted": INTENT,
    "CallNotDone": ANSWER,
    "LabelRefunded": ANSWER,
    "LabelRefundFailed": FAILURE,
    "StockReceived": {"quantity": "count", "delivery": "words", "at": "moment"},
    "StockAllocated": {"fulfillment_id": "fulfillment", "order_id": "key", "quantity": "count"},
    "StockBackordered": {"order_id": "key", "quantity": "count"},
    "BackorderWithdrawn": {"order_id": "key"},
    "AllocationReleased": {"fulfillment_id": "fulfillment", "quantity": "count"},
    "StockShipped": {"fulfillment_id": "fulfillment", "quantity": "count"},
    "StockAdjusted": {"quantity": "change", "reason": "words", "by": "words", "at": "moment"},
    "StepSucceeded": {**RUN, "detail": "text", "at": "moment"},
    "StepFailed": {**RUN, "attempts": "count", "reason": "text", "at": "moment", "unknown": "flag"},
    "StepRetried": {**RUN, "by": "words", "note": "text", "at": "moment"},
    "StepDiscarded": {**RUN, "by": "words", "note": "text", "at": "moment"},
    "StepRestored": {**RUN, "by": "words", "note": "text", "at": "moment"},
}
_DECIDED = {"by": "words", "note": "text", "at": "moment"}
SHAPES |= {
    "MessageRetried": {"queue": "words", **_DECIDED},
    "MessageEdited": {"copy": "count", **_DECIDED},
    "MessageDiscarded": _DECIDED,
    "MessageRestored": _DECIDED,
}
META = {"command_id": "words", "causation_id": "text", "correlation_id": "text", "actor": "text"}

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FULFILLMENT = re.compile(rf"{_KEY.pattern}\+[1-9]\d*")


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _is_moment(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


_LEAVES: dict[str, Callable[[Any], Any]] = {
    "amount": lambda value: _is_whole(value, 0),
    "count": lambda value: _is_whole(value, 1),
    "change": lambda value: type(value) is int and value != 0,
    "key": lambda value: isinstance(value, str) and _KEY.fullmatch(value),
    "fulfillment": lambda value: isinstance(value, str) and _FULFILLMENT.fullmatch(value),
    "currency": lambda value: isinstance(value, str) and re.fullmatch("[A-Z]{3}", value),
    "country": lambda value: isinstance(value, str) and re.fullmatch("[A-Z]{2}", value),
    "text": lambda value: isinstance(value, str),
    "words": lambda value: isinstance(value, str) and value.strip(),
    "moment": _is_moment,
    "flag": lambda value: isinstance(value, bool),
}


def misfits(value: Any, shape: Any, place: str = "") -> Iterator[str]:
    """Every place where the value does not fit the shape."""
    match shape:
        case str():
            fits = (value is None and shape.endswith("?")) or _LEAVES[shape.removesuffix("?")](value)
            if not fits:
                yield f"{place} is {value!r}, no {shape}"
        case set():
            if value not in shape:
                yield f"{place} is {value!r}, none of {', '.join(sorted(shape))}"
        case [inner]:
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                yield from misfits(item, inner, f"{place}[{number}]")
        case dict():
            yield from _object_misfits(value, shape, place)
        case _:
            raise TypeError(f"{shape!r} is no shape")


def _object_misfits(value: Any, shape: dict[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place or 'data'} is no object"
        return
    for name in sorted(value.keys() ^ shape.keys()):
        yield f"{place}.{name} {'is missing' if name in shape else 'is unknown'}".removeprefix(".")
    for name in value.keys() & shape.keys():
        yield from misfits(value[name], shape[name], f"{place}.{name}".removeprefix("."))
