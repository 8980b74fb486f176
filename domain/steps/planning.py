"""The step that plans: it splits an order over the warehouses, promises the stock and queues up for the rest."""

from collections.abc import Sequence

from domain import fulfillment as fulfillments
from domain import order as orders
from domain import process as processes
from domain import routing
from domain import stock as stocks
from domain.order import CancelReason
from domain.process import OrderView
from domain.steps.turn import Changes, Context, Turn, accepted, on_fulfillment, on_order, on_stock
from domain.values import Units
from domain.work import RunKey


def begin_allocate(view: OrderView, key: RunKey, context: Context) -> Turn:
    placed, order = accepted(view), view.order
    demand = order.to_plan()
    warehouses = routing.ranked(context.warehouses, placed.ship_to.country)
    available = {
        (warehouse.id, sku): context.stock[processes.stock_stream(warehouse.id, sku)].available_to(key.order_id)
        for warehouse in warehouses
        for sku in {units.sku for units in demand}
    }
    plan = routing.plan(demand, available, warehouses, placed.policy)
    if not plan.parcels and order.plans and plan.backorders == order.backorders:
        return _wait_for_stock(view, context)
    number = max(view.fulfillments, default=0)
    assignments = tuple(
        orders.Assignment(
            fulfillment_id=processes.fulfillment_id(key.order_id, number + place), warehouse=warehouse, units=units
        )
        for place, (warehouse, units) in enumerate(plan.parcels, start=1)
    )
    command = orders.PlanFulfillment(
        assignments=assignments, backorders=plan.backorders, missing=plan.missing, at=context.now
    )
    changes = on_order(view, command)
    for assignment in assignments:
        changes += _create_parcel(view, assignment, context)
    return Turn(changes=changes + queue_up(view, plan.backorders, context))


def _wait_for_stock(view: OrderView, context: Context) -> Turn:
    if context.now < accepted(view).placed_at + context.policy.backorder_wait:
        return Turn(again_after=context.policy.backorder_recheck)
    command = orders.RequestCancellation(
        reason=CancelReason.INVENTORY,
        note="out of stock for too long",
        by="backorder",
        at=context.now,
        handed_over=view.handed_over(),
    )
    return Turn(changes=on_order(view, command))


def _create_parcel(view: OrderView, assignment: orders.Assignment, context: Context) -> Changes:
    number = int(assignment.fulfillment_id.rpartition("+")[2])
    create = fulfillments.Create(
        fulfillment_id=assignment.fulfillment_id,
        order_id=view.order_id,
        warehouse=assignment.warehouse,
        units=assignment.units,
        at=context.now,
    )
    changes = on_fulfillment(view, number, create)
    for sku, quantity in sorted(_by_sku(assignment.units).items()):
        allocate = stocks.Allocate(fulfillment_id=assignment.fulfillment_id, order_id=view.order_id, quantity=quantity)
        changes += on_stock(context, processes.stock_stream(assignment.warehouse, sku), allocate)
    return changes


def queue_up(view: OrderView, backorders: Sequence[orders.Backorder], context: Context) -> Changes:
    """Enter, change or leave the queues, so that they say what the plan says."""
    waiting = {processes.stock_stream(b.warehouse, b.units.sku): 0 for b in view.order.backorders}
    for backorder in backorders:
        stream = processes.stock_stream(backorder.warehouse, backorder.units.sku)
        waiting[stream] = waiting.get(stream, 0) + backorder.units.quantity
    changes: Changes = ()
    for stream, quantity in sorted(waiting.items()):
        changes += on_stock(context, stream, stocks.Backorder(order_id=view.order_id, quantity=quantity))
    return changes


def _by_sku(units: Sequence[Units]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in units:
        total[some.sku] = total.get(some.sku, 0) + some.quantity
    return total
