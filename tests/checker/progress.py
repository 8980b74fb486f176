"""K5 while the run went on, K17, K34 and K35: checkpoints only go forward, nothing appears behind a reader, all comes to rest in time."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from tests.checker.endings import open_orders
from tests.checker.evidence import Evidence, MissingEvidence, Row, read_moment
from tests.checker.expect import Expect
from tests.checker.verdict import Findings


def nothing_appears_behind_a_reader(evidence: Evidence) -> Findings:
    """K5: between two checkpoints that were seen there are at the end as many events as there were when they were given out."""
    positions = [event.position for event in evidence.events]
    for look in evidence.watched or []:
        if given := look.get("given"):
            now = bisect_right(positions, given["up_to"]) - bisect_right(positions, given["after"])
            if now != given["events"]:
                where = f"between {given['after']} and {given['up_to']}"
                yield look["at"], f"a reader was given {given['events']} events {where}, in the end there are {now}"


def checkpoints_go_forward(evidence: Evidence) -> Findings:
    """K17: never beyond the head, and back only by a rebuild."""
    before: dict[str, Row] = {}
    for look in evidence.seen():
        for name, row in look["checkpoints"].items():
            if row["position"] > look["head"]:
                yield name, f"is at {row['position']}, the last event is {look['head']} (at {look['at']})"
            known = before.get(name)
            if known and row["position"] < known["position"] and row["rebuilds"] == known["rebuilds"]:
                yield name, f"went back from {known['position']} to {row['position']} (at {look['at']})"
        before |= look["checkpoints"]
    head = max((event.position for event in evidence.events), default=0)
    for row in evidence.checkpoints():
        if row["position"] > head:
            yield row["name"], f"is at {row['position']}, the last event is {head}"


def all_comes_to_rest(evidence: Evidence, expect: Expect) -> Findings:
    """K35: some time after the faults nothing is due, nothing runs, nothing waits in a queue, and the read models are at the head.

    What waits for a person, or for a time that has not come, is at rest.
    """
    calm = _calm(evidence)
    if calm is None:
        raise MissingEvidence("the history does not say when the faults were over (mark `calm`)")
    waited = (evidence.moment - calm).total_seconds()
    restless = [*_restless(evidence)]
    if restless and waited < expect.quiet_within_s:
        raise MissingEvidence(f"not at rest, but only {waited:.0f} of {expect.quiet_within_s:g} s were waited")
    yield from ((subject, f"{what}, {waited:.0f} s after the faults") for subject, what in restless)


def _restless(evidence: Evidence) -> Iterator[tuple[str, str]]:
    now = evidence.moment
    for row in evidence.rows("step_runs"):
        name = "{order_id}/{step}/{part}/{ordinal}".format(**row)
        if row["state"] == "running":
            yield name, f"still runs in the hands of {row['holder']}"
        elif row["state"] == "ready" and read_moment(row["due_at"]) < now - timedelta(seconds=1):
            yield name, f"has been due since {row['due_at']}, and nobody came"
    head = max((event.position for event in evidence.events), default=0)
    for row in evidence.checkpoints():
        if row["position"] < head and row["state"] != "stopped":
            yield row["name"], f"is at {row['position']} of {head}"
    for row in evidence.rows("queues"):
        if row["depth"]:
            yield row["queue"], f"holds {row['depth']} messages"
    yield from (
        (order_id, "is open, and nothing will move it") for order_id, why in open_orders(evidence).items() if not why
    )


def outages_are_short(evidence: Evidence, expect: Expect) -> Findings:
    """K34: as long as there is due work, something is done within the limit of the run: from event to event, never a longer pause."""
    looks = [(read_moment(look["at"]), look) for look in evidence.seen()]
    if not looks:
        return
    since, head = looks[0][0], looks[0][1]["head"]
    for (_, look), (at, after) in pairwise(looks):
        if after["head"] != head:
            since, head = at, after["head"]
        elif not look.get("busy"):
            since = at
        elif (at - since).total_seconds() > expect.outage_s:
            yield (
                after["at"],
                f"nothing has happened for {(at - since).total_seconds():.0f} s, though {after['busy']} runs were due",
            )
            since = at


def _calm(evidence: Evidence) -> datetime | None:
    marks = [line["at"] for line in evidence.told() if line.get("mark") == "calm"]
    return read_moment(marks[-1]) if marks else None
