"""K21 to K23: dead letters tell all that a person needs, there are none but those that had to be, and nothing is tried too often."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.checker.evidence import Evidence, Row, read_moment
from tests.checker.expect import Expect
from tests.checker.verdict import Findings

CALLS_OF = {"auth": "authorize", "capture": "capture", "void": "void", "label": "label", "refund": "refund_label"}
ENOUGH = 20
SLACK_S = 1.0


def letters_tell_all(evidence: Evidence, expect: Expect) -> Findings:
    """K21: cause, times, attempts; of a run its order knows it, of a message there are the bytes that came."""
    failed = Counter("{0}/{step}/{part}/{ordinal}".format(e.order_id, **e.data) for e in evidence.of_type("StepFailed"))
    for row in evidence.rows("dead_letters"):
        name = f"letter {row['id']}"
        yield from ((name, wrong) for wrong in _untold(row))
        if row["kind"] == "message":
            yield from ((name, wrong) for wrong in _bytes_wrong(row))
            continue
        if row["attempts"] > expect.attempts:
            yield name, f"{row['attempts']} attempts were made, {expect.attempts} are allowed"
        run = "{order_id}/{step}/{part}/{ordinal}".format(**row)
        if f"order-{row['order_id']}" in evidence.streams and not failed[run]:
            yield name, f"{run} is a dead letter, and its order does not know (no StepFailed)"
    letters = {
        "{order_id}/{step}/{part}/{ordinal}".format(**row) for row in evidence.rows("dead_letters") if row["step"]
    }
    yield from ((run, "failed for good, and there is no letter") for run in failed if run not in letters)


def _untold(row: Row) -> Iterator[str]:
    if not row["reason"].strip():
        yield "has no cause"
    if row["died_at"] is None:
        yield "does not tell when"
    elif (
        row["kind"] == "run"
        and row["first_tried_at"]
        and read_moment(row["first_tried_at"]) > read_moment(row["died_at"])
    ):
        yield "was tried first after it had died"
    if row["kind"] == "run" and not (row["order_id"] and row["step"]):
        yield "names no run"


def _bytes_wrong(row: Row) -> Iterator[str]:
    body = _bytes(row)
    size, told = row.get("body_size"), row.get("body_sha256")
    if row["body"] is None or (not body and size):
        yield "is a message without its bytes"
    elif size is not None and len(body) != min(size, 65536):
        yield f"keeps {len(body)} of {size} bytes"
    elif told and size == len(body) and _hash(body) != told:
        yield "keeps other bytes than came"
    if not row["origin"]:
        yield "does not tell which queue it came from"


def only_the_guilty_die(evidence: Evidence, expect: Expect) -> Findings:
    """K22: the dead letters are those that were planted. A planted one is an `order_id` (with a `step`), or the `text` of a message."""
    planted = evidence.told_of("planted")
    yield from _runs(evidence, {(one["order_id"], one.get("step")) for one in planted if "order_id" in one}, expect)
    texts = Counter(_hash(one["text"].encode()) for one in planted if "text" in one)
    words = {_hash(one["text"].encode()): one["text"] for one in planted if "text" in one}
    found = Counter[str]()
    for row in evidence.rows("dead_letters"):
        if row["kind"] == "message" and not row.get("original_of"):
            came = row.get("body_sha256") or _hash(_bytes(row))
            found[came] += 1
            if came not in texts and not expect.letters:
                yield (
                    f"letter {row['id']}",
                    f"a message from {row['origin']} is dead, and nobody planted it: {row['reason']}",
                )
    yield from ((words[text], "was planted, and is no dead letter") for text in texts if not found[text])


def _runs(evidence: Evidence, planted: set[tuple[str, str | None]], expect: Expect) -> Findings:
    open_letters = [
        row for row in evidence.rows("dead_letters") if row["kind"] == "run" and row.get("state", "open") == "open"
    ]
    dead = {(row["order_id"], step) for row in evidence.rows("dead_letters") for step in (row["step"], None)}
    for row in open_letters:
        if not {(row["order_id"], row["step"]), (row["order_id"], None)} & planted and not expect.letters:
            yield "{order_id}/{step}/{part}/{ordinal}".format(**row), f"is innocent, and dead: {row['reason']}"
    yield from (
        (order_id, f"should be a dead letter ({step or 'any step'})")
        for order_id, step in sorted(planted - dead, key=str)
    )


def _bytes(row: Row) -> bytes:
    return bytes.fromhex((row["body"] or "").removeprefix("\\x"))


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def nothing_is_tried_too_often(evidence: Evidence, expect: Expect) -> Findings:
    """K23: attempts within their bound, at the gateway too; waits within the ceiling, and not all alike."""
    retries = Counter(_prefix(event.order_id, event.data["step"]) for event in evidence.of_type("StepRetried"))
    for row in (evidence.ledger or {}).get("requests", []):
        order_id = row["key"].split(":")[0].split("+")[0]
        bound = (expect.attempts + expect.crashes) * (1 + retries[_prefix(order_id, row["operation"])])
        if row["attempts"] > bound and not _was_parked(evidence, order_id):
            yield row["key"], f"was called {row['attempts']} times, {bound} are allowed"
    for row in evidence.rows("step_runs"):
        if row["attempts"] > expect.attempts or row.get("crashes", 0) > expect.crashes + 1:
            yield (
                "{order_id}/{step}/{part}/{ordinal}".format(**row),
                f"was tried {row['attempts']} times, lost {row.get('crashes', 0)} times",
            )
    yield from _waits(evidence, expect)


def _prefix(order_id: str, step: str) -> str:
    return f"{order_id}/{step}"


def _was_parked(evidence: Evidence, order_id: str) -> bool:
    """Attempts during an outage are given back, so their number has no bound."""
    looks = evidence.watched or []
    return any(
        row["order_id"] == order_id and row.get("parked_on")
        for look in looks
        for row in look.get("step_runs", {}).values()
    )


def _waits(evidence: Evidence, expect: Expect) -> Findings:
    """Each wait was seen as long as it was left; the longest look at it is the nearest to what was drawn."""
    waits: dict[tuple[str, int], tuple[str, float]] = {}
    alike = defaultdict[str, set[str]](set)
    for look in evidence.watched or []:
        at = read_moment(look["at"])
        for name, row in look.get("step_runs", {}).items():
            if row["state"] != "ready" or not row["attempts"] or row.get("parked_on") or not row["last_error"]:
                continue
            left = (read_moment(row["due_at"]) - at).total_seconds()
            waits.setdefault((name, row["attempts"]), (row["last_error"], left))
            alike[row["due_at"]].add(name)
    for (name, attempts), (error, left) in waits.items():
        if left > expect.backoff_cap_s + SLACK_S and "RateLimited" not in error:
            yield name, f"waits {left:.1f} s after attempt {attempts}, the ceiling is {expect.backoff_cap_s:g} s"
    most = max(map(len, alike.values()), default=0)
    if len(waits) >= ENOUGH and most > len(waits) / 2:
        yield "retries", f"{most} of {len(waits)} come back at the very same time"
