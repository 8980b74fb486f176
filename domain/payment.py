"""The payment of one order: one authorization at a time, captures per parcel, a void of what is left.

Before anything is asked of the gateway, a `*Started` event records the idempotency key; it is made from the operation and its
ordinal, never from the attempt. One operation is open at a time. `captured <= authorized` always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never

from domain.decider import Decider
from domain.errors import CommandRefused
from domain.payment_events import (
    AuthorizationDeclined,
    AuthorizationStarted,
    Authorized,
    Captured,
    CaptureFailed,
    CaptureStarted,
    Operation,
    OutcomeUnknown,
    PaymentEvent,
    Voided,
    VoidFailed,
    VoidStarted,
)
from domain.values import Money

__all__ = [
    "DECIDER",
    "AuthorizationDeclined",
    "AuthorizationStarted",
    "Authorized",
    "CaptureFailed",
    "CaptureStarted",
    "Captured",
    "OpenOperation",
    "Operation",
    "OutcomeUnknown",
    "Payment",
    "PaymentCommand",
    "PaymentEvent",
    "RecordAuthorized",
    "RecordCaptureRefused",
    "RecordCaptured",
    "RecordDeclined",
    "RecordUnknown",
    "RecordVoidRefused",
    "RecordVoided",
    "StartAuthorization",
    "StartCapture",
    "StartVoid",
    "VoidFailed",
    "VoidStarted",
    "Voided",
    "decide",
    "evolve",
]

# --- commands ---


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAuthorization:
    order_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuthorized:
    reference: str
    amount: Money
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDeclined:
    code: str
    hard: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCapture:
    """`allowance`: the value of all parcels handed over so far; captures never exceed it."""

    fulfillment_id: str
    amount: Money
    allowance: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCaptured:
    fulfillment_id: str
    reference: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCaptureRefused:
    fulfillment_id: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartVoid:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVoided:
    reference: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVoidRefused:
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUnknown:
    reason: str
    at: datetime


PaymentCommand = (
    StartAuthorization
    | RecordAuthorized
    | RecordDeclined
    | StartCapture
    | RecordCaptured
    | RecordCaptureRefused
    | StartVoid
    | RecordVoided
    | RecordVoidRefused
    | RecordUnknown
)


# --- state ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOperation:
    """What was started and has no result yet. `unknown` is set when the gateway may have acted without saying so."""

    operation: Operation
    key: str
    ordinal: int
    amount: Money | None = None
    fulfillment_id: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What the next decision needs."""

    open: OpenOperation | None = None
    authorizations: int = 0
    authorized: Money | None = None
    reference: str | None = None
    expires_at: datetime | None = None
    declined: Literal["hard", "soft"] | None = None
    captured: Mapping[str, Money] = ()  # type: ignore[assignment]
    captures: Mapping[str, int] = ()  # type: ignore[assignment]
    capture_failed: Mapping[str, str] = ()  # type: ignore[assignment]
    voids: int = 0
    voided: Money | None = None
    void_failed: str | None = None

    def captured_total(self) -> int:
        """Minor units captured so far."""
        return sum(money.amount for money in self.captured.values())

    def remainder(self) -> int:
        """Minor units that are authorized and neither captured nor voided."""
        if self.authorized is None:
            return 0
        return self.authorized.amount - self.captured_total() - (self.voided.amount if self.voided else 0)


def decide(command: PaymentCommand, payment: Payment) -> Sequence[PaymentEvent]:
    """The events that follow from a command. Raises `CommandRefused`; a repeat is no event."""
    match command:
        case StartAuthorization():
            return _start_authorization(command, payment)
        case StartCapture():
            return _start_capture(command, payment)
        case StartVoid():
            return _start_void(command, payment)
        case RecordUnknown():
            operation = payment.open
            if operation is None or operation.unknown:
                return []
            return [
                OutcomeUnknown(key=operation.key, operation=operation.operation, reason=command.reason, at=command.at)
            ]
        case _:
            return _record(command, payment)


