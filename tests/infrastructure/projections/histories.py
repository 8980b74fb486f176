"""Histories that can happen: the real domain code driven by a random generator, a whole little company in memory.

Every event comes out of `begin`, `conclude` or a command, so a history has the order of events, the declines, holds, splits,
backorders and cancellations that the pipeline would write.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from domain import order as orders
from domain import outside, steps
from domain import process as processes
from domain import stock as stocks
from domain.errors import CommandRefused
from domain.order import CancelReason, HoldReason, OrderPlaced, ShippingPolicy
from domain.ports import Meta, Unit, Verdict
from domain.process import OrderView, Policy
from domain.routing import Warehouse
from domain.values import Address, Money, OrderLine
from domain.work import Run, RunKey, Step
from infrastructure.postgres.store import PostgresStore
from infrastructure.projections.facts import Fact, fact

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WAREHOUSES = (Warehouse(id="berlin", countries=("DE",)), Warehouse(id="leeds", countries=("GB",)))
SKUS = ("mug", "lamp+shade", "desk")


@dataclass
class Company:
    """Grows a history, one happening at a time. `appended` holds (stream, event) in the global order."""

    random: Random
    appended: list[tuple[str, Any]] = field(default_factory=list)
    views: dict[str, OrderView] = field(default_factory=dict)
    stock: dict[str, tuple[stocks.Stock, int]] = field(default_factory=dict)
    now: datetime = START
    prefix: str = "order."

    def live(self, happenings: int) -> "Company":
        """Let so many things happen."""
        for _ in range(happenings):
            self.now += timedelta(seconds=self.random.randint(1, 5000))
            chance = self.random.random()
            if chance < 0.12 or not self.views:
                self.place()
            elif chance < 0.18:
                self.receive()
            elif chance < 0.23:
                self.interfere(self.random.choice(list(self.views)))
            else:
                self.work(self.random.choice(list(self.views)))
        return self

    def finish(self) -> "Company":
        """Work until nothing is wanted any more; timers fire at once."""
        while sum(self.work(order_id) for order_id in self.views):
            self.now += timedelta(hours=1)
        return self

    def place(self, *, quantities: Sequence[int] | None = None) -> str:
        order_id = f"{self.prefix}{len(self.views) + 1}"
        amounts = quantities or [self.random.randint(1, 4) for _ in range(self.random.randint(1, 3))]
        lines = tuple(
            OrderLine(number=n, sku=self.random.choice(SKUS), quantity=quantity, amount=quantity * 999)
            for n, quantity in enumerate(amounts, start=1)
        )
        total = Money(amount=sum(line.amount for line in lines) + 490, currency="EUR")
        placed = OrderPlaced(
            order_id=order_id,
            customer_id=f"customer-{self.random.randint(1, 9)}",
            ship_to=Address(name="Ada Private", street="Secret Lane 1", city="Leeds", country="GB"),
            lines=lines,
            shipping=Money(amount=490, currency="EUR"),
            total=total,
            payment_token="tok_secret",
            policy=self.random.choice(list(ShippingPolicy)),
            content_hash=order_id,
            placed_at=self.now,
            note="ring twice",
        )
        self.views[order_id] = OrderView(order_id=order_id)
        self.append(processes.order_stream(order_id), (placed,))
        return order_id

    def receive(self, *, warehouse: str | None = None, sku: str | None = None, quantity: int = 5) -> None:
        where, what = warehouse or self.random.choice(WAREHOUSES).id, sku or self.random.choice(SKUS)
        stream = processes.stock_stream(where, what)
        commands: list[stocks.StockCommand] = [stocks.Receive(quantity=quantity, delivery="d", at=self.now)]
        if self.random.random() < 0.2:
            commands.append(stocks.Adjust(quantity=self.random.randint(-2, 2), reason="count", by="x", at=self.now))
        for command in commands:
            state = self.stock.get(stream, (stocks.Stock(), 0))[0]
            try:
                self.append(stream, tuple(stocks.decide(command, state)))
            except CommandRefused:
                continue

    def interfere(self, order_id: str) -> None:
        """A person holds, releases or cancels; or a step is given up and tried again."""
        view = self.views[order_id]
        failed = processes.StepFailed(
            step=Step.NOTIFY, part=0, ordinal=9, attempts=3, reason="Ada Private moved", at=self.now
        )
        again = processes.StepRetried(step=failed.step, part=0, ordinal=9, by="eve", note="n", at=self.now)
        if self.random.random() < 0.2:
            self.append(processes.process_stream(order_id), (self.random.choice([failed, again]),))
            return
        by = {"note": "Ada Private called", "by": "eve", "at": self.now}
        commands: list[orders.OrderCommand] = [
            orders.PlaceHold(reason=HoldReason.OTHER, **by),  # type: ignore[arg-type]
            orders.ReleaseHold(reason=None, **by),  # type: ignore[arg-type]
            orders.RequestCancellation(reason=CancelReason.CUSTOMER, handed_over=view.handed_over(), **by),  # type: ignore[arg-type]
        ]
        try:
            events = orders.decide(self.random.choice(commands), view.order)
        except CommandRefused:
            return
        self.append(processes.order_stream(order_id), tuple(events))

    def work(self, order_id: str) -> bool:
        """Do one of the things that the order wants; False: it wants none."""
        wants = sorted(processes.react(self.views[order_id], Policy()), key=lambda want: str(want.key))
        if not wants:
            return False
        want = self.random.choice(wants)
        if want.due is not None:
            self.now = max(self.now, want.due)
        self._run(want.key)
        return True

    def _run(self, key: RunKey) -> None:
        run = Run(key=key, attempts=1, epoch=1)
        needed = steps.stock_to_begin(self.views[key.order_id], key, WAREHOUSES)
        turn = steps.begin(self.views[key.order_id], run, self._context(needed))
        self._apply(turn)
        if turn.request is None:
            return
        if self.random.random() < 0.1:
            self._apply(steps.unknown(self.views[key.order_id], run, "silence", self.now))
        answer = self._answer(turn.request)
        needed = steps.stock_to_conclude(self.views[key.order_id], key)
        self._apply(steps.conclude(self.views[key.order_id], run, answer, self._context(needed)))

    def _context(self, needed: set[str]) -> steps.Context:
        book = steps.StockBook({stream: self.stock.get(stream, (stocks.Stock(), 0)) for stream in needed})
        return steps.Context(now=self.now, warehouses=WAREHOUSES, stock=book)

    def _apply(self, turn: steps.Turn) -> None:
        for stream, events in turn.changes:
            self.append(stream, events)

    def append(self, stream: str, events: Sequence[Any]) -> None:
        self.appended += [(stream, event) for event in events]
        category, _, subject = stream.partition("-")
        if category == "stock":
            state, version = self.stock.get(stream, (stocks.Stock(), 0))
            self.stock[stream] = (stocks.fold(events, state), version + len(events))
            return
        order_id = subject.rpartition("+")[0] if category == "fulfillment" else subject
        self.views[order_id] = processes.extend(self.views[order_id], stream, events)

    def _answer(self, request: outside.Request) -> outside.Answer:
        match request:
            case outside.AssessRisk():
                decision = self.random.choices(("approve", "review", "reject"), (85, 8, 7))[0]
                return outside.RiskVerdict(decision=decision, score=7, reasons=("velocity",))  # type: ignore[arg-type]
            case outside.AuthorizePayment(amount=amount) if self.random.random() < 0.85:
                expires = self.now + timedelta(days=7)
                return outside.PaymentAuthorized(reference="auth", amount=amount, expires_at=expires)
            case outside.AuthorizePayment():
                return outside.PaymentDeclined(code="no_funds", hard=self.random.random() < 0.5)
            case outside.TrackParcel():
                return outside.ParcelStatus(status="delivered", at=self.now)
            case _:
                return self._perhaps(request)

    def _perhaps(self, request: outside.Request) -> outside.Answer:
        if self.random.random() < 0.15 and not isinstance(request, outside.NotifyCustomer):
            return outside.Refused(code="no")
        return agree(request, self.now)


def agree(request: outside.Request, now: datetime) -> outside.Answer:
    """The outside does what it is asked for."""
    match request:
        case outside.CapturePayment(amount=amount):
            return outside.PaymentCaptured(reference="cap", amount=amount)
        case outside.VoidPayment():
            return outside.PaymentVoided(reference="void")
        case outside.BuyLabel():
            return outside.LabelBought(tracking="T1", carrier="UPS", cost=Money(amount=390, currency="EUR"))
        case outside.RefundLabel():
            return outside.LabelRefunded(tracking="T1")
        case outside.HandOverParcel():
            return outside.ParcelAccepted(scan_id="S1", at=now)
        case _:
            return outside.CustomerNotified(message_id="m1")


def company(seed: int, happenings: int) -> Company:
    """A company with some stock and a history of so many happenings."""
    grown = Company(random=Random(seed))
    for sku in SKUS:
        grown.receive(warehouse="berlin", sku=sku, quantity=3)
    return grown.live(happenings)


def facts(appended: Sequence[tuple[str, Any]]) -> Iterator[Fact]:
    """The history as a projection sees it."""
    versions: dict[str, int] = {}
    for position, (stream, event) in enumerate(appended, start=1):
        versions[stream] = versions.get(stream, 0) + 1
        yield fact(position, stream, versions[stream], event, START + timedelta(seconds=position))


def store_events(dsn: str, appended: Sequence[tuple[str, Any]]) -> None:
    """Append a history, or the rest of one whose beginning is stored."""
    store = PostgresStore(dsn, size=1)
    try:
        versions = {stream: 0 for stream, _ in appended}
        for event in store.read(versions):
            versions[event.stream] = max(versions[event.stream], event.version)
        for start in range(0, len(appended), 500):
            verdicts = store.append([_unit(versions, *change) for change in appended[start : start + 500]])
            assert set(verdicts) == {Verdict(outcome="appended")}
    finally:
        store.close()


def _unit(versions: dict[str, int], stream: str, event: Any) -> Unit:
    expected = {stream: versions[stream]}
    versions[stream] += 1
    command = f"{stream} {versions[stream]}"
    return Unit(lock=stream, expected=expected, events=[(stream, event)], meta=Meta(command_id=command))
