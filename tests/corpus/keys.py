"""Class 4d: ids and keys. What needs a history (other content, other customer, a thousand at once) is tested with the intake."""

# ruff: noqa: RUF001 - letters that look like others are the point

from tests.corpus.case import Case, accepted, document, encoded, refused

_REFUSED = {
    "empty": "",
    "blank": " ",
    "inner blank": "A 1",
    "trailing blank": "A1 ",
    "trailing newline": "A1\n",
    "10 KB": "A" * 10_240,
    "65 characters": "A" * 65,
    "slash": "A/1",
    "question mark": "A?1",
    "hash": "A#1",
    "percent": "A%2f1",
    "newline": "A\n1",
    "quote": "A'1",
    "plus": "A+1",
    "braces": "{01890a5d-ac96-774b-bcce-b302099a8057}",
    "dots only": "..",
    "leading hyphen": "-rf",
    "look-alike": "\u0410-1",
    "full width": "Ａ1",
    "NUL": "A\0",
    "combining": "A\u0301",
}
_KEPT = {
    "UUID": "01890a5d-ac96-774b-bcce-b302099a8057",
    "UUID in capitals": "01890A5D-AC96-774B-BCCE-B302099A8057",
    "nil UUID": "00000000-0000-0000-0000-000000000000",
    "64 characters": "A" * 64,
    "one digit": "7",
    "the word null": "null",
    "time and counter": "20261123120000-000017",
    "milliseconds": "1700000000000",
}

KEYS: list[Case] = [
    *(refused(f"order id: {name}", encoded(document(order_id=key)), "order_id") for name, key in _REFUSED.items()),
    *(accepted(f"order id: {name}", encoded(document(order_id=key))) for name, key in _KEPT.items()),
    refused("customer id: e-mail", encoded(document(customer_id="ada@example.com")), "customer_id"),
    refused("order id is a number", encoded(document(order_id=1)), "order_id"),
    refused("a time of the client", encoded(document(placed_at="2026-03-29T02:30:00+01:00"))),
]
