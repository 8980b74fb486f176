"""Orders half-way, for tests of the process: a view built from events."""

from datetime import timedelta

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import payment as payments
from domain import process as processes
from domain.process import OrderView, Policy, react
from domain.values import Money
from domain.work import Step, Want
from tests.domain.examples import NOON, an_order, eur

POLICY = Policy()
NEXT_WEEK = NOON + timedelta(days=7)
APPROVED = orders.RiskAssessed(decision="approve", score=1, reasons=(), at=NOON)


def having(*events: processes.OrderStreamEvent, view: OrderView | None = None) -> OrderView:
    """The view after these events of the order, the payment and the process."""
    current = view or OrderView(order_id="o1")
    for event in events:
        if isinstance(event, orders.OrderEvent):
            stream = processes.order_stream("o1")
        elif isinstance(event, payments.PaymentEvent):
            stream = processes.payment_stream("o1")
        else:
            stream = processes.process_stream("o1")
        current = processes.extend(current, stream, [event])
    return current


def parcel(view: OrderView, number: int, *events: fulfillments.FulfillmentEvent) -> OrderView:
    """The view after these events of one fulfillment."""
    return processes.extend(view, processes.fulfillment_stream("o1", number), events)


def authorized(amount: Money | None = None, placed: orders.OrderPlaced | None = None) -> OrderView:
    """An approved order whose money is there."""
    placed = placed or an_order()
    money = amount or placed.total
    started = payments.AuthorizationStarted(key="o1:auth:1", ordinal=1, amount=money, at=NOON)
    done = payments.Authorized(key="o1:auth:1", reference="r1", amount=money, expires_at=NEXT_WEEK, at=NOON)
    return having(placed, APPROVED, started, done)


def planned(
    view: OrderView, *assignments: orders.Assignment, backorders: tuple[orders.Backorder, ...] = ()
) -> OrderView:
    """The view after a plan, its parcels created."""
    view = having(orders.FulfillmentPlanned(assignments=assignments, backorders=backorders, at=NOON), view=view)
    for assignment in assignments:
        created = fulfillments.FulfillmentCreated(
            fulfillment_id=assignment.fulfillment_id,
            order_id="o1",
            warehouse=assignment.warehouse,
            units=assignment.units,
            at=NOON,
        )
        view = parcel(view, int(assignment.fulfillment_id.rpartition("+")[2]), created)
    return view


def labelled(view: OrderView, number: int = 1) -> OrderView:
    """The view after the purchase of a label."""
    key = f"o1+{number}:label:1"
    return parcel(
        view,
        number,
        fulfillments.LabelStarted(key=key, ordinal=1, at=NOON),
        fulfillments.LabelPurchased(key=key, tracking=f"T{number}", carrier="swift", cost=eur(490), at=NOON),
    )


def handed_over(view: OrderView, number: int = 1) -> OrderView:
    """The view after the carrier took a labelled parcel."""
    key = f"o1+{number}:scan:1"
    return parcel(
        labelled(view, number),
        number,
        fulfillments.HandOverStarted(key=key, ordinal=1, at=NOON),
        fulfillments.HandedOver(key=key, scan_id="s1", at=NOON),
    )


def captured(view: OrderView, amount: int, number: int = 1) -> OrderView:
    """The view after the capture of a parcel."""
    key, identity = f"o1+{number}:capture:1", f"o1+{number}"
    return having(
        payments.CaptureStarted(key=key, ordinal=1, fulfillment_id=identity, amount=eur(amount), at=NOON),
        payments.Captured(key=key, fulfillment_id=identity, reference="c1", amount=eur(amount), at=NOON),
        view=view,
    )


def wanted(view: OrderView) -> set[tuple[Step, int, int]]:
    """What is wanted, as (step, part, ordinal)."""
    return {(want.key.step, want.key.part, want.key.ordinal) for want in wants(view)}


def wants(view: OrderView) -> frozenset[Want]:
    return react(view, POLICY)
