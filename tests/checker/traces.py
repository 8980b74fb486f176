"""K31 to K33, K36: what a run leaves lying about. No secrets, no unexpected errors, no leaks, an index that knows what the table knows.

A line `resources` of the history is one measurement of a process: `role`, `phase` start or end, and of `fds`, `threads`, `rss_kb`,
`children` and `temp_files` what was measured.
"""

import json
import re
from collections.abc import Iterator

from tests.checker.evidence import Evidence, MissingEvidence, Row
from tests.checker.expect import Expect
from tests.checker.verdict import Findings

ERROR_LEVELS = {"error", "critical"}
AN_ERROR = re.compile(r"\b(ERROR|CRITICAL)\b|\[error|level=error", re.IGNORECASE)
CARD_LENGTHS = (13, 19)
A_NUMBER = re.compile(r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w.+-])")
GROWTH = {"fds": 80, "threads": 80, "rss_kb": 150_000, "children": 0, "temp_files": 0}  # pools fill on demand


def no_secret_is_told(evidence: Evidence, expect: Expect) -> Findings:
    """K31: neither the planted texts nor anything that is a card number, in logs and in what lists of dead letters show."""
    lines = [(name, line) for name, some in evidence.logged().items() for line in some]
    lines += [(f"letter {row['id']}", row["reason"]) for row in evidence.rows("dead_letters")]
    for name, line in lines:
        yield from ((name, f"tells {canary!r}") for canary in expect.canaries if canary in line)
        yield from ((name, f"tells a card number (…{number[-4:]})") for number in _cards(line))


def _cards(line: str) -> Iterator[str]:
    for found in A_NUMBER.finditer(line):
        digits = re.sub(r"\D", "", found[0])
        if (
            digits[0] in "3456"
            and CARD_LENGTHS[0] <= len(digits) <= CARD_LENGTHS[1]
            and len(set(digits)) > 1
            and _luhn(digits)
        ):
            yield digits


def _luhn(digits: str) -> bool:
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def no_unexpected_error(evidence: Evidence, expect: Expect) -> Findings:
    """K32: errors and tracebacks outside the list of what the faults of this run may cause."""
    allowed = [re.compile(pattern) for pattern in expect.errors]
    for name, lines in evidence.logged().items():
        for line in lines:
            if _is_error(line) and not any(pattern.search(line) for pattern in allowed):
                yield name, line[:300]


def _is_error(line: str) -> bool:
    if line.startswith("{"):
        try:
            told = json.loads(line)
        except ValueError:
            return "Traceback" in line
        return str(told.get("level", "")).lower() in ERROR_LEVELS or "Traceback" in line
    return line.startswith("Traceback (most recent call last)") or AN_ERROR.search(line) is not None


def nothing_leaks(evidence: Evidence) -> Findings:
    """K33: every role ends with about what it began with; the server is left without open or prepared transactions."""
    starts: dict[str, Row] = {}
    for line in evidence.told_of("resources") if evidence.history is not None else []:
        if line["phase"] == "start":
            starts[line["role"]] = line
        else:
            yield from ((line["role"], wrong) for wrong in _growth(starts.get(line["role"], {}), line))
    if "server_sessions" not in evidence.tables:
        raise MissingEvidence("the server was not asked")
    for row in evidence.rows("server_sessions"):
        yield from ((str(row["pid"]), f"{row['application']} {wrong}") for wrong in _session_wrongs(evidence, row))
    yield from ((row["gid"], "is a prepared transaction that nobody ended") for row in evidence.rows("server_prepared"))


def _growth(before: Row, after: Row) -> Iterator[str]:
    for name, allowed in GROWTH.items():
        if name in after and name in before and after[name] > before[name] + allowed:
            yield f"began with {before[name]} {name} and ends with {after[name]}"


def _session_wrongs(evidence: Evidence, row: Row) -> Iterator[str]:
    if (row["state"] or "").startswith("idle in transaction") and row["state_s"] > 1:
        yield f"has been {row['state']} for {row['state_s']:.0f} s"
    if _has_stopped(evidence) and row["application"].startswith("orderwright"):
        yield "is still connected, and all processes have ended"


def _has_stopped(evidence: Evidence) -> bool:
    return any(line.get("mark") == "stopped" for line in evidence.history or [])


def indexes_know_the_table(evidence: Evidence) -> Findings:
    """K36: the events counted by the table itself and by each index; no index or constraint that does not hold."""
    counts = evidence.rows("index_counts")
    if not counts:
        raise MissingEvidence("the events were not counted by index")
    if len({(row["by_position"], row["by_stream"]) for row in counts}) > 1:
        yield "events", f"counted differently by table and index: {counts}"
    if any(row["by_position"] != len(evidence.events) for row in counts):
        yield "events", f"{len(evidence.events)} were read, counted were {counts}"
    yield from ((row["index"], "is not valid") for row in evidence.rows("server_indexes") if not row["valid"])
    yield from ((row["constraint"], "was never validated") for row in evidence.rows("server_constraints"))
