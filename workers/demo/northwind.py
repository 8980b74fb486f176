"""The demonstration's orders: what the Northwind sample database recorded from 1996 to 1998, as submissions of today.

The source has prices as decimals and discounts as fractions, and names no currency: amounts become cents of US dollars, each line
rounded half up after its discount. The source's licence is in `data/northwind/NOTICE.md`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from typing import Any

import orjson

CURRENCY = "USD"

_COUNTRIES = {
    "Argentina": "AR",
    "Austria": "AT",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Denmark": "DK",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Ireland": "IE",
    "Italy": "IT",
    "Mexico": "MX",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "UK": "GB",
    "USA": "US",
    "Venezuela": "VE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceipt:
    """So many units of an article are there."""

    sku: str
    name: str
    units: int


def order_lines() -> Iterator[bytes]:
    """The 830 orders, each as the JSON line that a shop would submit."""
    return (orjson.dumps(order) for order in submissions())


def submissions() -> Iterator[dict[str, Any]]:
    """The same as dictionaries."""
    return map(_submission, _records("orders.jsonl"))


def stock_receipts() -> Iterator[StockReceipt]:
    """The 77 products with what was in stock when the source was recorded; far less than all orders together need."""
    for product in _records("products.jsonl"):
        yield StockReceipt(sku=_sku(product["product_id"]), name=product["name"], units=product["units_in_stock"])


def demand(orders: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The units that some submissions ask for, by SKU."""
    wanted: Counter[str] = Counter()
    for order in orders:
        for line in order["lines"]:
            wanted[line["sku"]] += line["quantity"]
    return wanted


def _records(name: str) -> Iterator[Any]:
    with (files("workers.demo") / "data" / "northwind" / name).open("rb") as lines:
        yield from map(orjson.loads, lines)


def _submission(order: Mapping[str, Any]) -> dict[str, Any]:
    lines = [_line(line) for line in order["lines"]]
    shipping = _cents(Decimal(order["freight"]))
    return {
        "order_id": f"NW-{order['order_id']}",
        "customer_id": order["customer"]["id"],
        "currency": CURRENCY,
        "lines": lines,
        "shipping": shipping,
        "total": sum(line["amount"] for line in lines) + shipping,
        "ship_to": _ship_to(order["ship_to"]),
        "payment": {"token": f"tok_{order['customer']['id']}"},
    }


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    price = Decimal(line["unit_price"]) * line["quantity"] * (1 - Decimal(line["discount"]))
    return {
        "sku": _sku(line["product_id"]),
        "name": line["product_name"],
        "quantity": line["quantity"],
        "amount": _cents(price),
    }


def _ship_to(place: Mapping[str, Any]) -> dict[str, Any]:
    """Without the region or postal code that the source does not have."""
    optional = {name: place[name] for name in ("region", "postal_code") if place[name]}
    country = _COUNTRIES[place["country"]]
    return {"name": place["name"], "street": place["address"], "city": place["city"], **optional, "country": country}


def _sku(product_id: int) -> str:
    return f"NW-{product_id}"


def _cents(amount: Decimal) -> int:
    return int((amount * 100).to_integral_value(rounding=ROUND_HALF_UP))
