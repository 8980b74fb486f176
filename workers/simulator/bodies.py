"""What callers may send: strict, bounded, unknown fields refused, so that a wrong request is told what is wrong and nothing more.

Amounts are integers of minor units beside an ISO 4217 code, as with most gateways.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=200)]
Amount = Annotated[int, Field(gt=0, le=10**15)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Assessment(Body):
    order_id: Text
    customer_id: Text
    amount: Annotated[int, Field(ge=0, le=10**15)]
    currency: Currency
    country: Country


class Authorization(Body):
    order_id: Text
    amount: Amount
    currency: Currency
    token: Text


class Capture(Body):
    authorization: Text
    amount: Amount
    currency: Currency


class Void(Body):
    authorization: Text


class ShipTo(Body):
    name: Text
    street: Text
    city: Text
    country: Country
    region: Text | None = None
    postal_code: Text | None = None


class Label(Body):
    fulfillment_id: Text
    warehouse: Text
    ship_to: ShipTo
    units: Annotated[int, Field(gt=0, le=10**9)]


class LabelRefund(Body):
    tracking: Text


class HandOver(Body):
    tracking: Text


class Message(Body):
    order_id: Text
    customer_id: Text
    template: Text
    facts: Annotated[dict[Text, Annotated[str, Field(max_length=2000)]], Field(max_length=50)] = {}
