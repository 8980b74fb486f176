"""The schema of an order submission as a JSON Schema document, for people and programs in other languages.

It says everything that one field must fulfill. What a schema can not say (the sum of the amounts, doubled keys, card numbers) is said
in its description.
"""

from pathlib import Path
from typing import Any

import orjson

from infrastructure.intake.parse import MAX_BYTES
from infrastructure.intake.submission import OrderSubmission

FILE_NAME = "order.schema.json"

_DESCRIPTION = (
    f"An order as a shop submits it: one JSON object in UTF-8 of at most {MAX_BYTES} bytes. Beyond this schema: no field may be given "
    "twice, total must be the sum of the amounts of all lines and the shipping, and no text may hold a card number or security code."
)
_EXAMPLE: dict[str, Any] = {
    "order_id": "SHOP-2026-000123",
    "customer_id": "C-4711",
    "currency": "EUR",
    "lines": [{"sku": "TEA-500", "name": "Tea, 500 g", "quantity": 2, "amount": 2590}],
    "shipping": 490,
    "total": 3080,
    "ship_to": {
        "name": "Ada Byron",
        "street": "12 St James's Square",
        "city": "London",
        "postal_code": "SW1Y 4JH",
        "country": "GB",
    },
    "payment": {"token": "tok_1NvX"},
}


def order_schema() -> dict[str, Any]:
    """JSON Schema 2020-12, with an example that passes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **OrderSubmission.model_json_schema(),
        "title": "Order submission",
        "description": _DESCRIPTION,
        "examples": [_EXAMPLE],
    }


def export_order_schema(folder: Path) -> Path:
    """Write `order.schema.json` into the folder, which is made if need be; returns the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    path.write_bytes(orjson.dumps(order_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path
