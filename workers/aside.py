"""Runs that are settled without their order being looked at, because looking at it fails, or ends the worker.

Nothing is decided here. What is given up is told to the order's process all the same, so that it stops and `dlq` can take it back; only
a process whose own events cannot be read is not told.
"""

from collections.abc import Iterable
from datetime import datetime

from domain.errors import Poison
from domain.ports import Meta, Reader, Unit
from domain.process import StepFailed, process_stream
from domain.work import Run
from workers.retry import CRASHES, Again, GiveUp
from workers.turns import Inputs, settled_by

LOOKS = 3


def kills_who_looks(inputs: Inputs) -> bool:
    """It was given up in the ordinary way several times, and that has never come to an end."""
    return any(run.crashes > CRASHES + LOOKS for run in inputs.begin)


def aside(
    reader: Reader, order_id: str, fates: Iterable[tuple[Run, Again | GiveUp]], *, now: datetime, actor: str
) -> Unit:
    """The unit that settles these runs. Raises `StoreUnavailable`."""
    pairs = list(fates)
    failed = [_failed(run, fate, now) for run, fate in pairs if isinstance(fate, GiveUp)]
    stream = process_stream(order_id)
    version = _version(reader, stream) if failed else None
    cause = pairs[0][0]
    return Unit(
        lock=order_id,
        expected={} if version is None else {stream: version},
        events=() if version is None else [(stream, event) for event in failed],
        meta=Meta(command_id=f"set aside:{cause.key}@{cause.epoch}", correlation_id=order_id, actor=actor),
        settled=[settled_by(fate, run) for run, fate in pairs],
    )


def _failed(run: Run, fate: GiveUp, now: datetime) -> StepFailed:
    key = run.key
    return StepFailed(
        step=key.step,
        part=key.part,
        ordinal=key.ordinal,
        attempts=run.attempts,
        reason=fate.reason,
        at=now,
        unknown=fate.unknown,
    )


def _version(reader: Reader, stream: str) -> int | None:
    try:
        return len(reader.read({stream: 0}))
    except Poison:
        return None
