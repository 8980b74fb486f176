"""What each step does, purely: `begin` a claimed run, then `conclude` it with the answer of the outside.

A step returns a `Turn`: the events to append, by stream, and, where the outside has to be asked, the request. Nothing here calls
anything; the shell appends the events (the intent among them) before it makes the request. A run is finished when the process
manager no longer wants it, so a step never says "done".

Steps that move stock (plan, hand over, cancel) say by `stock_to_begin` and `stock_to_conclude` which stock streams must be at hand;
the shell locks and loads them into the `StockBook` of the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from domain import outside
from domain import payment as payments
from domain import process as processes
from domain.process import OrderView
from domain.routing import Warehouse
from domain.steps import ends, money, parcels, planning
from domain.steps.conclusion import by_hand, can_conclude, is_payment
from domain.steps.parcels import tracking_interval
from domain.steps.turn import Changes, Context, StockBook, StreamEvent, Turn, nonsense, on_payment, parcel_stock
from domain.work import Run, RunKey, Step

__all__ = [
    "Changes",
    "Context",
    "StockBook",
    "StreamEvent",
    "Turn",
    "begin",
    "by_hand",
    "can_conclude",
    "conclude",
    "doubtful",
    "stock_to_begin",
    "stock_to_conclude",
    "tracking_interval",
    "unknown",
]


def begin(view: OrderView, run: Run, context: Context) -> Turn:
    """The first half of a step."""
    return _BEGIN[run.key.step](view, run.key, context)


def conclude(view: OrderView, run: Run, answer: outside.Answer, context: Context) -> Turn:
    """The second half, with the answer to the request of the first."""
    if run.key.step not in _CONCLUDE:
        raise nonsense(run.key, answer)
    return _CONCLUDE[run.key.step](view, run.key, answer, context)


def unknown(view: OrderView, run: Run, reason: str, now: datetime) -> Turn:
    """The outside may have acted and did not say: record it where money is concerned."""
    if not is_payment(run.key.step):
        return Turn()
    command = payments.RecordUnknown(reason=reason, at=now)
    return Turn(changes=on_payment(view, command))


def doubtful(view: OrderView, run: Run) -> bool:
    """What this run asked for may have happened, although its last error alone does not say so."""
    if not processes.is_open(view, run.key):
        return False
    if view.payment.open and is_payment(run.key.step):
        return view.payment.open.unknown or run.crashes > 0
    return run.attempts > 1 or run.crashes > 0  # parcels do not record that an outcome is unknown


def stock_to_begin(view: OrderView, key: RunKey, warehouses: Sequence[Warehouse]) -> set[str]:
    """The stock streams that `begin` of this run decides upon."""
    order = view.order
    waiting = {processes.stock_stream(b.warehouse, b.units.sku) for b in order.backorders}
    match key.step:
        case Step.ALLOCATE:
            skus = {units.sku for units in order.to_plan()}
            return waiting | {processes.stock_stream(warehouse.id, sku) for warehouse in warehouses for sku in skus}
        case Step.CANCEL:
            open_parcels = [n for n, f in view.fulfillments.items() if not (f.handed_over or f.stood_down)]
            return waiting.union(*(parcel_stock(view, number) for number in open_parcels))
        case _:
            return set()


def stock_to_conclude(view: OrderView, key: RunKey) -> set[str]:
    """The stock streams that `conclude` of this run decides upon."""
    return parcel_stock(view, key.part) if key.step is Step.HAND_OVER else set()


_BEGIN: Mapping[Step, Callable[[OrderView, RunKey, Context], Turn]] = {
    Step.RISK: money.begin_risk,
    Step.AUTHORIZE: money.begin_authorize,
    Step.ALLOCATE: planning.begin_allocate,
    Step.LABEL: parcels.begin_label,
    Step.HAND_OVER: parcels.begin_hand_over,
    Step.CAPTURE: money.begin_capture,
    Step.DELIVER: parcels.begin_deliver,
    Step.NOTIFY: ends.begin_notify,
    Step.CANCEL: ends.begin_cancel,
    Step.VOID: money.begin_void,
    Step.REFUND_LABEL: parcels.begin_refund_label,
    Step.EXPIRE: ends.begin_expire,
    Step.CLOSE: ends.begin_close,
}

_CONCLUDE: Mapping[Step, Callable[[OrderView, RunKey, outside.Answer, Context], Turn]] = {
    Step.RISK: money.conclude_risk,
    Step.AUTHORIZE: money.conclude_authorize,
    Step.LABEL: parcels.conclude_label,
    Step.HAND_OVER: parcels.conclude_hand_over,
    Step.CAPTURE: money.conclude_capture,
    Step.DELIVER: parcels.conclude_deliver,
    Step.NOTIFY: ends.conclude_notify,
    Step.VOID: money.conclude_void,
    Step.REFUND_LABEL: parcels.conclude_refund_label,
}
