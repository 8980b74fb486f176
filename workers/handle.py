"""A person's command on one order or one stock: read, decide, append; on a conflict again.

The unit expects every stream of the order as it was read, so a command never decides on a view that a worker has just changed. What
the process manager wants because of it is written with it. A repeated command id does nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from domain import order as orders
from domain import process as processes
from domain import stock as stocks
from domain.errors import CommandRefused, VersionConflict
from domain.ports import Meta, Unit, Verdict
from domain.process import OrderView, Policy
from infrastructure.failpoints import reach
from workers.announce import Announce
from workers.batch import Batch, Store
from workers.turns import Known

TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The names of the events that a command caused; none: there was nothing to do, or the command id was known.

    `awaited`: the keys of the operations whose outcome a cancellation waits for.
    """

    events: tuple[str, ...]
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Commands for orders and stock on one store. Errors: `CommandRefused`, `StoreUnavailable`."""

    store: Store
    announce: Announce
    policy: Policy

    def on_order(
        self,
        order_id: str,
        command: Callable[[OrderView, datetime], orders.OrderCommand],
        *,
        command_id: str,
        actor: str,
    ) -> Done:
        """`command` makes the command from the order as it is now and the time."""
        stream = processes.order_stream(order_id)
        meta = Meta(command_id=command_id, causation_id=command_id, correlation_id=order_id, actor=actor)
        return self._unless_done(meta, stream, lambda: self._on_order(order_id, command, meta))

    def _on_order(
        self, order_id: str, command: Callable[[OrderView, datetime], orders.OrderCommand], meta: Meta
    ) -> Done:
        stream = processes.order_stream(order_id)
        verdict = Verdict(outcome="conflict", stream=stream)
        for _ in range(TRIES):
            known = self.known(order_id)
            events = orders.decide(command(known.view, self.store.now()), known.view.order)
            view = processes.extend(known.view, stream, events)
            awaited = processes.awaited(view) if view.order.cancelling else ()
            if not events:
                return Done(events=(), awaited=awaited)
            after = processes.react(view, self.policy)
            before = {want.key for want in known.wants}
            fresh = sorted(want for want in after if want.key not in before)
            keys = {want.key for want in after}
            unit = Unit(
                lock=order_id,
                expected=known.view.versions,
                events=[(stream, event) for event in events],
                meta=meta,
                wanted=fresh,
                dropped=sorted(before - keys),
            )
            reach("before_command")
            verdict = self.store.append([unit])[0]
            if verdict.outcome == "appended":
                self.announce((want.key.step, order_id) for want in fresh if want.due is None)
                return Done(events=tuple(type(event).__name__ for event in events), awaited=awaited)
            if verdict.outcome == "repeated":
                return Done(events=())
        raise _conflict(verdict)

    def on_stock(self, warehouse: str, sku: str, command: stocks.StockCommand, *, command_id: str, actor: str) -> Done:
        """One command on one stock; orders at the head of its queue are planned again if something came in.

        Raises `CommandRefused` for the id of a delivery that was received with another quantity.
        """
        stream = processes.stock_stream(warehouse, sku)
        meta = Meta(command_id=command_id, causation_id=command_id, actor=actor)
        done = self._unless_done(meta, stream, lambda: self._on_stock(stream, command, meta))
        if not done.events and isinstance(command, stocks.Receive):
            self._refuse_another_delivery(stream, command, meta)
        return done

    def _on_stock(self, stream: str, command: stocks.StockCommand, meta: Meta) -> Done:
        verdict = Verdict(outcome="conflict", stream=stream)
        for _ in range(TRIES):
            with self.store.transaction() as transaction:
                transaction.lock([stream, f"command {meta.command_id}"])
                history = transaction.read({stream: 0})
                before = stocks.fold([recorded.event for recorded in history])
                events = stocks.decide(command, before)
                if not events:
                    return Done(events=())
                waiting = stocks.fold(events, before).fillable()
                unit = Unit(
                    lock=stream,
                    expected={stream: len(history)},
                    events=[(stream, event) for event in events],
                    meta=meta,
                    due_now=waiting,
                )
                verdict = transaction.append([unit])[0]
            if verdict.outcome == "appended":
                self.announce(("allocate", order_id) for order_id in waiting)
                return Done(events=tuple(type(event).__name__ for event in events))
            if verdict.outcome == "repeated":
                return Done(events=())
        raise _conflict(verdict)

    def _refuse_another_delivery(self, stream: str, command: stocks.Receive, meta: Meta) -> None:
        for recorded in self.store.read({stream: 0}):
            if recorded.meta.command_id == meta.command_id and recorded.event.quantity != command.quantity:
                raise CommandRefused(
                    f"this delivery was received with {recorded.event.quantity} units before", field="quantity"
                )

    def _unless_done(self, meta: Meta, stream: str, attempt: Callable[[], Done]) -> Done:
        """Repeating a command that was done is no refusal, even if it could not be done once more."""
        try:
            return attempt()
        except CommandRefused:
            never = Unit(lock=stream, expected={stream: -1}, events=(), meta=meta)
            if self.store.append([never])[0].outcome == "repeated":
                return Done(events=())
            raise

    def known(self, order_id: str) -> Known:
        """The order as it is now. Raises `CommandRefused` if there is none."""
        batch = Batch(self.store, self.policy, ())
        known = batch.look(order_id)
        if known.view.order.placed is None:
            raise CommandRefused(f"there is no order {order_id}")
        return known


def _conflict(verdict: Verdict) -> VersionConflict:
    return VersionConflict(verdict.stream, expected=verdict.expected, current=verdict.current)


def cancel(reason: orders.CancelReason, note: str, by: str) -> Callable[[OrderView, datetime], orders.OrderCommand]:
    """Cancel what is not handed over yet."""

    def command(view: OrderView, now: datetime) -> orders.OrderCommand:
        return orders.RequestCancellation(reason=reason, note=note, by=by, at=now, handed_over=view.handed_over())

    return command


def hold(
    reason: orders.HoldReason, note: str, by: str, until: datetime | None = None
) -> Callable[[OrderView, datetime], orders.OrderCommand]:
    """Stop everything before the hand-over until the hold is released."""
    return lambda _, now: orders.PlaceHold(reason=reason, note=note, by=by, at=now, until=until)


def release(
    reason: orders.HoldReason | None, note: str, by: str
) -> Callable[[OrderView, datetime], orders.OrderCommand]:
    """Release one hold, or all of them."""
    return lambda _, now: orders.ReleaseHold(reason=reason, note=note, by=by, at=now)
