"""The verdict: every invariant kept, broken, not judged or not asked, and the counts in the words of RabbitMQ's Jepsen suite.

attempts       orders that the load tried to submit    acknowledged  those it was told were accepted
ok             acknowledged and stored                 lost          acknowledged and not stored
unexpected     stored, but never attempted             recovered     stored, though the load got no answer
duplicated     effects or orders that exist twice
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from tests.checker.evidence import Evidence, MissingEvidence, Row

Findings = Iterable[tuple[str, str]]
Judge = Callable[[Evidence], Findings]
SHOWN = 20
OF_THE_LOG = {"K4", "K5", "K6", "K7"}


@dataclass(frozen=True, slots=True)
class Invariant:
    """`judge` yields (subject, what is wrong with it), nothing if the promise was kept; `needs` names evidence beyond the tables."""

    name: str
    promise: str
    judge: Judge
    needs: frozenset[str] = frozenset()


@dataclass(slots=True)
class Judgement:
    """What became of one invariant."""

    name: str
    promise: str
    state: Literal["kept", "broken", "not judged", "not asked"]
    findings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    counts: dict[str, int]
    judgements: list[Judgement]
    open_orders: dict[str, str]

    @property
    def valid(self) -> bool | None:
        """None: nothing was found broken, but not everything that was asked could be judged."""
        states = {judgement.state for judgement in self.judgements}
        if "broken" in states:
            return False
        return None if "not judged" in states else True

    def broken(self) -> list[str]:
        return [judgement.name for judgement in self.judgements if judgement.state == "broken"]

    def as_json(self) -> Row:
        valid = {True: True, False: False, None: "unknown"}[self.valid]
        invariants = {
            j.name: {"promise": j.promise, "state": j.state, "count": len(j.findings), "findings": j.findings[:SHOWN]}
            for j in self.judgements
        }
        return {"valid?": valid, **self.counts, "open_orders": self.open_orders, "invariants": invariants}

    def as_text(self) -> str:
        """A line an invariant, the findings below it."""
        lines = [f"{name:14}{count:>9,}" for name, count in self.counts.items()] + [""]
        for judgement in self.judgements:
            lines.append(f"{judgement.name:5}{judgement.state:12}{judgement.promise}")
            lines += [f"       {subject}: {wrong}" for subject, wrong in judgement.findings[:SHOWN]]
            if len(judgement.findings) > SHOWN:
                lines.append(f"       and {len(judgement.findings) - SHOWN} more")
        lines += [f"open  {order_id}: {why}" for order_id, why in list(self.open_orders.items())[:SHOWN]]
        return "\n".join([*lines, "", f"valid? {str(self.as_json()['valid?']).lower()}"])


def judge_all(evidence: Evidence, invariants: Iterable[Invariant], required: Collection[str]) -> list[Judgement]:
    """Judge one after the other. Once the log itself is broken, what trips over it is not judged; else it is our own fault."""
    judgements: list[Judgement] = []
    log_is_broken = False
    for invariant in invariants:
        judgement = _judged(evidence, invariant, forgive=log_is_broken)
        if judgement.state == "not judged" and invariant.needs and not invariant.needs & set(required):
            judgement.state = "not asked"
        log_is_broken = log_is_broken or (invariant.name in OF_THE_LOG and judgement.state == "broken")
        judgements.append(judgement)
    return judgements


def _judged(evidence: Evidence, invariant: Invariant, *, forgive: bool) -> Judgement:
    judgement = Judgement(invariant.name, invariant.promise, "kept")
    try:
        for finding in invariant.judge(evidence):
            judgement.findings.append(finding)
    except MissingEvidence as missing:
        if not judgement.findings:
            judgement.state, judgement.findings = "not judged", [("evidence", str(missing))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if not forgive:
            raise
        if not judgement.findings:
            judgement.state, judgement.findings = "not judged", [("the broken log", repr(error))]
    if judgement.state == "kept" and judgement.findings:
        judgement.state = "broken"
    return judgement


def counts(evidence: Evidence) -> dict[str, int]:
    """The words above, and how large the run was."""
    told = [line for line in evidence.history or [] if "order_id" in line]
    attempted = {line["order_id"] for line in told}
    acknowledged = {line["order_id"] for line in told if line["outcome"] == "acknowledged"}
    placed = Counter(event.subject for event in evidence.of_type("OrderPlaced"))
    effects = [*placed.elements(), *(("captures", row["key"]) for row in (evidence.ledger or {}).get("captures", []))]
    return {
        "attempts": len(attempted),
        "acknowledged": len(acknowledged),
        "ok": len(acknowledged & placed.keys()),
        "lost": len(acknowledged - placed.keys()),
        "unexpected": len(placed.keys() - attempted) if told else 0,
        "duplicated": len(effects) - len(set(effects)),
        "recovered": len((attempted - acknowledged) & placed.keys()),
        "orders": len(placed),
        "closed": len(evidence.of_type("OrderClosed")),
        "events": len(evidence.events),
    }
