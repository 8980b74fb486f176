"""What a decision about a run writes: its event on the order's process stream, and what the process manager makes of it.

A run of an order that does not exist has no process to write to; what is decided about it goes to the letter's own stream, and it can
only be discarded. A dead run that has no row any more (the work list was rebuilt) is wanted anew by the same unit that revives it.
"""

from collections.abc import Sequence
from typing import Any

from domain import process as processes
from domain.errors import CommandRefused
from domain.ports import Unit
from domain.process import Policy, StepDiscarded, StepRestored, StepRetried
from domain.review import Letter, LetterState
from domain.work import RunKey
from workers.review.plan import Person, Plan, Sight, meta
from workers.turns import Known

Change = tuple[str, Any]


def retried(letter: Letter, run: RunKey, sight: Sight, policy: Policy, person: Person) -> Plan:
    """Make the run due again, its attempts and crashes forgotten."""
    known = sight.orders[run.order_id]
    if known.view.order.placed is None:
        return Plan(refused=f"there is no order {run.order_id}; it can only be discarded")
    event = StepRetried(
        step=run.step, part=run.part, ordinal=run.ordinal, by=person.by, note=person.reason, at=sight.now
    )
    unit, after = changed(letter, known, [_on_process(run, event)], "retry", policy, person, revived=run)
    if run not in {want.key for want in after.wants}:
        return Plan(
            state=LetterState.OBSOLETE,
            refused="the order does not want this any more (it went on, or is being cancelled); the letter is obsolete now",
        )
    return Plan(unit=unit, state=LetterState.RETRIED, announce=_due(unit, run), words=f"{run} is due again")


def discarded(letter: Letter, run: RunKey, sight: Sight, policy: Policy, person: Person) -> Plan:
    """Nobody will try the run again; its order stays stopped until somebody decides about that."""
    event = StepDiscarded(
        step=run.step, part=run.part, ordinal=run.ordinal, by=person.by, note=person.reason, at=sight.now
    )
    unit, _ = changed(letter, sight.orders[run.order_id], [_on_process(run, event)], "discard", policy, person)
    return Plan(
        unit=unit,
        state=LetterState.DISCARDED,
        words=f"{run} will not be tried again; cancel the order, or restore the letter",
    )


def restored(letter: Letter, run: RunKey, sight: Sight, policy: Policy, person: Person) -> Plan:
    """The discard is taken back."""
    event = StepRestored(
        step=run.step, part=run.part, ordinal=run.ordinal, by=person.by, note=person.reason, at=sight.now
    )
    unit, _ = changed(letter, sight.orders[run.order_id], [_on_process(run, event)], "restore", policy, person)
    return Plan(unit=unit, state=LetterState.OPEN, words=f"{run} is a dead letter again")


def concluded(
    letter: Letter, run: RunKey, sight: Sight, policy: Policy, person: Person, changes: Sequence[Change]
) -> Plan:
    """`changes` record what a person found out; the discard beside them says who it was, and why."""
    known = sight.orders[run.order_id]
    if known.view.order.placed is None:
        raise CommandRefused(f"there is no order {run.order_id}")
    event = StepDiscarded(
        step=run.step, part=run.part, ordinal=run.ordinal, by=person.by, note=person.reason, at=sight.now
    )
    unit, after = changed(letter, known, [*changes, _on_process(run, event)], "conclude", policy, person)
    next_steps = ", ".join(sorted(want.key.step.value for want in after.wants)) or "nothing"
    return Plan(
        unit=unit,
        state=LetterState.CONCLUDED,
        announce=_due(unit),
        words=f"{run} is concluded; the order wants next: {next_steps}",
    )


def exists(letter: Letter, sight: Sight) -> bool:
    """The letter is of a run, and of an order that was placed."""
    return letter.run is not None and sight.orders[letter.run.order_id].view.order.placed is not None


def changed(  # noqa: PLR0913 - the parts of a unit
    letter: Letter,
    known: Known,
    changes: Sequence[Change],
    verb: str,
    policy: Policy,
    person: Person,
    *,
    revived: RunKey | None = None,
) -> tuple[Unit, Known]:
    """The unit with these events, and the order after it."""
    view = known.view
    for stream, event in changes:
        if not stream.startswith("stock-"):
            view = processes.extend(view, stream, [event])
    wants = processes.react(view, policy)
    before = {want.key for want in known.wants}
    keys = {want.key for want in wants}
    unit = Unit(
        lock=view.order_id,
        expected={stream: 0 for stream, _ in changes} | dict(known.view.versions),
        events=changes,
        meta=meta(letter, verb, person),
        wanted=sorted(want for want in wants if want.key not in before or want.key == revived),
        dropped=sorted(before - keys),
        revived=[revived] if revived else [],
    )
    return unit, Known(view=view, wants=wants)


def _on_process(run: RunKey, event: StepRetried | StepDiscarded | StepRestored) -> Change:
    return processes.process_stream(run.order_id), event


def _due(unit: Unit, run: RunKey | None = None) -> list[tuple[str, str]]:
    due = [(want.key.step.value, want.key.order_id) for want in unit.wanted if want.due is None]
    return due if run is None else [*due, (run.step.value, run.order_id)]
