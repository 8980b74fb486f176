"""K24: whoever writes holds what it writes under. Epochs never go back, nobody writes after another took over, no lock outlives its use."""

from bisect import bisect_right
from collections import defaultdict
from datetime import datetime

from tests.checker.evidence import Event, Evidence, Row, read_moment
from tests.checker.expect import Expect
from tests.checker.verdict import Findings

Seen = list[tuple[datetime, int]]
APPEND = 7301
MIGRATING = 0x6F77  # the upper half of the key that migrations hold from beginning to end
OF_TWO_NUMBERS = 2


def epochs_go_forward(evidence: Evidence, expect: Expect) -> Findings:
    written = _written(evidence)
    taken = _taken(evidence)
    for run, events in written.items():
        highest = 0
        for epoch, event in events:
            if epoch < highest:
                yield (
                    run,
                    f"{event.type} at {event.position} was written under epoch {epoch}, after one of epoch {highest}",
                )
            highest = max(highest, epoch)
            floor = _floor(taken.get(run, []), read_moment(event.recorded_at))
            if floor > epoch:
                yield run, f"{event.type} at {event.position} was written under epoch {epoch}, which had lost it"
    yield from _robbed(evidence)
    yield from _leases_go_forward(evidence)
    yield from _left_over(evidence, expect)


def _written(evidence: Evidence) -> dict[str, list[tuple[int, Event]]]:
    """By run, what was written for it and under which epoch: commands of workers are called `run@epoch`."""
    written = defaultdict[str, list[tuple[int, Event]]](list)
    for event in evidence.events:
        run, at, epoch = str(event.meta.get("command_id", "")).rpartition("@")
        if at and epoch.isdigit() and event.meta.get("causation_id") == run:
            written[run].append((int(epoch), event))
    return written


def _taken(evidence: Evidence) -> dict[str, Seen]:
    """By run: from when on which epoch may write for it at the earliest. Once nobody has it, who had it may not any more."""
    taken, last = defaultdict[str, Seen](list), dict[str, int]()
    for look in evidence.watched or []:
        at = read_moment(look["at"])
        for name, row in look.get("step_runs", {}).items():
            if row["epoch"] is not None:
                last[name] = row["epoch"]
                taken[name].append((at, row["epoch"]))
            elif name in last:
                taken[name].append((at, last[name] + 1))
    return taken


def _floor(seen: Seen, at: datetime) -> int:
    place = bisect_right(seen, at, key=lambda one: one[0])
    return max((epoch for _, epoch in seen[:place]), default=0)


def _robbed(evidence: Evidence) -> Findings:
    """A run counts as lost by a crash only when its holder was gone: not while the very same holder was seen to renew after it."""
    holders: dict[str, Row] = {}
    lost: list[tuple[datetime, str, str]] = []
    for look in evidence.watched or []:
        at = read_moment(look["at"])
        for name, row in look.get("step_runs", {}).items():
            if row.get("lost_by") is not None and str(row["lost_by"]) in holders:
                lost.append((at, name, str(row["lost_by"])))
        for key, row in look.get("holders", {}).items():
            before = holders.get(key)
            renewed = before is not None and row["expires_at"] > before["expires_at"]
            for since, name, holder in lost if renewed else []:
                if holder == key and at > since:
                    yield (
                        name,
                        f"was taken from {holder} at {since.isoformat()}, who was alive and renewed its lease at {look['at']}",
                    )
            lost = [one for one in lost if not (renewed and one[2] == key)]
        holders |= look.get("holders", {})


def _leases_go_forward(evidence: Evidence) -> Findings:
    epochs: dict[str, int] = {}
    for look in evidence.watched or []:
        for name, row in look.get("leases", {}).items():
            if row["epoch"] < epochs.get(name, 0):
                yield name, f"went back to epoch {row['epoch']} (at {look['at']})"
            epochs[name] = max(row["epoch"], epochs.get(name, 0))
    holders = {row["id"] for row in evidence.rows("holders")}
    for row in evidence.rows("leases"):
        if (
            row["holder"] is not None
            and row["holder"] not in holders
            and read_moment(row["expires_at"]) > evidence.moment
        ):
            yield row["name"], f"is held by {row['holder']}, who does not exist"


def _left_over(evidence: Evidence, expect: Expect) -> Findings:
    """Locks that idle sessions keep, but for those that are meant to be kept; at the end of all processes, any lock and any lease."""
    for look in evidence.watched or []:
        for lock in look.get("idle_locks", []):
            of_one_number = lock["kind"] != OF_TWO_NUMBERS and lock["class"] != MIGRATING
            if of_one_number or lock["class"] == APPEND:
                yield (
                    str(lock["pid"]),
                    f"does nothing and keeps the lock ({lock['class']}, {lock['object']}) (at {look['at']})",
                )
    if not _all_ended(evidence):
        return
    for lock in evidence.rows("server_locks"):
        yield str(lock["pid"]), f"the lock ({lock['class']}, {lock['object']}) outlives all processes"
    for row in evidence.rows("step_runs"):
        if row["state"] == "running" and not _expires_later(evidence, row):
            yield "{order_id}/{step}/{part}/{ordinal}".format(**row), "runs, and all processes have ended"


def _expires_later(evidence: Evidence, run: Row) -> bool:
    """Who was killed may hold until its lease is over."""
    holders = {row["id"]: row for row in evidence.rows("holders")}
    holder = holders.get(run["holder"])
    return holder is not None and read_moment(holder["expires_at"]) > evidence.moment


def _all_ended(evidence: Evidence) -> bool:
    return any(line.get("mark") == "stopped" for line in evidence.history or [])
