"""Finds JSON keys that occur twice in one object, which every parser reads differently.

Nearly always a count decides: a document without doubled keys has exactly one structural colon a field, so if there are no more
colons than fields, no field was given twice. More colons may stand in texts; then the document is parsed again, keeping pairs.
"""

import json
from collections.abc import Sequence
from typing import Any

from infrastructure.intake.submission import OrderSubmission


def has_duplicate_keys(raw: bytes, order: OrderSubmission) -> bool:
    """`order` is what was parsed from `raw`, so depth and size are bounded already."""
    return raw.count(b":") > _fields(order) and _has_duplicates(raw)


def _fields(order: OrderSubmission) -> int:
    of_lines = sum([len(line.model_fields_set) for line in order.lines])
    return (
        len(order.model_fields_set)
        + len(order.ship_to.model_fields_set)
        + len(order.payment.model_fields_set)
        + of_lines
    )


class _DuplicateKeyError(Exception):
    """Ends the second parse at once."""


def _unique(pairs: Sequence[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _DuplicateKeyError


def _has_duplicates(raw: bytes) -> bool:
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except _DuplicateKeyError:
        return True
    return False
