"""Bugs to be found: each changes the program while it is in place. A simulation that does not find them proves nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from domain import process
from domain.work import Step, Want
from infrastructure.gateways.outside import OutsideWorld
from infrastructure.memory import store
from infrastructure.memory.event_log import EventLog
from infrastructure.memory.verdicts import Facts
from infrastructure.memory.work_table import WorkTable
from tests.simulation.chance import stream
from tests.simulation.run import Outcome, simulate
from tests.simulation.shape import LONG_WINDOW_S, PLANNED, RATES, SHORT_WINDOW_S, Shape, plan_of, shape_of
from workers.breakers import Breakers
from workers.calls import CallThreads

Change = tuple[object, str, Callable[[Any], Any]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """The changes, and the faults under which they do harm."""

    changes: tuple[Change, ...]
    kinds: frozenset[str]
    key_window_s: float = LONG_WINDOW_S


def _key_for_every_attempt(ask: Any) -> Any:
    def with_fresh_key(self: CallThreads, handed_over: Any) -> Any:
        call = handed_over.call
        if hasattr(call.request, "key"):
            fresh = replace(call.request, key=f"{call.request.key}~{call.run.epoch}")
            handed_over = replace(handed_over, call=replace(call, request=fresh, inquire=False))
        return ask(self, handed_over)

    return with_fresh_key


def _no_inquiry(call: Any) -> Any:
    def blindly(self: OutsideWorld, request: Any, **_: Any) -> Any:
        return call(self, request, inquire_first=False)

    return blindly


def _without(*steps: Step) -> Callable[[Any], Any]:
    def change(wants: Any) -> Any:
        def fewer(*arguments: Any) -> frozenset[Want]:
            return frozenset(want for want in wants(*arguments) if want.key.step not in steps)

        return fewer

    return change


def _no_versions(judge: Any) -> Any:
    def lenient(units: Any, facts: Facts) -> Any:
        expected: dict[str, int] = {}
        for unit in units:
            expected = {**dict(unit.expected), **expected}
        return judge(units, replace(facts, version=lambda stream: expected.get(stream, 0)))

    return lenient


MUTATIONS: Mapping[str, Mutation] = {
    "a key for every attempt": Mutation(
        ((CallThreads, "_ask", _key_for_every_attempt),),
        frozenset({"answer lost"}),
    ),
    "no fence": Mutation(
        ((WorkTable, "is_ours", lambda _: lambda *_: True),),
        frozenset({"freeze", "store slow", "commit comes late", "others in between"}),
    ),
    "act without asking what became of it": Mutation(
        ((OutsideWorld, "call", _no_inquiry),),
        frozenset({"answer lost", "outside away", "store away", "kill"}),
        SHORT_WINDOW_S,
    ),
    "no void of what is not needed": Mutation(
        ((process, "_wants", _without(Step.VOID)),),
        frozenset({"cancel"}),
    ),
    "no refund of a label": Mutation(
        ((process, "_wants", _without(Step.REFUND_LABEL)),),
        frozenset({"cancel", "outside unreachable", "answer late", "outside away"}),
    ),
    "a command is done again": Mutation(
        ((EventLog, "is_done", lambda _: lambda *_: False),),
        frozenset({"commit answer lost", "delivery"}),
    ),
    "no check of versions": Mutation(
        ((store, "judge", _no_versions),),
        frozenset({"cancel", "hold", "release", "others in between", "delivery"}),
    ),
    "a dead run stops nothing": Mutation(
        ((process, "failures", lambda _: lambda *_: frozenset()),),
        frozenset({"poison"}),
    ),
    "breakers let everything through": Mutation(
        (
            (Breakers, "limited", lambda _: lambda *_: frozenset()),
            (Breakers, "admit", lambda _: lambda *_: None),
        ),
        frozenset({"outside away"}),
    ),
}


def hunting_ground(seed: int, mutation: Mutation) -> Shape:
    """A shape in which the faults that matter strike often, and no others."""
    shape, kinds = shape_of(seed), mutation.kinds
    chance = stream(seed, "hunt")
    return replace(
        shape,
        orders=tuple(range(1, 7)),
        workers=3,
        storm_s=30.0,
        rates={kind: min(0.8, 3 * most) for kind, most in RATES.items() if kind in kinds},
        plan=plan_of(chance, 30.0, {kind: most for kind, most in PLANNED.items() if kind in kinds}),
        stock=4,
        declines=0.0,
        poison=0.1 if "poison" in kinds else 0.0,
        transit_s=0.0,
        key_window_s=mutation.key_window_s,
        patient=False,
    )


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The program with this bug."""
    changes = MUTATIONS[name].changes
    saved = [(target, attribute, getattr(target, attribute)) for target, attribute, _ in changes]
    for target, attribute, change in changes:
        setattr(target, attribute, change(getattr(target, attribute)))
    try:
        yield
    finally:
        for target, attribute, original in saved:
            setattr(target, attribute, original)


def hunt(name: str, seeds: range) -> Outcome | None:
    """The first run that finds the bug."""
    with mutated(name):
        for seed in seeds:
            outcome = simulate(hunting_ground(seed, MUTATIONS[name]))
            if outcome.findings:
                return outcome
    return None
