"""The same small order in many tests: three cups and a pot for 40.00, shipped for 4.99."""

from datetime import UTC, datetime, timedelta

from domain import order as orders
from domain.values import Address, Money, OrderLine, Units

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
CUPS = OrderLine(number=1, sku="cup", quantity=3, amount=1000)
POT = OrderLine(number=2, sku="pot", quantity=1, amount=3000)
OSLO = Address(name="Ada", street="Street 1", city="Oslo", country="NO")


def eur(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


def an_order(
    *lines: OrderLine,
    order_id: str = "o1",
    shipping: int = 499,
    policy: orders.ShippingPolicy = orders.ShippingPolicy.PARTIAL,
    total: int | None = None,
    content_hash: str = "h1",
) -> orders.OrderPlaced:
    lines = lines or (CUPS, POT)
    return orders.OrderPlaced(
        order_id=order_id,
        customer_id="c1",
        ship_to=OSLO,
        lines=lines,
        shipping=eur(shipping),
        total=eur(sum(line.amount for line in lines) + shipping if total is None else total),
        payment_token="tok",
        policy=policy,
        content_hash=content_hash,
        placed_at=NOON,
    )


def units(line: OrderLine, quantity: int | None = None) -> Units:
    return Units(line=line.number, sku=line.sku, quantity=line.quantity if quantity is None else quantity)


def assigned(number: int, *some: Units, warehouse: str = "north") -> orders.Assignment:
    return orders.Assignment(fulfillment_id=f"o1+{number}", warehouse=warehouse, units=some)


def waiting(some: Units, warehouse: str = "north") -> orders.Backorder:
    return orders.Backorder(warehouse=warehouse, units=some)
