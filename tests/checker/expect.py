"""What a run was meant to do: the bounds and the exceptions of one test. Everything else is the same for all."""

from dataclasses import dataclass

ANYTHING = ".*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """`all_closed`: the operator has decided all there was, so an open order is a broken promise.

    `required`: evidence without which a verdict is unknown; judged in any case is whatever evidence there is. Of `ledger`, `history`,
    `watched`, `logs`, `resources`.
    `letters`: dead letters are allowed beyond the planted ones, because the faults of this run may well end in some.
    `errors`: regular expressions of log lines that these faults may cause; all other errors and every traceback are findings.
    `attempts`, `crashes`: how often a run may be tried, and how often its workers may vanish, before it is a dead letter.
    `lease_s`, `late_s`: how long a silent holder keeps what it has; how late a timer may fire.
    `quiet_within_s`: how long after the mark `calm` everything must have come to rest; `outage_s`: the longest time without progress.
    `permits`: calls to a half-open dependency; `blind_s`: how long a process may not know yet that a breaker has opened.
    `doubled_numbers`: the carrier was made to give out numbers twice.
    `canaries`: texts that may stand nowhere: not in a log, not in a list of dead letters.
    """

    all_closed: bool = False
    required: frozenset[str] = frozenset({"ledger", "history"})
    letters: bool = False
    errors: tuple[str, ...] = ()
    attempts: int = 8
    crashes: int = 5
    backoff_cap_s: float = 60.0
    lease_s: float = 10.0
    late_s: float = 30.0
    quiet_within_s: float = 60.0
    outage_s: float = 60.0
    permits: int = 3
    blind_s: float = 1.5
    doubled_numbers: bool = False
    canaries: tuple[str, ...] = ()
