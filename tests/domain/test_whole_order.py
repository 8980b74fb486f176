"""Whole orders under faults and commands at any moment: every order comes to its end, and the laws hold all the way."""

from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import order as orders
from domain import stock as stocks
from domain.process import fulfillment_id, stock_stream
from domain.values import Address, Money, OrderLine
from tests.domain.simulation import SKUS, WAREHOUSES, Pipeline

MAX_ORDERS = 4
STREAMS = [stock_stream(warehouse.id, sku) for warehouse in WAREHOUSES for sku in SKUS]
LINES = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 5), st.integers(1, 1000)), min_size=1, max_size=3)


def new_order(
    number: int, lines: list[tuple[str, int, int]], shipping: int, policy: orders.ShippingPolicy, country: str, at: Any
) -> orders.OrderPlaced:
    placed = tuple(
        OrderLine(number=place, sku=sku, quantity=quantity, amount=amount)
        for place, (sku, quantity, amount) in enumerate(lines, start=1)
    )
    total = sum(line.amount for line in placed) + shipping
    return orders.OrderPlaced(
        order_id=f"o{number}",
        customer_id="c1",
        ship_to=Address(name="A", street="B", city="C", country=country),
        lines=placed,
        shipping=Money(amount=shipping, currency="EUR"),
        total=Money(amount=total, currency="EUR"),
        payment_token="tok",
        policy=policy,
        content_hash=f"h{number}",
        placed_at=at,
    )


class WholeOrders(RuleBasedStateMachine):
    """Customers, operators, warehouses, faults: all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = Pipeline()

    @initialize(seed=st.integers(0, 2**32), amounts=st.lists(st.integers(0, 8), min_size=6, max_size=6))
    def open_shop(self, seed: int, amounts: list[int]) -> None:
        self.pipeline.chance = Random(seed)
        for stream, quantity in zip(STREAMS, amounts, strict=True):
            self.pipeline.on_stock(stream, stocks.Receive(quantity=quantity, delivery="first", at=self.pipeline.now))

    @precondition(lambda self: len(self.pipeline.views) < MAX_ORDERS)
    @rule(
        lines=LINES,
        shipping=st.sampled_from([0, 499]),
        policy=st.sampled_from(orders.ShippingPolicy),
        country=st.sampled_from(["NO", "IT", "DE"]),
    )
    def place(
        self, lines: list[tuple[str, int, int]], shipping: int, policy: orders.ShippingPolicy, country: str
    ) -> None:
        number = len(self.pipeline.views) + 1
        self.pipeline.place(new_order(number, lines, shipping, policy, country, self.pipeline.now))

    @rule(pieces=st.integers(1, 12))
    def work(self, pieces: int) -> None:
        self.pipeline.work(pieces)

    @precondition(lambda self: self.pipeline.calls)
    @rule()
    def kill_the_workers(self) -> None:
        self.pipeline.kill()

    @precondition(lambda self: self.pipeline.all_due())
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.pipeline.give_up(data.draw(st.sampled_from(self.pipeline.all_due())))

    @rule()
    def retry_the_dead(self) -> None:
        self.pipeline.retry_the_dead()

    @precondition(lambda self: self.pipeline.dead)
    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        pipeline = self.pipeline
        decide = data.draw(st.sampled_from([pipeline.discard, pipeline.restore, pipeline.conclude_by_hand]))
        decide(data.draw(st.sampled_from(sorted(pipeline.dead, key=str))))

    @precondition(lambda self: self.pipeline.views)
    @rule(
        data=st.data(),
        reason=st.sampled_from(orders.HoldReason),
        days=st.one_of(st.none(), st.integers(1, 4)),
    )
    def hold(self, data: st.DataObject, reason: orders.HoldReason, days: int | None) -> None:
        until = self.pipeline.now + timedelta(days=days) if days else None
        self.pipeline.hold(self._some_order(data), reason, until)

    @precondition(lambda self: self.pipeline.views)
    @rule(data=st.data(), reason=st.one_of(st.none(), st.sampled_from(orders.HoldReason)))
    def release(self, data: st.DataObject, reason: orders.HoldReason | None) -> None:
        self.pipeline.release(self._some_order(data), reason)

    @precondition(lambda self: self.pipeline.views)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.pipeline.cancel(self._some_order(data))

    @rule(stream=st.sampled_from(STREAMS), quantity=st.integers(1, 6))
    def receive(self, stream: str, quantity: int) -> None:
        self.pipeline.on_stock(stream, stocks.Receive(quantity=quantity, delivery="next", at=self.pipeline.now))

    @rule(stream=st.sampled_from(STREAMS), quantity=st.integers(-4, 4))
    def adjust(self, stream: str, quantity: int) -> None:
        counted = stocks.Adjust(quantity=quantity, reason="count", by="eve", at=self.pipeline.now)
        self.pipeline.on_stock(stream, counted)

    @rule(hours=st.sampled_from([1, 24, 24 * 4, 24 * 31]))
    def wait(self, hours: int) -> None:
        self.pipeline.wait(hours)

    @invariant()
    def laws_hold(self) -> None:
        self.pipeline.check()

    def _some_order(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.pipeline.views)))

    def teardown(self) -> None:
        finish(self.pipeline)


def finish(pipeline: Pipeline) -> None:
    """Faults stop; what does not end by itself is released, then cancelled; then everything has ended well."""
    pipeline.world.moody = False
    pipeline.kill()
    _settle(pipeline)
    for end in (pipeline.release, pipeline.cancel, pipeline.release):
        for order_id in pipeline.views:
            end(order_id)
        _settle(pipeline)
    for order_id in pipeline.views:
        check_end(pipeline, order_id)


def _settle(pipeline: Pipeline) -> None:
    """Until nothing is left to do and nothing is left to decide."""
    pipeline.settle()
    while pipeline.dead:
        pipeline.attend()
        pipeline.settle()


def check_end(pipeline: Pipeline, order_id: str) -> None:
    """Closed, nothing left to do, nothing held: neither money nor stock nor a label."""
    view = pipeline.views[order_id]
    assert view.order.closed, f"{order_id} never ends; wants {pipeline.wants(order_id)}"
    assert not pipeline.wants(order_id)
    assert view.payment.remainder() == 0 or view.payment.void_failed
    for number, parcel in view.fulfillments.items():
        assert parcel.open is None
        if parcel.stood_down:
            assert parcel.label_refund or not parcel.tracking, "a label was paid for and not asked back"
        else:
            assert parcel.delivered
            assert fulfillment_id(order_id, number) in view.payment.captured
    placed = view.order.placed
    assert placed
    if view.order.closed == "delivered":
        assert view.payment.captured_total() == placed.total.amount
    captured = pipeline.world.captured
    by_gateway = sum(amount for key, amount in captured.items() if key.startswith(f"pay-{order_id}:"))
    assert by_gateway == view.payment.captured_total(), "the gateway's books differ from ours"
    for stream in STREAMS:
        stock = pipeline.stock(stream)
        assert order_id not in stock.backorders
        assert not any(key.startswith(f"{order_id}+") for key in stock.allocations)


WholeOrders.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWholeOrders = WholeOrders.TestCase
