"""Serves calls in batches, one transaction each, and keeps the promise of idempotency keys.

    same key, same body        the stored answer
    same key, other body       409 key_reused
    key older than its window  forgotten: the service acts again, as real ones do

A batch is what has arrived while the last one was written: an answer is never sent before its row is on disk, yet a thousand callers
share one flush. What is injected as a fault is decided here, per key and attempt, and played by the connection.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from workers.simulator import parcels
from workers.simulator.behaviour import BEFORE_ACTING, Behaviour, Fault, Operation
from workers.simulator.calls import Act, Call, Inquiry, Reply, Tracking, problem
from workers.simulator.ledger import Ledger
from workers.simulator.memory import Memory, Remembered
from workers.simulator.scene import Answer, Scene

log = structlog.get_logger(__name__)


class Desk:
    """One thread, one ledger; `behaviour` may be replaced between batches."""

    def __init__(self, ledger: Ledger, *, seed: int, behaviour: Behaviour, clock_ms: Callable[[], int]) -> None:
        self.behaviour = behaviour
        self._ledger = ledger
        self._memory = Memory(ledger)
        self._seed = seed
        self._clock_ms = clock_ms
        self._spoiled_reads: Counter[tuple[Operation, str]] = Counter()

    def change(self, behaviour: Behaviour) -> None:
        with self._ledger.transaction():
            self._ledger.run("add_control", at=self._clock_ms(), behaviour=behaviour.model_dump_json())
        self.behaviour = behaviour

    def serve(self, calls: Sequence[Call]) -> list[Reply]:
        """Answers in the order of the calls, durable when this returns."""
        try:
            with self._ledger.transaction():
                return [self._serve(call) for call in calls]
        except Exception:
            log.exception("batch rolled back", calls=len(calls))
            return [problem(500, "ledger_failed", "the ledger could not be written; nothing was done")] * len(calls)

    def _serve(self, call: Call) -> Reply:
        at = self._clock_ms()
        reply = self._act(call) if isinstance(call, Act) else self._read(call)
        self._ledger.run("add_call", at=at, operation=call.operation, subject=call.subject, fault=reply.fault)
        if reply.fault is not None:
            self._ledger.run("count_fault", operation=call.operation, fault=reply.fault)
        return reply

    def _act(self, call: Act) -> Reply:
        now_ms = self._clock_ms()
        known, generation = self._memory.recall(call, self.behaviour, now_ms)
        fault = self.behaviour.fault(self._seed, call.operation, call.key, known.attempts + 1 if known else 1)
        if fault in BEFORE_ACTING:
            self._memory.count(call, known, generation, now_ms)
            return self._failed(fault)
        if known is not None and known.answer is not None:
            self._memory.count(call, known, generation, now_ms)
            return self._repeat(call, known, fault)
        answer = call.perform(self._scene(call.key, now_ms, generation), call.body)
        text = json.dumps(answer.body)
        self._memory.record(call, known, generation, now_ms, (answer.status, text))
        return self._reply(call, answer.status, text, fault)

    def _repeat(self, call: Act, known: Remembered, fault: Fault | None) -> Reply:
        if known.body_hash != call.body_hash():
            return problem(409, "key_reused", f"key {call.key} was used for another request")
        return self._reply(call, known.status or 200, known.answer or "", fault)

    def _read(self, call: Inquiry | Tracking) -> Reply:
        fault = self._read_fault(call)
        if fault in BEFORE_ACTING:
            return self._failed(fault)
        answer = self._inquire(call) if isinstance(call, Inquiry) else self._track(call)
        return self._reply(call, answer.status, json.dumps(answer.body), fault)

    def _read_fault(self, call: Inquiry | Tracking) -> Fault | None:
        """Reads leave no row, so what was spoiled is counted here: a repeat must be able to meet another fate."""
        place = (call.operation, call.subject)
        fault = self.behaviour.fault(self._seed, *place, self._spoiled_reads[place] + 1)
        if fault is not None:
            self._spoiled_reads[place] += 1
        return fault

    def _inquire(self, inquiry: Inquiry) -> Answer:
        known = self._memory.inquire(inquiry, self.behaviour, self._clock_ms())
        if known is None:
            return Answer(status=404, body={"error": "unknown_key", "message": "no operation with this key is known"})
        return Answer(status=known.status or 200, body=json.loads(known.answer or "{}"))

    def _track(self, call: Tracking) -> Answer:
        return parcels.track(self._scene(call.tracking, self._clock_ms(), 0), call.tracking)

    def _scene(self, key: str, now_ms: int, generation: int) -> Scene:
        return Scene(
            ledger=self._ledger,
            behaviour=self.behaviour,
            seed=self._seed,
            now_ms=now_ms,
            key=key,
            generation=generation,
        )

    def _reply(self, call: Call, status: int, text: str, fault: Fault | None) -> Reply:
        delay_s = self.behaviour.delay_s(self._seed, call.operation, call.subject)
        body = (_with_another_amount(text) if fault == "other_amount" else text).encode()
        return Reply(status=500 if fault == "error_after" else status, body=body, fault=fault, delay_s=delay_s)

    def _failed(self, fault: Fault | None) -> Reply:
        if fault == "too_many":
            reply = problem(429, "too_many", "slow down")
            return Reply(status=429, body=reply.body, fault=fault, retry_after_s=self.behaviour.retry_after_s)
        status = 503 if fault == "unavailable" else 500
        return Reply(status=status, body=problem(status, "internal", "injected").body, fault=fault)


def _with_another_amount(text: str) -> str:
    body = json.loads(text)
    return json.dumps({**body, "amount": body["amount"] + 1} if "amount" in body else body)
