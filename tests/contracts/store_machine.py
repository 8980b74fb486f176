"""Random lives of a store, compared with a model after every step.

`run_store_machine(harness)` lets Hypothesis draw units that write one or many streams, stale or fresh, repeated, building on each
other; runs that are wanted, carried on, claimed by two holders, settled with right and wrong epochs, dropped; clocks that go on, leases that
run out, holders who leave. Every example starts from an empty work list and uses orders of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.ports import Holder, Settled, Unit
from domain.process import order_stream, payment_stream, stock_stream
from domain.work import RunKey, Step, Want
from tests.contracts.store_model import StoreModel
from tests.contracts.stores import HOUR, Advance, Store, meta, note

STEPS = [Step.ALLOCATE, Step.LABEL]
ORDERS = [0, 1, 2]
MANY = 10_000


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A store whose work list is empty and that knows no order with the prefix yet."""

    store: Store
    advance: Advance
    prefix: str


class StoreMachine(RuleBasedStateMachine):
    """The rules; the strategies choose places, the machine looks up what is there."""

    fresh: ClassVar[Callable[[], Harness]]

    @initialize()
    def begin(self) -> None:
        harness = type(self).fresh()
        self.store, self.advance_store, self.prefix = harness.store, harness.advance, harness.prefix
        self.model = StoreModel()
        self.start = self.store.low_water_mark()
        self.letters_before = len(self.store.dead_letters())
        self.holders: list[Holder] = [self._register(), self._register()]
        self.count = 0

    # --- drawing ---

    def _register(self) -> Holder:
        holder = self.store.register("machine", 3 * HOUR)
        self.model.leases[holder.id] = self.model.now + 3
        return holder

    def _key(self, order: int, step: Step, part: int) -> RunKey:
        return RunKey(f"{self.prefix}{order}", step, part)

    def _streams(self) -> list[str]:
        orders = [f"{self.prefix}{order}" for order in ORDERS]
        return [*map(order_stream, orders), *map(payment_stream, orders), stock_stream(self.prefix, "sku")]

    def _unit(self, data: st.DataObject, seen: dict[str, int], dues: dict[RunKey, float]) -> Unit:
        """Draw a unit that has seen the versions `seen`, or now and then others."""
        streams = data.draw(st.lists(st.sampled_from(self._streams()), max_size=3))
        read = data.draw(st.lists(st.sampled_from(self._streams()), max_size=1))
        staleness = data.draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]))
        expected = {stream: seen[stream] for stream in [*streams, *read]}
        if expected and staleness:
            expected[min(expected)] = max(0, expected[min(expected)] + staleness)
        events = []
        for stream in streams:
            self.count += 1
            events.append((stream, note(f"{self.prefix}{self.count}")))
            seen[stream] += 1
        return Unit(
            lock=f"{self.prefix}{data.draw(st.sampled_from(ORDERS))}",
            expected=expected,
            events=events,
            meta=meta(data.draw(st.sampled_from([None, None, None, f"{self.prefix}c1", f"{self.prefix}c2"]))),
            **self._changes(data, dues),
        )

    def _changes(self, data: st.DataObject, dues: dict[RunKey, float]) -> dict[str, Any]:
        keys = st.builds(self._key, st.sampled_from(ORDERS), st.sampled_from(STEPS), st.sampled_from([0, 1]))
        wanted = data.draw(st.lists(keys, max_size=2, unique=True))
        wants = [self._draw_want(data, key, dues) for key in wanted]
        carried = [want.key for want in wants if want.due is None and data.draw(st.booleans())]
        return {
            "settled": self._settlements(data),
            "wanted": wants,
            "carried": frozenset(carried),
            "dropped": data.draw(st.lists(keys, max_size=1)),
            "revived": data.draw(st.lists(keys, max_size=1)),
            "due_now": data.draw(st.lists(st.sampled_from([f"{self.prefix}{order}" for order in ORDERS]), max_size=1)),
        }

    def _draw_want(self, data: st.DataObject, key: RunKey, dues: dict[RunKey, float]) -> Want:
        if key in dues or data.draw(st.booleans()):
            return Want(key)
        dues[key] = self.model.now + 0.5
        return Want(key, self.store.now() + HOUR / 2)

    def _settlements(self, data: st.DataObject) -> list[Settled]:
        running = sorted((k for k, row in self.model.rows.items() if row.state == "running"), key=str)
        if not running:
            return []
        return [
            Settled(
                key=key,
                epoch=(self.model.rows[key].epoch or 0) + data.draw(st.sampled_from([0, 0, 0, 0, 1_000_000])),
                state=data.draw(st.sampled_from(["ready", "running", "dead", "done"])),
                due_in=data.draw(st.sampled_from([timedelta(0), HOUR / 2])),
                keep_attempt=data.draw(st.booleans()),
                error="drawn",
            )
            for key in data.draw(st.lists(st.sampled_from(running), max_size=2, unique=True))
        ]

    # --- rules ---

    @rule(data=st.data(), size=st.integers(1, 3), place=st.sampled_from([0, 1]))
    def append(self, data: st.DataObject, size: int, place: int) -> None:
        seen = {stream: self.model.version(stream) for stream in self._streams()}
        dues: dict[RunKey, float] = {}
        units = [self._unit(data, seen, dues) for _ in range(size)]
        if len({s.key for unit in units for s in unit.settled}) < sum(len(unit.settled) for unit in units):
            units = units[:1]
        verdicts = self.store.append(units, holder=self.holders[place])
        self.model.append(units, verdicts, self.holders[place], dues)

    @rule(
        order=st.sampled_from(ORDERS),
        steps=st.lists(st.sampled_from(STEPS), unique=True),
        place=st.sampled_from([0, 1]),
    )
    def claim(self, order: int, steps: list[Step], place: int) -> None:
        order_id = f"{self.prefix}{order}"
        runs = self.store.claim([order_id], steps, self.holders[place])
        assert {run.key for run in runs} == {key for key in self.model.due(steps) if key.order_id == order_id}
        self.model.claimed(runs, self.holders[place])

    @rule(steps=st.lists(st.sampled_from(STEPS), min_size=1, unique=True), place=st.sampled_from([0, 1]))
    def claim_due(self, steps: list[Step], place: int) -> None:
        must, may = self.model.overdue(steps)
        runs = self.store.claim_due(MANY, steps, self.holders[place])
        assert must <= {run.key for run in runs} <= may
        self.model.claimed(runs, self.holders[place])

    @rule(steps=st.lists(st.sampled_from(STEPS), min_size=1, unique=True), place=st.sampled_from([0, 1]))
    def claim_suspect(self, steps: list[Step], place: int) -> None:
        run = self.store.claim_suspect(steps, self.holders[place])
        assert (run is None) == (not self.model.suspects(steps))
        self.model.claimed([run] if run else [], self.holders[place])

    @rule()
    def wake(self) -> None:
        must, may = self.model.overdue(STEPS)
        announced = set(self.store.wake(MANY, STEPS))
        assert {(key.step, key.order_id) for key in must} <= announced
        assert announced <= {(key.step, key.order_id) for key in may}
        self.model.announced(key for key in may if (key.step, key.order_id) in announced)

    @rule()
    def let_an_hour_pass(self) -> None:
        self.advance_store(HOUR)
        self.model.now += 1

    @rule()
    def set_orphans_free(self) -> None:
        holders = {row.holder for row in self.model.rows.values() if row.holder is not None}
        gone = [holder for holder in holders if self.model.leases.get(holder, 0) <= self.model.now]
        assert self.store.orphans() == self.model.set_free(gone, crashed=True)
        self.let_an_hour_pass()  # they are due within a second, not at once

    @rule(place=st.sampled_from([0, 1]))
    def renew(self, place: int) -> None:
        holder = self.holders[place]
        is_there = self.model.leases.get(holder.id, 0) > self.model.now
        assert self.store.renew(holder, 3 * HOUR) == is_there
        if is_there:
            self.model.leases[holder.id] = self.model.now + 3

    @rule(place=st.sampled_from([0, 1]))
    def leave_and_come_back(self, place: int) -> None:
        holder = self.holders[place]
        assert self.store.release(holder) == self.model.set_free([holder.id], crashed=False)
        del self.model.leases[holder.id]
        self.holders[place] = self._register()

    # --- what always holds ---

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def holds_what_it_should(self) -> None:
        self.model.check(self.store, self.start)
        assert len(self.store.dead_letters()) == self.letters_before + len(self.model.letters)

    def teardown(self) -> None:
        for holder in getattr(self, "holders", []):
            self.store.release(holder)


def run_store_machine(fresh: Callable[[], Harness], **limits: int) -> None:
    """Run random lives; `limits` are Hypothesis settings such as `max_examples` and `stateful_step_count`."""
    machine = type("Machine", (StoreMachine,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(machine, settings=settings(settings.default, **limits))  # type: ignore[arg-type]
