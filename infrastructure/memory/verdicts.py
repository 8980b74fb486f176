"""What becomes of each unit of one append, decided before anything is written.

Units that build on one another stand or fall together: a unit that looks at a stream which an earlier unit of the call writes
belongs to the earlier one's group, and one refused unit takes its group with it. A command that comes twice in one call is done
once; its repeat belongs to no group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.ports import Settled, Unit, Verdict

APPENDED = Verdict(outcome="appended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the judge asks the store."""

    version: Callable[[str], int]
    is_done: Callable[[str], bool]
    is_ours: Callable[[Settled], bool]


def judge(units: Sequence[Unit], facts: Facts) -> list[Verdict]:
    """One verdict a unit. Fences come first: a run that is not ours forbids everything, whatever the versions are."""
    repeats = _repeats(units)
    firsts = [(place, unit) for place, unit in enumerate(units) if place not in repeats]
    written: dict[str, int] = {}
    verdicts = {place: _judge_alone(unit, written, facts) for place, unit in firsts}
    _refuse_groups(firsts, verdicts)
    for place, first in repeats.items():
        verdicts[place] = Verdict(outcome="repeated") if verdicts[first] == APPENDED else verdicts[first]
    return [verdicts[place] for place in range(len(units))]


def _repeats(units: Sequence[Unit]) -> dict[int, int]:
    """The units that repeat a command of this very call, each with its first."""
    first: dict[str, int] = {}
    return {
        place: first[unit.meta.command_id]
        for place, unit in enumerate(units)
        if not unit.settled and first.setdefault(unit.meta.command_id, place) != place
    }


def _judge_alone(unit: Unit, written: dict[str, int], facts: Facts) -> Verdict:
    """The verdict if nobody else is refused; adds to `written` the versions after this unit."""
    stale = [
        Verdict(outcome="conflict", stream=stream, expected=expected, current=current)
        for stream, expected in unit.expected.items()
        if (current := written.get(stream, facts.version(stream))) != expected
    ]
    for stream, _ in unit.events:
        written[stream] = written.get(stream, unit.expected[stream]) + 1
    if not all(map(facts.is_ours, unit.settled)):
        return Verdict(outcome="fenced")
    if not unit.settled and facts.is_done(unit.meta.command_id):
        return Verdict(outcome="repeated")
    return stale[0] if stale else APPENDED


def _refuse_groups(units: Sequence[tuple[int, Unit]], verdicts: dict[int, Verdict]) -> None:
    groups = _groups(units)
    refused = {groups[place] for place, verdict in verdicts.items() if verdict != APPENDED}
    for place, verdict in verdicts.items():
        if verdict == APPENDED and groups[place] in refused:
            verdicts[place] = Verdict(outcome="conflict")


def _groups(units: Sequence[tuple[int, Unit]]) -> dict[int, int]:
    """A number for each unit, the same for units that build on one another, directly or by way of others."""
    groups: dict[int, int] = {}
    writer: dict[str, int] = {}
    for place, unit in units:
        groups[place] = place
        for earlier in {groups[writer[stream]] for stream in unit.expected if stream in writer}:
            groups = {member: groups[place] if group == earlier else group for member, group in groups.items()}
        writer.update((stream, place) for stream, _ in unit.events)
    return groups
