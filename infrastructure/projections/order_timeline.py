"""One row an event of an order, in words.

The words are made of the event's fields, without what may be personal: no names, addresses, notes, tokens, and nobody's user name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain import fulfillment as parcels
from domain import order as orders
from domain import payment as payments
from domain import process as processes
from domain.errors import Poison
from domain.values import Money, Units
from infrastructure.projections.facts import Fact

TimelineRow = tuple[str, int, datetime, str, int, str, str]

# ISO 4217: currencies whose minor unit is not a hundredth.
_DIGITS = {
    currency: digits
    for digits, currencies in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for currency in currencies.split()
}


def project(facts: Iterable[Fact]) -> list[TimelineRow]:
    """(order id, position, at, stream, version, type, summary) of each fact."""
    return [
        (fact.subject, fact.position, fact.at, fact.stream, fact.version, type(fact.event).__name__, words(fact.event))
        for fact in facts
    ]


def words(event: object) -> str:
    """One line about an event."""
    describe = _WORDS.get(type(event))
    if describe is None:
        raise Poison(f"{type(event).__name__} is no event of an order")
    return describe(event)


def money(amount: Money) -> str:
    """An amount as people write it: `EUR 12.50`, `JPY 1250`."""
    digits = _DIGITS.get(amount.currency, 2)
    whole, rest = divmod(abs(amount.amount), 10**digits)
    sign = "-" if amount.amount < 0 else ""
    return f"{amount.currency} {sign}{whole}.{rest:0{digits}}" if digits else f"{amount.currency} {sign}{whole}"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _units(units: Iterable[Units]) -> str:
    return ", ".join(f"{some.quantity} of {some.sku}" for some in units) or "nothing"


def _placed(event: orders.OrderPlaced) -> str:
    units = sum(line.quantity for line in event.lines)
    size = f"{_count(len(event.lines), 'line')}, {_count(units, 'unit')}"
    return f"{size}, {money(event.total)} to {event.ship_to.country}, {event.policy}"


def _risk(event: orders.RiskAssessed) -> str:
    return _because(f"{event.decision}, score {event.score}", event.reasons)


def _because(what: str, reasons: Sequence[str]) -> str:
    return f"{what} ({', '.join(reasons)})" if reasons else what


def _held(event: orders.HoldPlaced) -> str:
    return f"{event.reason} until {_utc(event.until)}" if event.until else str(event.reason)


def _planned(event: orders.FulfillmentPlanned) -> str:
    sent = [f"{_units(assignment.units)} from {assignment.warehouse}" for assignment in event.assignments]
    late = [f"{_units([backorder.units])} backordered at {backorder.warehouse}" for backorder in event.backorders]
    return "; ".join(sent + late) or "nothing to send"


def _cancelled(event: orders.LinesCancelled) -> str:
    return f"{_units(event.units)} cancelled, reason {event.reason}"


def _step(event: processes.ProcessEvent) -> str:
    return f"{event.step} {event.part}/{event.ordinal}" if event.part else f"{event.step} {event.ordinal}"


_WORDS: Mapping[type[Any], Callable[[Any], str]] = {
    orders.OrderPlaced: _placed,
    orders.RiskAssessed: _risk,
    orders.HoldPlaced: _held,
    orders.HoldReleased: lambda event: f"{event.reason} released",
    orders.FulfillmentPlanned: _planned,
    orders.CancellationRequested: lambda event: f"cancellation asked for, reason {event.reason}",
    orders.CancellationRefused: lambda event: f"cancellation refused, a {event.offered} is offered instead",
    orders.LinesCancelled: _cancelled,
    orders.OrderClosed: lambda event: f"closed: {event.outcome.replace('_', ' ')}",
    payments.AuthorizationStarted: lambda event: f"asks for {money(event.amount)}, key {event.key}",
    payments.Authorized: lambda event: f"{money(event.amount)} until {_utc(event.expires_at)}",
    payments.AuthorizationExpiring: lambda _event: "the authorization ends too soon; another is asked for",
    payments.AuthorizationDeclined: lambda event: f"declined ({event.code}, {event.kind})",
    payments.CaptureStarted: lambda event: (
        f"asks for {money(event.amount)} for {event.fulfillment_id}, key {event.key}"
    ),
    payments.Captured: lambda event: f"{money(event.amount)} for {event.fulfillment_id}",
    payments.CaptureFailed: lambda event: f"capture for {event.fulfillment_id} refused ({event.code})",
    payments.VoidStarted: lambda event: f"asks to void the rest, key {event.key}",
    payments.Voided: lambda event: f"{money(event.amount)} given back",
    payments.VoidFailed: lambda event: f"void refused ({event.code})",
    payments.OutcomeUnknown: lambda event: f"no answer about {event.operation}, key {event.key}",
    payments.OperationNotDone: lambda event: (
        f"{event.operation} did not happen, as a person found out, key {event.key}"
    ),
    parcels.FulfillmentCreated: lambda event: f"{_units(event.units)} from {event.warehouse}",
    parcels.LabelStarted: lambda event: f"asks for a label, key {event.key}",
    parcels.LabelPurchased: lambda event: f"{event.carrier} {event.tracking}, costs {money(event.cost)}",
    parcels.LabelFailed: lambda event: f"label refused ({event.code})",
    parcels.HandOverStarted: lambda event: f"offered to the carrier, key {event.key}",
    parcels.HandOverRefused: lambda event: f"not taken by the carrier ({event.code})",
    parcels.HandedOver: lambda event: f"taken by the carrier, scan {event.scan_id}",
    parcels.Delivered: lambda event: f"delivered at {_utc(event.at)}",
    parcels.StoodDown: lambda event: f"taken out of work ({event.reason})",
    parcels.LabelRefundStarted: lambda event: f"asks to refund the label, key {event.key}",
    parcels.LabelRefunded: lambda _event: "label refunded",
    parcels.LabelRefundFailed: lambda event: f"refund of the label refused ({event.code})",
    parcels.CallNotDone: lambda event: f"did not happen, as a person found out, key {event.key}",
    processes.StepSucceeded: lambda event: f"{_step(event)} done",
    processes.StepFailed: lambda event: f"{_step(event)} given up after {_count(event.attempts, 'attempt')}",
    processes.StepRetried: lambda event: f"{_step(event)} tried again by hand",
    processes.StepDiscarded: lambda event: f"{_step(event)} discarded by hand",
    processes.StepRestored: lambda event: f"{_step(event)} restored by hand",
}
