"""The payment gateway's books for others to read: every movement of money, page by page.

A cursor is `{operation}:{row}` and means "after that row"; the operations follow each other, and rows are only ever added.
"""

import re
from typing import Any

from workers.simulator.ledger import Ledger
from workers.simulator.scene import moment

DOOR = "/payments/movements/"
PAGE = 1000

_OPERATIONS = ("authorize", "capture", "void")
_CURSOR = re.compile(r"(authorize|capture|void):([0-9]{1,18})")


def page(ledger: Ledger, cursor: str) -> dict[str, Any] | None:
    """The movements after a cursor (`start` for the first), and the cursor that follows; None for no cursor of ours."""
    match = _CURSOR.fullmatch("authorize:0" if cursor == "start" else cursor)
    if match is None:
        return None
    operation, after = match[1], int(match[2])
    rows = ledger.rows(f"page_{operation}", after=after, limit=PAGE)
    movements = [
        {
            "key": key,
            "operation": operation,
            "reference": reference,
            "amount": amount,
            "currency": currency,
            "at": moment(at),
        }
        for _, key, reference, amount, currency, at in rows
    ]
    return {"movements": movements, "next": _after(operation, rows)}


def _after(operation: str, rows: list[tuple[Any, ...]]) -> str | None:
    if len(rows) == PAGE:
        return f"{operation}:{rows[-1][0]}"
    following = _OPERATIONS[_OPERATIONS.index(operation) + 1 :]
    return f"{following[0]}:0" if following else None
