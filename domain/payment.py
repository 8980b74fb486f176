"""The payment of one order: one authorization at a time, captures per parcel, a void of what is left.

Before anything is asked of the gateway, a `*Started` event records the idempotency key; it is made from the operation and its
ordinal, never from the attempt. One operation is open at a time. `captured <= authorized` always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, assert_never

from domain.decider import Decider
from domain.errors import CommandRefused, Incident
from domain.payment_commands import (
    PaymentCommand,
    RecordAuthorized,
    RecordCaptured,
    RecordCaptureRefused,
    RecordDeclined,
    RecordExpiring,
    RecordNotDone,
    RecordUnknown,
    RecordVoided,
    RecordVoidRefused,
    Result,
    StartAuthorization,
    StartCapture,
    StartVoid,
)
from domain.payment_events import (
    AuthorizationDeclined,
    AuthorizationExpiring,
    AuthorizationStarted,
    Authorized,
    Captured,
    CaptureFailed,
    CaptureStarted,
    Operation,
    OperationNotDone,
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
    "AuthorizationExpiring",
    "AuthorizationStarted",
    "Authorized",
    "CaptureFailed",
    "CaptureStarted",
    "Captured",
    "OpenOperation",
    "Operation",
    "OperationNotDone",
    "OutcomeUnknown",
    "Payment",
    "PaymentCommand",
    "PaymentEvent",
    "RecordAuthorized",
    "RecordCaptureRefused",
    "RecordCaptured",
    "RecordDeclined",
    "RecordExpiring",
    "RecordNotDone",
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

# --- state ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOperation:
    """What was started and has no result yet. `unknown` is set when the gateway may have acted without saying so."""

    operation: Operation
    key: str
    ordinal: int
    started_at: datetime
    amount: Money | None = None
    fulfillment_id: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What the next decision needs. `authorized` and `voided` add up over all authorizations; `reference` is the last one's.

    `lapsed`: the last one will not live until the capture; it is voided, and then another one is needed.
    """

    open: OpenOperation | None = None
    authorizations: int = 0
    authorized: Money | None = None
    reference: str | None = None
    authorized_at: datetime | None = None
    expires_at: datetime | None = None
    lapsed: bool = False
    declined: Literal["hard", "soft"] | None = None
    captured: Mapping[str, Money] = field(default_factory=dict)
    captures: Mapping[str, int] = field(default_factory=dict)
    capture_failed: Mapping[str, str] = field(default_factory=dict)
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

    def holds_money(self) -> bool:
        """There is an authorization that parcels can be captured from."""
        return self.remainder() > 0 and not self.void_failed and not self.lapsed


def decide(command: PaymentCommand, payment: Payment) -> Sequence[PaymentEvent]:
    """The events that follow from a command. Raises `CommandRefused`; a repeat is no event."""
    match command:
        case StartAuthorization():
            return _start_authorization(command, payment)
        case StartCapture():
            return _start_capture(command, payment)
        case StartVoid():
            return _start_void(command, payment)
        case RecordExpiring(at=at):
            return [AuthorizationExpiring(at=at)] if payment.holds_money() and not payment.open else []
        case RecordUnknown() | RecordNotDone():
            return _record_no_answer(command, payment)
        case _:
            return _record(command, payment)


def evolve(payment: Payment, event: PaymentEvent) -> Payment:  # noqa: C901, PLR0911, PLR0912 - one flat case an event
    """The payment after one event."""
    match event:
        case AuthorizationStarted(key=key, ordinal=ordinal, amount=amount, at=at):
            operation = OpenOperation(operation="authorize", key=key, ordinal=ordinal, amount=amount, started_at=at)
            return replace(payment, open=operation, authorizations=ordinal, declined=None)
        case Authorized():
            return _authorized(payment, event)
        case AuthorizationExpiring():
            return replace(payment, lapsed=True)
        case AuthorizationDeclined():
            return replace(payment, open=None, declined=event.kind)
        case CaptureStarted():
            return _capturing(payment, event)
        case Captured():
            return replace(payment, open=None, captured={**payment.captured, event.fulfillment_id: event.amount})
        case CaptureFailed():
            failed = {**payment.capture_failed, event.fulfillment_id: event.code}
            return replace(payment, open=None, capture_failed=failed)
        case VoidStarted(key=key, ordinal=ordinal, at=at):
            operation = OpenOperation(operation="void", key=key, ordinal=ordinal, started_at=at)
            return replace(payment, open=operation, voids=ordinal)
        case Voided():
            return replace(payment, open=None, voided=_sum(payment.voided, event.amount))
        case VoidFailed():
            return replace(payment, open=None, void_failed=event.code)
        case OperationNotDone():
            return replace(payment, open=None)
        case OutcomeUnknown():
            return replace(payment, open=replace(payment.open, unknown=True) if payment.open else None)
        case _:
            assert_never(event)


