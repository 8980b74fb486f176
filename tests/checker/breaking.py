"""K25: breakers go their legal ways; who is behind an open one is not called, behind a half-open one only by permit."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from tests.checker.evidence import Evidence, MissingEvidence, Row, read_moment
from tests.checker.expect import Expect
from tests.checker.verdict import Findings

ACTS = {
    "risk": "risk",
    **dict.fromkeys(("authorize", "capture", "void"), "payment"),
    **dict.fromkeys(("label", "refund_label", "hand_over", "track"), "carrier"),
    "notify": "mail",
}
PAID = {"auth", "capture", "void"}  # the middle of a key, where a call only asks what became of it
LEGAL = {
    "closed": {"open", "recovering"},
    "open": {"half_open"},
    "half_open": {"open", "recovering"},
    "recovering": {"open", "closed"},
}
ON_THE_WIRE = timedelta(seconds=0.2)


def breakers_hold(evidence: Evidence, expect: Expect) -> Findings:
    """A process that had not heard yet may call a moment longer (`blind_s`); a call of a permit may ask first and then act."""
    rows = sorted(evidence.rows("breaker_transitions"), key=lambda row: (row["dependency"], row["id"]))
    if rows and "calls" not in (evidence.ledger or {}):
        raise MissingEvidence("the books do not tell who was called when")
    for dependency, some in groupby(rows, key=lambda row: str(row["dependency"])):
        transitions = list(some)
        calls = [(at, subject) for at, of, subject in _calls(evidence) if of == dependency]
        yield from ((dependency, wrong) for wrong in _illegal(transitions))
        yield from ((dependency, wrong) for wrong in _unwanted(transitions, calls, evidence.moment, expect))


def _illegal(transitions: list[Row]) -> Iterator[str]:
    state = "closed"
    for row in transitions:
        before, after, state = (
            row["before"],
            row["after"],
            row["after"] if row["before"] == state else f"really {state}",
        )
        if state.startswith("really"):
            yield f"went from {before} to {after} at {row['at']}, and was {state.removeprefix('really ')}"
            state = after
        if not row["who"] and before != after and after not in LEGAL[before]:
            yield f"went from {before} straight to {after}"


def _unwanted(
    transitions: list[Row], calls: list[tuple[datetime, str]], now: datetime, expect: Expect
) -> Iterator[str]:
    blind = timedelta(seconds=expect.blind_s)
    for row, following in pairwise([*transitions, {"at": now.isoformat()}]):
        since, until = read_moment(row["at"]), read_moment(following["at"]) - ON_THE_WIRE
        if row["after"] == "open":
            late = [at for at, _ in calls if since + blind < at < until]
            if late:
                yield f"was open from {since} on, and was called {len(late)} times from {late[0]} to {late[-1]}"
        elif row["after"] == "half_open":
            probes = {subject for at, subject in calls if since - ON_THE_WIRE < at < until}
            if len(probes) > expect.permits:
                yield f"was half-open from {since} on, and was called for {len(probes)} runs, {expect.permits} were permitted"


def _calls(evidence: Evidence) -> Iterator[tuple[datetime, str, str]]:
    """When, which dependency, about what."""
    for row in (evidence.ledger or {}).get("calls", []):
        middle = row["subject"].split(":")[1:2]
        asked = "payment" if set(middle) & PAID else "carrier"
        at = datetime.fromtimestamp(row["at"] / 1000, tz=evidence.moment.tzinfo)
        yield at, ACTS.get(row["operation"], asked), row["subject"]
