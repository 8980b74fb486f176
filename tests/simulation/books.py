"""The books of gateway, carrier and mail: what really happened outside, whatever anybody was told.

Kept apart from the services that write them, and read by the oracle only when it compares.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Authorization:
    """What is held of a customer's money, from `at` until `expires_at`."""

    order_id: str
    amount: int
    currency: str
    expires_at: float
    captured: int = 0
    voided: int = 0
    is_voided: bool = False


@dataclass(slots=True)
class Capture:
    authorization: str
    key: str
    amount: int


@dataclass(slots=True)
class Label:
    """A parcel with the carrier's number on it."""

    fulfillment_id: str
    scanned_at: float | None = None
    arrives_at: float = 0.0
    refunded: bool = False


@dataclass(slots=True)
class Remembered:
    """What was answered to a key, and when."""

    request: Any
    answer: Any
    at: float


@dataclass(slots=True)
class Books:
    """References to rows. `remembered` is what the services know by key; it is forgotten after the key window."""

    authorizations: dict[str, Authorization] = field(default_factory=dict)
    captures: list[Capture] = field(default_factory=list)
    labels: dict[str, Label] = field(default_factory=dict)
    mails: dict[str, Any] = field(default_factory=dict)
    remembered: dict[str, Remembered] = field(default_factory=dict)
    acts: list[tuple[float, str, str]] = field(default_factory=list)

    def held(self, order_id: str) -> int:
        """What is authorized for an order and neither captured nor voided."""
        mine = [one for one in self.authorizations.values() if one.order_id == order_id]
        return sum(one.amount - one.captured - one.voided for one in mine)
