"""The pipeline without a machine: orders, stock and an outside world, moved one decision at a time.

It does what the shell does and no more: it takes a run that `react` wants, begins it, appends the turn, asks the outside, appends
the conclusion. Between any two of these it may be killed, and anybody may command. What it appends it checks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from domain import order as orders
from domain import outside, steps
from domain import process as processes
from domain import stock as stocks
from domain.errors import CommandRefused
from domain.process import OrderView, Policy, is_stuck, react
from domain.routing import Warehouse
from domain.work import Run, RunKey, Step, Want
from tests.domain.laws import check_change, check_order, check_stock
from tests.domain.outside_world import WITHOUT_INTENT, OutsideWorld

START = datetime(2026, 5, 1, tzinfo=UTC)
WAREHOUSES = (Warehouse(id="north", countries=("NO", "SE")), Warehouse(id="south", countries=("IT",)))
SKUS = ("cup", "pot", "tea")
WITH_INTENT = frozenset({Step.AUTHORIZE, Step.CAPTURE, Step.VOID, Step.LABEL, Step.HAND_OVER, Step.REFUND_LABEL})


@dataclass
class Call:
    """A request under way: the run is claimed, its intent recorded, the answer not there yet."""

    run: Run
    turn: steps.Turn

    @property
    def request(self) -> outside.Request:
        assert self.turn.request is not None
        return self.turn.request


@dataclass
class Pipeline:
    """All orders, all stock."""

    chance: Random = field(default_factory=lambda: Random(0))
    now: datetime = START
    policy: Policy = field(default_factory=Policy)
    world: OutsideWorld = field(default_factory=OutsideWorld)
    views: dict[str, OrderView] = field(default_factory=dict)
    log: dict[str, list[object]] = field(default_factory=dict)
    later: dict[RunKey, datetime] = field(default_factory=dict)
    calls: dict[RunKey, Call] = field(default_factory=dict)
    dead: set[RunKey] = field(default_factory=set)

    def __post_init__(self) -> None:
        for warehouse in WAREHOUSES:
            for sku in SKUS:
                self.log[processes.stock_stream(warehouse.id, sku)] = []

    # --- what the shell does ---

    def wants(self, order_id: str) -> frozenset[Want]:
        return react(self.views[order_id], self.policy)

    def due(self, order_id: str) -> list[RunKey]:
        """The runs that may be claimed now."""
        due = [want.key for want in self.wants(order_id) if want.due is None or want.due <= self.now]
        return sorted(
            (key for key in due if self.later.get(key, self.now) <= self.now and key not in self.dead), key=str
        )

    def all_due(self) -> list[RunKey]:
        return [key for order_id in sorted(self.views) for key in self.due(order_id)]

    def begin(self, key: RunKey) -> None:
        """Claim a run and begin it; a call of a former holder is fenced off."""
        view, run = self.views[key.order_id], Run(key, 1, 1)
        lost = self.calls.pop(key, None)
        needed = steps.stock_to_begin(view, key, WAREHOUSES)
        turn = steps.begin(view, run, self._context(needed))
        self._append(key.order_id, turn)
        if turn.request is None:
            self._must_be_over(key, turn)
            return
        self._check_intent(key, turn, lost)
        self.calls[key] = Call(run, turn)

    def conclude(self, key: RunKey, *, lost: bool = False) -> None:
        """The outside acts, unless it may only be asked and knows nothing; its answer is heard, or lost."""
        call = self.calls.pop(key)
        answer = self.world.inquire(call.request, self.now) if call.turn.inquire else None
        if answer is None and not call.turn.act:
            self.give_up(key)
            return
        answer = answer or self.world.ask(call.request, self.chance, self.now)
        view = self.views[key.order_id]
        if lost:
            self._append(key.order_id, steps.unknown(view, call.run, "timed out", self.now))
            return
        needed = steps.stock_to_conclude(view, key)
        turn = steps.conclude(view, call.run, answer, self._context(needed))
        self._append(key.order_id, turn)
        self._must_be_over(key, turn)
        again = steps.conclude(self.views[key.order_id], call.run, answer, self._context(needed))
        if key.step in WITH_INTENT:
            assert not again.changes, f"{key}: the same answer twice changed something: {again.changes}"

    def kill(self) -> None:
        """Every worker is gone, some of them between the act of the outside and its answer."""
        for call in self.calls.values():
            known = self.world.inquire(call.request, self.now) if call.turn.inquire else None
            if known is None and call.turn.act and self.chance.random() < 0.5:
                self.world.ask(call.request, self.chance, self.now)
        self.calls.clear()

    def give_up(self, key: RunKey) -> None:
        """The run has used up its attempts: it is a dead letter, and its order knows."""
        self.calls.pop(key, None)
        self.dead.add(key)
        failed = processes.StepFailed(
            step=key.step, part=key.part, ordinal=key.ordinal, attempts=9, reason="worn out", at=self.now
        )
        self._append_to(key.order_id, processes.process_stream(key.order_id), [failed])

    def retry_the_dead(self) -> None:
        """A person has mended the cause."""
        for key in sorted(self.dead, key=str):
            self._decide(processes.StepRetried, key)
        self.dead.clear()

    def discard(self, key: RunKey) -> None:
        """A person does not want the run tried again; nobody who retries the others retries it."""
        self._decide(processes.StepDiscarded, key)

    def restore(self, key: RunKey) -> None:
        """The person has thought better of it."""
        self._decide(processes.StepRestored, key)

    def attend(self) -> None:
        """A person goes through the list: what may have happened is looked up and concluded, all else is tried again."""
        for key in sorted(self.dead, key=str):
            self.conclude_by_hand(key)
        self.retry_the_dead()

    def _decide(self, kind: Callable[..., processes.ProcessEvent], key: RunKey) -> None:
        event = kind(step=key.step, part=key.part, ordinal=key.ordinal, by="ann", note="", at=self.now)
        self._append_to(key.order_id, processes.process_stream(key.order_id), [event])

    def conclude_by_hand(self, key: RunKey) -> None:
        """A person has looked into the books of the other side, which are never forgotten, and tells what became of it."""
        view = self.views[key.order_id]
        if not steps.can_conclude(view, key) or key.step is Step.DELIVER:
            return
        answer = self.world.by_key.get(open_key(view, key))
        happened = answer is not None and not isinstance(answer, outside.Refused | outside.PaymentDeclined)
        needed = steps.stock_to_conclude(view, key)
        self._append(key.order_id, steps.by_hand(view, key, happened, reference_of(answer), self._context(needed)))
        self._must_be_over(key, steps.Turn())
        self.dead.discard(key)

    def _check_intent(self, key: RunKey, turn: steps.Turn, lost: Call | None) -> None:
        """What may have been asked before is inquired; what is begun again changes nothing and asks the same."""
        if key.step not in WITH_INTENT:
            return
        assert turn.request is not None
        assert not isinstance(turn.request, WITHOUT_INTENT)
        assert turn.inquire or turn.request.key not in self.world.by_key, f"{key} is asked twice"
        assert turn.inquire or turn.act, f"{key}: only asked, and not even that"
        if lost is not None:
            assert turn.inquire, f"{key}: a former holder may have asked"
        view = self.views[key.order_id]
        again = steps.begin(view, Run(key, 2, 2), self._context(set()))
        assert again == steps.Turn(request=turn.request, inquire=True, act=turn.act, act_within=again.act_within)
        assert (again.act_within is not None) == turn.act, f"{key}: a repeat that is bounded by nothing"
        assert key in {want.key for want in self.wants(key.order_id)}, f"{key}: a recorded intent is not wanted"

    def _must_be_over(self, key: RunKey, turn: steps.Turn) -> None:
        if turn.again_after is not None:
            self.later[key] = self.now + turn.again_after
            return
        assert key not in {want.key for want in self.wants(key.order_id)}, f"{key} goes round in circles"

    def _context(self, needed: set[str]) -> steps.Context:
        book = steps.StockBook({stream: (self.stock(stream), len(self.log[stream])) for stream in needed})
        return steps.Context(now=self.now, policy=self.policy, warehouses=WAREHOUSES, stock=book)

    def _append(self, order_id: str, turn: steps.Turn) -> None:
        for stream, events in turn.changes:
            assert events, f"{stream}: an empty change"
            self._append_to(order_id, stream, events)

    def _append_to(self, order_id: str, stream: str, events: Sequence[steps.StreamEvent]) -> None:
        if stream not in self.log or not stream.startswith("stock-"):
            view = self.views[order_id]
            for event in events:
                check_change(view, stream, event)
            self.views[order_id] = processes.extend(view, stream, events)  # type: ignore[arg-type]
        self.log.setdefault(stream, []).extend(events)

    # --- what people do ---

    def stock(self, stream: str) -> stocks.Stock:
        return stocks.fold(self.log[stream])  # type: ignore[arg-type]

    def place(self, placed: orders.OrderPlaced) -> None:
        self.views[placed.order_id] = OrderView(order_id=placed.order_id)
        self.command(placed.order_id, orders.PlaceOrder(placed=placed))

    def command(self, order_id: str, command: orders.OrderCommand) -> None:
        """An operator's command; a refusal is an answer."""
        try:
            events = orders.decide(command, self.views[order_id].order)
        except CommandRefused:
            return
        if events:
            self._append_to(order_id, processes.order_stream(order_id), events)

    def hold(self, order_id: str, reason: orders.HoldReason, until: datetime | None) -> None:
        self.command(order_id, orders.PlaceHold(reason=reason, note="", by="ann", at=self.now, until=until))

    def release(self, order_id: str, reason: orders.HoldReason | None = None) -> None:
        self.command(order_id, orders.ReleaseHold(reason=reason, note="", by="ann", at=self.now))

    def cancel(self, order_id: str) -> None:
        handed_over = self.views[order_id].handed_over()
        reason = orders.CancelReason.CUSTOMER
        self.command(
            order_id,
            orders.RequestCancellation(reason=reason, note="", by="bob", at=self.now, handed_over=handed_over),
        )

    def on_stock(self, stream: str, command: stocks.StockCommand) -> None:
        """Goods arrive, or are counted; whoever waits for them is woken."""
        try:
            events = stocks.decide(command, self.stock(stream))
        except CommandRefused:
            return
        self.log[stream].extend(events)
        for order_id in self.stock(stream).fillable():
            for key in self.due(order_id):
                self.later.pop(key, None)

    # --- time ---

    def work(self, steps_: int) -> None:
        """So many random pieces of work: begun, answered, lost, or left behind by a kill."""
        for _ in range(steps_):
            under_way, due = sorted(self.calls, key=str), self.all_due()
            if under_way and (not due or self.chance.random() < 0.6):
                self.conclude(self.chance.choice(under_way), lost=self.world.moody and self.chance.random() < 0.1)
            elif due:
                self.begin(self.chance.choice(due))
            else:
                return
            self.check()

    def wait(self, hours: int) -> None:
        """Time passes. No call takes hours: those under way are lost, or rather their workers are."""
        if hours > 1:
            self.kill()
        self.now += timedelta(hours=hours)

    def settle(self) -> None:
        """Work until there is none, following the parcels; a pipeline that does not come to rest is broken."""
        for _ in range(2000):
            if not self.calls and not self.all_due():
                if not self._pass_time():
                    return
                continue
            self.work(1)
        raise AssertionError(f"no end in sight: {[str(key) for key in self.all_due()]}")

    def _pass_time(self) -> bool:
        """Move on to the next delivery; waiting for goods and people is not waited for."""
        parcels = [at for key, at in self.later.items() if key.step is Step.DELIVER and at > self.now]
        if parcels:
            self.now = min(parcels)
        return bool(parcels)

    def check(self) -> None:
        """Every law, on everything."""
        for order_id, view in self.views.items():
            check_order(view, self.log)
            if not view.order.to_plan():
                assert RunKey(order_id, Step.RISK) not in {want.key for want in self.wants(order_id)}
            assert not is_stuck(view, self.policy) or view.process.discarded, (
                f"{order_id} is open and nothing will move it"
            )
            assert self.wants(order_id) == react(refold(order_id, self.log), self.policy), (
                "wants are not a function of the events"
            )
        check_stock(self.log, self.views)


def refold(order_id: str, log: dict[str, list[object]]) -> OrderView:
    """The view of an order, from all of its events."""
    view = OrderView(order_id=order_id)
    named = [processes.order_stream, processes.payment_stream, processes.process_stream]
    for stream in [name(order_id) for name in named]:
        view = processes.extend(view, stream, log.get(stream, []))  # type: ignore[arg-type]
    for stream in sorted(log):
        if stream.startswith(f"fulfillment-{order_id}+"):
            view = processes.extend(view, stream, log[stream])  # type: ignore[arg-type]
    return view


def open_key(view: OrderView, key: RunKey) -> str:
    """The idempotency key of the operation of a run."""
    parcel = view.fulfillments.get(key.part)
    if parcel and parcel.open == key.step:
        return parcel.open_key
    return view.payment.open.key if view.payment.open else ""


def reference_of(answer: object) -> str:
    """What the other side calls its act."""
    names = ("reference", "tracking", "scan_id")
    return next((getattr(answer, name) for name in names if hasattr(answer, name)), "")
