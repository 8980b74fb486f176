"""One hostile or odd document, and what must become of it at every door."""

import copy
import json
from dataclasses import dataclass
from typing import Any

GOOD: dict[str, Any] = {
    "order_id": "SHOP-1",
    "customer_id": "C-1",
    "currency": "EUR",
    "lines": [{"sku": "TEA-500", "name": "Tea", "quantity": 2, "amount": 2590}],
    "shipping": 490,
    "total": 3080,
    "ship_to": {
        "name": "Ada Byron",
        "street": "12 St James's Square",
        "city": "London",
        "region": "Greater London",
        "postal_code": "SW1Y 4JH",
        "country": "GB",
    },
    "payment": {"token": "tok_1NvX"},
    "shipping_policy": "ship-partial",
    "note": "Leave at the door",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`field`: where the refusal must point; None means that the document is accepted."""

    id: str
    raw: bytes
    field: str | None

    def __str__(self) -> str:
        return self.id


def document(**changes: Any) -> dict[str, Any]:
    """A good order with some top-level fields changed."""
    return {**copy.deepcopy(GOOD), **changes}


def encoded(order: dict[str, Any]) -> bytes:
    return json.dumps(order).encode()


def place(path: str, value: Any) -> dict[str, Any]:
    """A good order with one field, named by its pointer, set to a value."""
    order = document()
    parts = path.replace("[", ".").replace("]", "").split(".")
    target: Any = order
    steps = [int(part) if part.isdecimal() else part for part in parts]
    for step in steps[:-1]:
        target = target[step]
    target[steps[-1]] = value
    return order


def literally(path: str, json_text: str) -> bytes:
    """The same with a piece of JSON that the encoder would not write."""
    return encoded(place(path, "@@")).replace(b'"@@"', json_text.encode("utf-8", "surrogatepass"))


def refused(identity: str, raw: bytes, field: str = "order") -> Case:
    return Case(id=identity, raw=raw, field=field)


def accepted(identity: str, raw: bytes) -> Case:
    return Case(id=identity, raw=raw, field=None)
