"""Idempotency of one in-process service: a key acts once within its window, whatever fails around it.

One lock a service, held for the few microseconds of an act; delays are slept outside it.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar, cast

from domain.errors import Incident, OutcomeUnknown, RateLimited, Unavailable
from infrastructure.gateways.inprocess.behaviour import InProcessBehaviour

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class _Known(Generic[A]):
    request: object
    answer: A
    at: datetime


class World:
    """What the services share: the behaviour, which may be replaced at any time, and the clock."""

    def __init__(self, behaviour: InProcessBehaviour, clock: Callable[[], datetime]) -> None:
        self.behaviour = behaviour
        self.clock = clock


class Memory(Generic[A]):
    """Remembers answers of type A by key."""

    def __init__(self, world: World) -> None:
        self.lock = Lock()
        self._world = world
        self._known: dict[str, _Known[A]] = {}
        self._attempts: Counter[str] = Counter()  # only counted while calls may fail
        self._generations: Counter[str] = Counter()

    def once(self, operation: str, key: str, request: object, act: Callable[[str, datetime], B]) -> B:
        """Calls `act` with a reference unique to key and generation, unless the key has an answer already."""
        behaviour = self._world.behaviour
        with self.lock:
            fault = self._fault_before(behaviour, operation, key)
            now = self._world.clock()
            known = self._recall(behaviour, key, now)
            if known is None:
                answer = act(self._reference(key), now)
                self._known[key] = _Known(request, cast("A", answer), now)
            elif known.request != request:
                raise Incident(f"key {key} was used for another request")
            else:
                answer = cast("B", known.answer)
        _sleep(behaviour, operation, key)
        if fault == "lost_answer":
            raise OutcomeUnknown("the answer was lost")
        return answer

    def read(self, operation: str, subject: str, look: Callable[[datetime], B]) -> B:
        """A call that changes nothing; it may fail like any other."""
        behaviour = self._world.behaviour
        with self.lock:
            fault = self._fault_before(behaviour, operation, subject)
            answer = look(self._world.clock())
        _sleep(behaviour, operation, subject)
        if fault == "lost_answer":
            raise OutcomeUnknown("the answer was lost")
        return answer

    def inquire(self, key: str) -> A | None:
        return self.read("inquire", key, lambda now: self._find(key, now))

    def _find(self, key: str, now: datetime) -> A | None:
        known, behaviour = self._known.get(key), self._world.behaviour
        window_s = behaviour.key_ttl_s if behaviour.inquiry_ttl_s is None else behaviour.inquiry_ttl_s
        return known.answer if known and (now - known.at).total_seconds() < window_s else None

    def _recall(self, behaviour: InProcessBehaviour, key: str, now: datetime) -> _Known[A] | None:
        known = self._known.get(key)
        if known is None or (now - known.at).total_seconds() < behaviour.key_ttl_s:
            return known
        self._generations[key] += 1
        return None

    def _reference(self, key: str) -> str:
        generation = self._generations[key] if self._generations else 0
        return f"{key}~{generation}" if generation else key

    def _fault_before(self, behaviour: InProcessBehaviour, operation: str, key: str) -> str | None:
        """Raises what strikes before acting; returns what is to strike after it."""
        if not behaviour.is_faulty:
            return None
        self._attempts[f"{operation} {key}"] += 1
        fault = behaviour.fault(operation, key, self._attempts[f"{operation} {key}"])
        if fault == "unavailable":
            raise Unavailable("the service was not reached")
        if fault == "too_many":
            raise RateLimited("status 429: too_many", retry_after_s=behaviour.retry_after_s)
        if fault == "error_before":
            raise OutcomeUnknown("status 500: internal")
        return fault


def _sleep(behaviour: InProcessBehaviour, operation: str, key: str) -> None:
    if behaviour.latency_ms or behaviour.latency_jitter_ms:
        time.sleep(behaviour.delay_s(operation, key))