def _capturing(payment: Payment, event: CaptureStarted) -> Payment:
    operation = OpenOperation(
        operation="capture",
        key=event.key,
        ordinal=event.ordinal,
        amount=event.amount,
        fulfillment_id=event.fulfillment_id,
        started_at=event.at,
    )
    failed = {parcel: code for parcel, code in payment.capture_failed.items() if parcel != event.fulfillment_id}
    captures = {**payment.captures, event.fulfillment_id: event.ordinal}
    return replace(payment, open=operation, captures=captures, capture_failed=failed)


def _authorized(payment: Payment, event: Authorized) -> Payment:
    """A new authorization. What an earlier one still held, because its void was refused, has lapsed."""
    rest = Money(amount=payment.remainder(), currency=event.amount.currency)
    return replace(
        payment,
        open=None,
        authorized=_sum(payment.authorized, event.amount),
        voided=_sum(payment.voided, rest) if rest.amount else payment.voided,
        lapsed=False,
        reference=event.reference,
        authorized_at=event.at,
        expires_at=event.expires_at,
        void_failed=None,
    )


def _sum(before: Money | None, more: Money) -> Money:
    return more if before is None else before + more


def _start_authorization(command: StartAuthorization, payment: Payment) -> Sequence[PaymentEvent]:
    if payment.open or (payment.authorized and not payment.lapsed):
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


def _record_no_answer(command: RecordUnknown | RecordNotDone, payment: Payment) -> Sequence[PaymentEvent]:
    some = payment.open
    if some is None:
        return []
    if isinstance(command, RecordNotDone):
        return [OperationNotDone(key=some.key, operation=some.operation, at=command.at)]
    if some.unknown:
        return []
    return [OutcomeUnknown(key=some.key, operation=some.operation, reason=command.reason, at=command.at)]


def _record(command: Result, payment: Payment) -> Sequence[PaymentEvent]:
    """The result of the open operation; a result of anything else has been recorded before."""
    operation = payment.open
    if operation is None:
        return []
    match operation.operation:
        case "authorize":
            return _record_authorization(command, operation)
        case "capture":
            return _record_capture(command, operation)
        case "void":
            return _record_void(command, operation, payment)
        case _:
            assert_never(operation.operation)


def _record_authorization(command: Result, operation: OpenOperation) -> Sequence[PaymentEvent]:
    key = operation.key
    match command:
        case RecordAuthorized(reference=reference, amount=amount, expires_at=expires_at, at=at):
            if amount != operation.amount:
                raise _another_amount("authorized", amount, operation)
            return [Authorized(key=key, reference=reference, amount=amount, expires_at=expires_at, at=at)]
        case RecordDeclined(code=code, hard=hard, at=at):
            return [AuthorizationDeclined(key=key, code=code, kind="hard" if hard else "soft", at=at)]
        case _:
            return []


def _record_capture(command: Result, operation: OpenOperation) -> Sequence[PaymentEvent]:
    key, parcel = operation.key, operation.fulfillment_id
    match command:
        case RecordCaptured(fulfillment_id=identity, reference=reference, amount=amount, at=at) if identity == parcel:
            if amount != operation.amount:
                raise _another_amount("captured", amount, operation)
            return [Captured(key=key, fulfillment_id=identity, reference=reference, amount=amount, at=at)]
        case RecordCaptureRefused(fulfillment_id=identity, code=code, at=at) if identity == parcel:
            return [CaptureFailed(key=key, fulfillment_id=identity, code=code, at=at)]
        case _:
            return []


def _another_amount(done: str, amount: Money, operation: OpenOperation) -> Incident:
    asked = f"{operation.amount.amount} {operation.amount.currency}" if operation.amount else "nothing"
    return Incident(
        f"the gateway says that it {done} another amount than was asked: "
        f"{amount.amount} {amount.currency} instead of {asked} (minor units, key {operation.key})"
    )


def _record_void(command: Result, operation: OpenOperation, payment: Payment) -> Sequence[PaymentEvent]:
    match command:
        case RecordVoided(reference=reference, at=at):
            currency = payment.authorized.currency if payment.authorized else ""
            amount = Money(amount=payment.remainder(), currency=currency)
            return [Voided(key=operation.key, reference=reference, amount=amount, at=at)]
        case RecordVoidRefused(code=code, at=at):
            return [VoidFailed(key=operation.key, code=code, at=at)]
        case _:
            return []


DECIDER: Decider[PaymentCommand, Payment, PaymentEvent] = Decider(initial=Payment(), decide=decide, evolve=evolve)
