"""All streams of one order, folded into one view; and the names of the streams.

Re-exported by `domain.process`, which decides upon it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain.fulfillment import Fulfillment
from domain.order import Order
from domain.payment import Payment
from domain.process_events import (
    ProcessEvent,
    StepDiscarded,
    StepFailed,
    StepRestored,
    StepRetried,
    StepSucceeded,
)
from domain.work import Step

OrderStreamEvent = orders.OrderEvent | payments.PaymentEvent | fulfillments.FulfillmentEvent | ProcessEvent
Place = tuple[Step, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """All by (step, part, ordinal). `failed` holds the reasons; `discarded` are those of them that nobody will try again."""

    done: frozenset[Place] = frozenset()
    failed: Mapping[Place, str] = field(default_factory=dict)
    discarded: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """All streams of one order, folded. `versions` holds the version of each stream as seen, 0 for none."""

    order_id: str
    order: Order = orders.DECIDER.initial
    payment: Payment = payments.DECIDER.initial
    process: Process = Process()
    fulfillments: Mapping[int, Fulfillment] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    def handed_over(self) -> frozenset[str]:
        """Ids of the fulfillments that the carrier has. One that it only may have is waited for, not counted."""
        return frozenset(f.created.fulfillment_id for f in self.fulfillments.values() if f.created and f.handed_over)


def order_stream(order_id: str) -> str:
    """The stream of the order itself."""
    return f"order-{order_id}"


def payment_stream(order_id: str) -> str:
    """The stream of the order's payment."""
    return f"payment-{order_id}"


def process_stream(order_id: str) -> str:
    """The stream of the order's process."""
    return f"process-{order_id}"


def fulfillment_id(order_id: str, number: int) -> str:
    """The id of an order's nth fulfillment."""
    return f"{order_id}+{number}"


def fulfillment_stream(order_id: str, number: int) -> str:
    """The stream of an order's nth fulfillment."""
    return f"fulfillment-{order_id}+{number}"


def stock_stream(warehouse: str, sku: str) -> str:
    """The stream of a SKU's stock at a warehouse."""
    return f"stock-{warehouse}+{sku}"


def extend(view: OrderView, stream: str, events: Sequence[OrderStreamEvent]) -> OrderView:
    """The view after `events` were appended to one of its streams."""
    versions = {**view.versions, stream: view.versions.get(stream, 0) + len(events)}
    category, _, identity = stream.partition("-")
    match category:
        case "order":
            return replace(view, order=orders.DECIDER.fold(events, view.order), versions=versions)  # type: ignore[arg-type]
        case "payment":
            return replace(view, payment=payments.DECIDER.fold(events, view.payment), versions=versions)  # type: ignore[arg-type]
        case "process":
            return replace(view, process=_fold_process(view.process, events), versions=versions)
        case "fulfillment":
            number = int(identity.rpartition("+")[2])
            before = view.fulfillments.get(number, fulfillments.DECIDER.initial)
            after = fulfillments.DECIDER.fold(events, before)  # type: ignore[arg-type]
            return replace(view, fulfillments={**view.fulfillments, number: after}, versions=versions)
        case _:
            raise ValueError(f"{stream} is not a stream of an order")


def _fold_process(process: Process, events: Sequence[OrderStreamEvent]) -> Process:
    for event in events:
        process = evolve_process(process, event)  # type: ignore[arg-type]
    return process


def evolve_process(process: Process, event: ProcessEvent) -> Process:
    """The process after one event."""
    key = (event.step, event.part, event.ordinal)
    match event:
        case StepSucceeded():
            return replace(process, done=process.done | {key})
        case StepFailed():
            failed = {**process.failed, key: event.reason}
            return replace(process, failed=failed, discarded=process.discarded - {key})
        case StepRetried():
            failed = {k: v for k, v in process.failed.items() if k != key}
            return replace(process, failed=failed, discarded=process.discarded - {key})
        case StepDiscarded():
            return replace(process, discarded=process.discarded | {key})
        case StepRestored():
            return replace(process, discarded=process.discarded - {key})
        case _:
            assert_never(event)
