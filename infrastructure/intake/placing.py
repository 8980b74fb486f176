"""From a submission to the order's first event.

The content hash says whether two submissions under one key are the same order, for as long as orders are kept. So it is made of
what the document means, not of its bytes: keys in a fixed order, and nothing of a field that has its default value, be it written
out or left out. A field that is added to the schema later therefore leaves the hashes of old orders as they are.
"""

from datetime import datetime
from hashlib import sha256

import orjson

from domain.order import OrderPlaced
from domain.values import Address, Money, OrderLine
from infrastructure.intake.submission import OrderSubmission


def content_hash(order: OrderSubmission) -> str:
    """SHA-256 of the canonical form."""
    canonical = orjson.dumps(order.model_dump(exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
    return sha256(canonical).hexdigest()


def to_placed(order: OrderSubmission, now: datetime) -> OrderPlaced:
    """The event, placed `now`."""
    place = order.ship_to
    return OrderPlaced(
        order_id=order.order_id,
        customer_id=order.customer_id,
        ship_to=Address(
            name=place.name,
            street=place.street,
            city=place.city,
            country=place.country,
            region=place.region,
            postal_code=place.postal_code,
        ),
        lines=tuple(
            [
                OrderLine(number=number, sku=line.sku, quantity=line.quantity, amount=line.amount, name=line.name or "")
                for number, line in enumerate(order.lines, start=1)
            ]
        ),
        shipping=Money(amount=order.shipping, currency=order.currency),
        total=Money(amount=order.total, currency=order.currency),
        payment_token=order.payment.token,
        policy=order.shipping_policy,
        content_hash=content_hash(order),
        placed_at=now,
        note=order.note or "",
    )