def evolve(payment: Payment, event: PaymentEvent) -> Payment:  # noqa: C901, PLR0911, PLR0912 - one flat case an event
    """The payment after one event."""
    match event:
        case AuthorizationStarted(key=key, ordinal=ordinal, amount=amount):
            operation = OpenOperation(operation="authorize", key=key, ordinal=ordinal, amount=amount)
            return replace(payment, open=operation, authorizations=ordinal, declined=None)
        case Authorized():
            return replace(
                payment, open=None, authorized=event.amount, reference=event.reference, expires_at=event.expires_at
            )
        case AuthorizationDeclined():
            return replace(payment, open=None, declined=event.kind)
        case CaptureStarted(key=key, ordinal=ordinal, amount=amount, fulfillment_id=fulfillment_id):
            operation = OpenOperation(
                operation="capture", key=key, ordinal=ordinal, amount=amount, fulfillment_id=fulfillment_id
            )
            failed = {key: code for key, code in payment.capture_failed.items() if key != fulfillment_id}
            captures = {**payment.captures, fulfillment_id: ordinal}
            return replace(payment, open=operation, captures=captures, capture_failed=failed)
        case Captured():
            return replace(payment, open=None, captured={**payment.captured, event.fulfillment_id: event.amount})
        case CaptureFailed():
            failed = {**payment.capture_failed, event.fulfillment_id: event.code}
            return replace(payment, open=None, capture_failed=failed)
        case VoidStarted(key=key, ordinal=ordinal):
            return replace(payment, open=OpenOperation(operation="void", key=key, ordinal=ordinal), voids=ordinal)
        case Voided():
            return replace(payment, open=None, voided=event.amount)
        case VoidFailed():
            return replace(payment, open=None, void_failed=event.code)
        case OutcomeUnknown():
            return replace(payment, open=replace(payment.open, unknown=True) if payment.open else None)
        case _:
            assert_never(event)


def _start_authorization(command: StartAuthorization, payment: Payment) -> Sequence[PaymentEvent]:
    if payment.open or payment.authorized:
        return []
    if payment.declined == "hard":
        raise CommandRefused("the card was declined for good")
    ordinal = payment.authorizations + 1
    key = f"{command.order_id}:auth:{ordinal}"
    return [AuthorizationStarted(key=key, ordinal=ordinal, amount=command.amount, at=command.at)]


def _start_capture(command: StartCapture, payment: Payment) -> Sequence[PaymentEvent]:
    if command.fulfillment_id in payment.captured:
        return []
    if payment.open:
        if payment.open.fulfillment_id == command.fulfillment_id:
            return []
        raise CommandRefused(f"another operation is open ({payment.open.key})")
    if command.amount.amount > payment.remainder():
        raise CommandRefused("more than is authorized", field="amount")
    if payment.captured_total() + command.amount.amount > command.allowance.amount:
        raise CommandRefused("more than was handed over", field="amount")
    ordinal = payment.captures.get(command.fulfillment_id, 0) + 1
    started = CaptureStarted(
        key=f"{command.fulfillment_id}:capture:{ordinal}",
        ordinal=ordinal,
        fulfillment_id=command.fulfillment_id,
        amount=command.amount,
        at=command.at,
    )
    return [started]


def _start_void(command: StartVoid, payment: Payment) -> Sequence[PaymentEvent]:
    if payment.remainder() <= 0:
        return []
    if payment.open:
        if payment.open.operation == "void":
            return []
        raise CommandRefused(f"another operation is open ({payment.open.key})")
    ordinal = payment.voids + 1
    return [VoidStarted(key=f"{command.order_id}:void:{ordinal}", ordinal=ordinal, at=command.at)]


def _record(
    command: RecordAuthorized
    | RecordDeclined
    | RecordCaptured
    | RecordCaptureRefused
    | RecordVoided
    | RecordVoidRefused,
    payment: Payment,
) -> Sequence[PaymentEvent]:
    """The result of the open operation; a result of anything else has been recorded before."""
    operation = payment.open
    if operation is None:
        return []
    match operation.operation, command:
        case "authorize", RecordAuthorized() as done:
            return [
                Authorized(
                    key=operation.key,
                    reference=done.reference,
                    amount=done.amount,
                    expires_at=done.expires_at,
                    at=done.at,
                )
            ]
        case "authorize", RecordDeclined() as no:
            kind: Literal["hard", "soft"] = "hard" if no.hard else "soft"
            return [AuthorizationDeclined(key=operation.key, code=no.code, kind=kind, at=no.at)]
        case "capture", RecordCaptured() as done if done.fulfillment_id == operation.fulfillment_id:
            if operation.amount != done.amount:
                raise CommandRefused("the gateway captured another amount than was asked", field="amount")
            fulfillment_id = done.fulfillment_id
            return [
                Captured(
                    key=operation.key,
                    fulfillment_id=fulfillment_id,
                    reference=done.reference,
                    amount=done.amount,
                    at=done.at,
                )
            ]
        case "capture", RecordCaptureRefused() as no if no.fulfillment_id == operation.fulfillment_id:
            return [CaptureFailed(key=operation.key, fulfillment_id=no.fulfillment_id, code=no.code, at=no.at)]
        case "void", RecordVoided() as done:
            currency = payment.authorized.currency if payment.authorized else ""
            amount = Money(amount=payment.remainder(), currency=currency)
            return [Voided(key=operation.key, reference=done.reference, amount=amount, at=done.at)]
        case "void", RecordVoidRefused() as no:
            return [VoidFailed(key=operation.key, code=no.code, at=no.at)]
        case _:
            return []


DECIDER: Decider[PaymentCommand, Payment, PaymentEvent] = Decider(
    initial=Payment(captured={}, captures={}, capture_failed={}), decide=decide, evolve=evolve
)
