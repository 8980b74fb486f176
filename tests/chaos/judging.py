"""From a row's run to its outcome: the checker's verdict on the whole installation, and the counts of this row alone."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.groups import LEASE_S
from tests.chaos.shop import Shop
from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.judging import gather, judge
from tests.checker.verdict import Verdict

# what a dependency that is away, or a worker that is killed, may make a program say
USUAL = (
    "unavailable",
    "did not answer",
    "is not ours any more",
    "lease not renewed",
    "InjectedFault",
    "Fault: fail point",
)


def judge_shop(
    shop: Shop, errors: Sequence[str] = (), *, letters: bool = False, doubled_numbers: bool = False
) -> tuple[Evidence, Verdict]:
    """Everything that there is, after the faults are over and all has come to rest."""
    evidence = gather(
        shop.dsn,
        ledger=shop.ledger,
        history=shop.history.path,
        watched=shop.watched,
        logs=shop.folder,
    )
    expect = Expect(
        all_closed=True,
        letters=letters,
        errors=(*USUAL, *errors),
        lease_s=LEASE_S,
        attempts=8,
        outage_s=120.0,
        late_s=60.0,
        doubled_numbers=doubled_numbers,
    )
    return evidence, judge(evidence, expect=expect)


def counts_of(evidence: Evidence, prefix: str) -> dict[str, int]:
    """The words of the verdict, for the orders of one row."""
    told = [line for line in evidence.history or [] if line.get("order_id", "").startswith(prefix)]
    attempted = {line["order_id"] for line in told}
    acknowledged = {line["order_id"] for line in told if line["outcome"] == "acknowledged"}
    placed = Counter(event.subject for event in evidence.of_type("OrderPlaced") if event.subject.startswith(prefix))
    captures = Counter(row["key"] for row in evidence.books("captures") if row["order_id"].startswith(prefix))
    twice = sum(count - 1 for count in (*placed.values(), *captures.values()))
    return {
        "attempts": len(attempted),
        "acknowledged": len(acknowledged),
        "ok": len(acknowledged & placed.keys()),
        "lost": len(acknowledged - placed.keys()),
        "unexpected": len(placed.keys() - attempted),
        "duplicated": twice,
        "recovered": len((attempted - acknowledged) & placed.keys()),
    }
