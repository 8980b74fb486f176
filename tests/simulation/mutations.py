"""Bugs to be found: each changes the program while it is in place. A simulation that does not find them proves nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from domain import process
from domain.work import Step, Want
from infrastructure.gateways.outside import OutsideWorld
from infrastructure.memory import store
from infrastructure.memory.event_log import EventLog
from infrastructure.memory.verdicts import Facts
from infrastructure.memory.work_table import WorkTable
from tests.simulation.shape import shape_of
from tests.simulation.world import Outcome, simulate
from workers.breakers import Breakers
from workers.calls import CallThreads

Change = tuple[object, str, Callable[[Any], Any]]


def _key_for_every_attempt(ask: Any) -> Any:
    def with_fresh_key(self: CallThreads, call: Any) -> Any:
        if hasattr(call.request, "key"):
            fresh = replace(call.request, key=f"{call.request.key}~{call.run.epoch}")
            call = replace(call, request=fresh, inquire=False)
        return ask(self, call)

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


MUTATIONS: Mapping[str, tuple[Change, ...]] = {
    "a key for every attempt": ((CallThreads, "_ask", _key_for_every_attempt),),
    "no fence": ((WorkTable, "is_ours", lambda _: lambda self, settled: True),),
    "act without asking what became of it": ((OutsideWorld, "call", _no_inquiry),),
    "no void of what is not needed": ((process, "_wants", _without(Step.VOID)),),
    "no refund of a label": ((process, "_wants", _without(Step.REFUND_LABEL)),),
    "a command is done again": ((EventLog, "is_done", lambda _: lambda self, command_id: False),),
    "no check of versions": ((store, "judge", _no_versions),),
    "a dead run stops nothing": ((process, "failures", lambda _: lambda view, policy: frozenset()),),
    "breakers let everything through": (
        (Breakers, "limited", lambda _: lambda self: frozenset()),
        (Breakers, "admit", lambda _: lambda self, dependency, run: None),
    ),
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The program with this bug."""
    changes = MUTATIONS[name]
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
            outcome = simulate(shape_of(seed))
            if outcome.findings:
                return outcome
    return None
