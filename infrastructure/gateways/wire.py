"""The wire protocol of a service as pydantic models: what we send, and what an answer must look like to be believed.

Answers are parsed from bytes, strictly, unknown fields ignored; a union is told apart by its `result`. An answer that does not parse
is no answer: it says nothing about what was done.
"""

from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from domain import outside
from domain.payment import Operation
from domain.reconciliation import Movement
from domain.values import Money
from infrastructure.gateways.card_numbers import no_card_number, without_card_numbers

Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(no_card_number)]
Amount = Annotated[int, Field(ge=0, le=10**15)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _WithMoney(_Answer):
    amount: Amount
    currency: Currency

    @property
    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)


class Assessed(_Answer):
    result: Literal["assessed"]
    decision: Literal["approve", "review", "reject"]
    score: Annotated[int, Field(ge=0, le=100)]
    reasons: Annotated[list[Text], Field(max_length=50)]

    def meaning(self) -> outside.RiskVerdict:
        return outside.RiskVerdict(decision=self.decision, score=self.score, reasons=tuple(self.reasons))


class Authorized(_WithMoney):
    result: Literal["authorized"]
    reference: Text
    expires_at: AwareDatetime

    def meaning(self) -> outside.PaymentAuthorized:
        return outside.PaymentAuthorized(reference=self.reference, amount=self.money, expires_at=self.expires_at)


class Declined(_Answer):
    result: Literal["declined"]
    code: Text
    hard: bool

    def meaning(self) -> outside.PaymentDeclined:
        return outside.PaymentDeclined(code=self.code, hard=self.hard)


class Captured(_WithMoney):
    result: Literal["captured"]
    reference: Text

    def meaning(self) -> outside.PaymentCaptured:
        return outside.PaymentCaptured(reference=self.reference, amount=self.money)


class Voided(_Answer):
    result: Literal["voided"]
    reference: Text

    def meaning(self) -> outside.PaymentVoided:
        return outside.PaymentVoided(reference=self.reference)


class Bought(_Answer):
    result: Literal["bought"]
    tracking: Text
    carrier: Text
    cost: Amount
    currency: Currency

    def meaning(self) -> outside.LabelBought:
        cost = Money(amount=self.cost, currency=self.currency)
        return outside.LabelBought(tracking=self.tracking, carrier=self.carrier, cost=cost)


class Refunded(_Answer):
    result: Literal["refunded"]
    tracking: Text

    def meaning(self) -> outside.LabelRefunded:
        return outside.LabelRefunded(tracking=self.tracking)


class Accepted(_Answer):
    result: Literal["accepted"]
    scan_id: Text
    at: AwareDatetime

    def meaning(self) -> outside.ParcelAccepted:
        return outside.ParcelAccepted(scan_id=self.scan_id, at=self.at)


class Tracked(_Answer):
    result: Literal["in_transit", "delivered"]
    at: AwareDatetime

    def meaning(self) -> outside.ParcelStatus:
        return outside.ParcelStatus(status=self.result, at=self.at)


class Sent(_Answer):
    result: Literal["sent"]
    message_id: Text

    def meaning(self) -> outside.CustomerNotified:
        return outside.CustomerNotified(message_id=self.message_id)


class Refused(_Answer):
    result: Literal["refused"]
    code: Text

    def meaning(self) -> outside.Refused:
        return outside.Refused(code=self.code)


class Moved(_WithMoney):
    """A line of the payment gateway's books."""

    key: Text
    operation: Operation
    reference: Text
    at: AwareDatetime

    def meaning(self) -> Movement:
        return Movement(key=self.key, operation=self.operation, reference=self.reference, amount=self.money, at=self.at)


class Movements(_Answer):
    """A page of the books; `next` leads to the following one."""

    movements: Annotated[list[Moved], Field(max_length=10_000)]
    next: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")] | None


class Problem(_Answer):
    """The body of an answer with an error status."""

    error: Text
    message: Annotated[str, Field(max_length=10_000), AfterValidator(without_card_numbers)] = ""


_Result = Field(discriminator="result")

ASSESSED = TypeAdapter(Assessed)
AUTHORIZED: TypeAdapter[Authorized | Declined] = TypeAdapter(Annotated[Authorized | Declined, _Result])
CAPTURED: TypeAdapter[Captured | Refused] = TypeAdapter(Annotated[Captured | Refused, _Result])
VOIDED: TypeAdapter[Voided | Refused] = TypeAdapter(Annotated[Voided | Refused, _Result])
PAYMENT: TypeAdapter[Authorized | Declined | Captured | Voided | Refused] = TypeAdapter(
    Annotated[Authorized | Declined | Captured | Voided | Refused, _Result]
)
BOUGHT: TypeAdapter[Bought | Refused] = TypeAdapter(Annotated[Bought | Refused, _Result])
REFUNDED: TypeAdapter[Refunded | Refused] = TypeAdapter(Annotated[Refunded | Refused, _Result])
ACCEPTED: TypeAdapter[Accepted | Refused] = TypeAdapter(Annotated[Accepted | Refused, _Result])
PARCEL: TypeAdapter[Bought | Refunded | Accepted | Refused] = TypeAdapter(
    Annotated[Bought | Refunded | Accepted | Refused, _Result]
)
TRACKED = TypeAdapter(Tracked)
MOVED = TypeAdapter(Moved)
MOVEMENTS = TypeAdapter(Movements)
SENT: TypeAdapter[Sent | Refused] = TypeAdapter(Annotated[Sent | Refused, _Result])


def body(**fields: object) -> bytes:
    return orjson.dumps(fields)
