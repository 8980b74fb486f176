"""What the services remember of idempotency keys: the request log, one row a key and generation.

A key that has outlived its window is forgotten: its row stays in the log for whoever checks the books, and the next call with that key
begins a new generation, as if it had never been seen.
"""

from typing import NamedTuple

from workers.simulator.behaviour import Behaviour
from workers.simulator.calls import Act, Inquiry
from workers.simulator.ledger import Ledger, Row


class Remembered(NamedTuple):
    """`answer` and `acted_at` are None as long as every attempt failed before anything was done."""

    id: int
    operation: str
    body_hash: str
    status: int | None
    answer: str | None
    acted_at: int | None
    attempts: int
    generation: int


class Memory:
    """The request log, inside the caller's transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def recall(self, call: Act, behaviour: Behaviour, now_ms: int) -> tuple[Remembered | None, int]:
        """The live row of the key, and the generation that a new row of it has."""
        known = _remembered(self._ledger.row("find_request", service=call.service, key=call.key))
        if known is None or known.acted_at is None or behaviour.remembers_key(now_ms - known.acted_at):
            return known, known.generation if known else 0
        self._ledger.run("forget_request", id=known.id, at=now_ms)
        return None, known.generation + 1

    def inquire(self, inquiry: Inquiry, behaviour: Behaviour, now_ms: int) -> Remembered | None:
        """The last time that the service acted under this key, if it can still be asked about."""
        for query in ("find_request", "last_forgotten"):
            known = _remembered(self._ledger.row(query, service=inquiry.service, key=inquiry.key))
            if known and known.acted_at is not None and behaviour.answers_inquiry(now_ms - known.acted_at):
                return known
        return None

    def count(self, call: Act, known: Remembered | None, generation: int, now_ms: int) -> None:
        """One more attempt that did nothing new."""
        if known is not None:
            self._ledger.run("count_attempt", id=known.id)
        else:
            self._add(call, generation, now_ms, status=None, answer=None)

    def record(
        self, call: Act, known: Remembered | None, generation: int, now_ms: int, answer: tuple[int, str]
    ) -> None:
        """One more attempt, which acted."""
        status, text = answer
        if known is None:
            self._add(call, generation, now_ms, status=status, answer=text)
        else:
            self._ledger.run(
                "record_answer",
                id=known.id,
                operation=call.operation,
                body_hash=call.body_hash(),
                status=status,
                answer=text,
                acted_at=now_ms,
            )

    def _add(self, call: Act, generation: int, now_ms: int, *, status: int | None, answer: str | None) -> None:
        self._ledger.run(
            "add_request",
            service=call.service,
            key=call.key,
            operation=call.operation,
            body_hash=call.body_hash(),
            status=status,
            answer=answer,
            at=now_ms,
            acted_at=None if answer is None else now_ms,
            generation=generation,
        )


def _remembered(row: Row | None) -> Remembered | None:
    return None if row is None else Remembered(*row)
