"""Value objects: money, addresses, order lines, and the names of streams.

Money is an integer of minor units (cents, yen, fils) and an ISO 4217 code; there is no float anywhere.
"""

import re
from dataclasses import dataclass

ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in minor units of one currency."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a parcel goes; `country` is an ISO 3166 alpha-2 code."""

    name: str
    street: str
    city: str
    country: str
    region: str | None = None
    postal_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """`amount` is the frozen price of all `quantity` units, in minor units of the order's currency."""

    number: int
    sku: str
    quantity: int
    amount: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """So many units of one line of an order."""

    line: int
    sku: str
    quantity: int
