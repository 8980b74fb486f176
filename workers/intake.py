"""Intake: from submissions to accepted orders. An order is accepted when its first event is committed, and not before.

Accepting is idempotent by the order's key. Whoever got no answer submits again: the same content under the same key is told to be
known already, other content is refused, and there is one order either way. So no outcome here is ever dangerous to repeat, and a
`StoreUnavailable` may simply be tried again by the caller.

After the commit the first step is announced to the workers. A broker that is away costs nothing but time: the relay announces what
was not, so its errors are logged and it is left alone for a while.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from domain import order as orders
from domain.errors import CommandRefused, IntakeClosed, Poison, StoreUnavailable
from domain.order import Order, OrderPlaced, PlaceOrder
from domain.ports import NO_STREAM, EventStore, Meta, Unit
from domain.process import OrderView, Policy, order_stream, react
from domain.work import Step
from infrastructure.failpoints import reach
from infrastructure.intake import FieldError, OrderSubmission, to_placed

log = structlog.get_logger()

Announce = Callable[[Sequence[tuple[Step, str]]], None]

QUIET_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The order is new and stored."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyKnown:
    """The very same order was accepted before."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was stored."""

    order_id: str | None
    errors: tuple[FieldError, ...]


Outcome = Accepted | AlreadyKnown | Refused


class Intake:
    """May be shared between threads."""

    def __init__(
        self,
        store: EventStore,
        announce: Announce,
        policy: Policy | None = None,
        *,
        actor: str = "intake",
        clock: Callable[[], float] = monotonic,
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._is_open = is_open
        self._announce = announce
        self._policy = policy or Policy()
        self._actor = actor
        self._clock = clock
        self._quiet_until = float("-inf")

    def accept(self, batch: Sequence[OrderSubmission]) -> list[Outcome]:
        """One outcome a submission, in their order. Raises `StoreUnavailable` and `IntakeClosed`; then submitting again is safe."""
        if not self._is_open():
            raise IntakeClosed
        try:
            return self._accept(batch)
        except (CommandRefused, Poison) as error:
            if len(batch) > 1:
                return [outcome for one in batch for outcome in self.accept([one])]
            return [_refused_alone(batch[0], error)]

    def _accept(self, batch: Sequence[OrderSubmission]) -> list[Outcome]:
        now = self._store.now()
        asked = [to_placed(order, now) for order in batch]
        firsts: dict[str, OrderPlaced] = {}
        for placed in asked:
            firsts.setdefault(placed.order_id, placed)
        fresh = self._append(list(firsts.values()))
        known = self._stored([order_id for order_id in firsts if order_id not in fresh]) | fresh
        return [_outcome(placed, known[placed.order_id], fresh) for placed in asked]

    def _append(self, placed: Sequence[OrderPlaced]) -> dict[str, Order]:
        """Those orders of the batch that were new."""
        units = [self._unit(one) for one in placed]
        reach("before_accept")
        verdicts = self._store.append(units)
        reach("after_accept_before_announce")
        new = [
            pair
            for pair, verdict in zip(zip(placed, units, strict=True), verdicts, strict=True)
            if verdict.outcome == "appended"
        ]
        self._wake([(want.key.step, one.order_id) for one, unit in new for want in unit.wanted if want.due is None])
        return {one.order_id: Order(placed=one, holds={}) for one, _ in new}

    def _unit(self, placed: OrderPlaced) -> Unit:
        stream = order_stream(placed.order_id)
        events = orders.decide(PlaceOrder(placed=placed), orders.DECIDER.initial)
        view = OrderView(
            order_id=placed.order_id, order=orders.DECIDER.fold(events), versions={stream: NO_STREAM + len(events)}
        )
        command = f"place:{placed.order_id}"
        return Unit(
            lock=placed.order_id,
            expected={stream: NO_STREAM},
            events=[(stream, event) for event in events],
            meta=Meta(command_id=command, causation_id=command, correlation_id=placed.order_id, actor=self._actor),
            wanted=tuple(react(view, self._policy)),
        )

    def _stored(self, order_ids: Sequence[str]) -> dict[str, Order]:
        """The orders that were accepted before."""
        if not order_ids:
            return {}
        found = dict.fromkeys(order_ids, orders.DECIDER.initial)
        for recorded in self._store.read({order_stream(order_id): NO_STREAM for order_id in order_ids}):
            order_id = recorded.stream.removeprefix("order-")
            found[order_id] = orders.DECIDER.evolve(found[order_id], recorded.event)
        if any(order.placed is None for order in found.values()):
            raise StoreUnavailable("an order was neither appended nor found; try again")
        return found

    def _wake(self, steps: Sequence[tuple[Step, str]]) -> None:
        if not steps or self._clock() < self._quiet_until:
            return
        try:
            self._announce(steps)
        except Exception as error:  # noqa: BLE001 - the orders are accepted, whatever the broker says
            self._quiet_until = self._clock() + QUIET_S
            log.warning("orders accepted but not announced; the relay will", orders=len(steps), reason=str(error))


def _outcome(placed: OrderPlaced, known: Order, fresh: Mapping[str, Order]) -> Outcome:
    if placed.order_id in fresh and known.placed is placed:
        return Accepted(order_id=placed.order_id)
    try:
        orders.decide(PlaceOrder(placed=placed), known)
    except CommandRefused as refusal:
        return _refused(placed.order_id, refusal)
    return AlreadyKnown(order_id=placed.order_id)


def _refused(order_id: str, refusal: CommandRefused) -> Refused:
    error = FieldError(field=refusal.field or "order", reason=refusal.reason)
    return Refused(order_id=order_id, errors=(error,))


def _refused_alone(order: OrderSubmission, error: CommandRefused | Poison) -> Refused:
    """What the schema let through and the domain or the store did not."""
    if isinstance(error, CommandRefused):
        return _refused(order.order_id, error)
    log.warning("an order cannot be stored", order_id=order.order_id, reason=type(error).__name__)
    reason = "cannot be stored, or not compared with what is stored under its key"
    return Refused(order_id=order.order_id, errors=(FieldError(field="order", reason=reason),))
