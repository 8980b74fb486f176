"""What can be asked of the outside world, and how it replies: the values between the doors, the desk and the connections."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from workers.simulator.behaviour import Fault, Operation
from workers.simulator.bodies import Body
from workers.simulator.scene import Answer, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A call that changes something, under an idempotency key."""

    service: str
    operation: Operation
    key: str
    body: Body
    perform: Callable[[Scene, Any], Answer]  # takes the body of its operation

    @property
    def subject(self) -> str:
        return self.key

    def body_hash(self) -> str:
        return blake2b(f"{self.operation}\n{self.body.model_dump_json()}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Asks what became of a key."""

    service: str
    key: str
    operation: Operation = "inquire"

    @property
    def subject(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Asks where a parcel is."""

    tracking: str
    operation: Operation = "track"

    @property
    def subject(self) -> str:
        return self.tracking


Call = Act | Inquiry | Tracking


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send, when, and how to spoil it."""

    status: int
    body: bytes
    fault: Fault | None = None
    delay_s: float = 0.0
    retry_after_s: int | None = None


def problem(status: int, error: str, message: str, **more: object) -> Reply:
    return Reply(status=status, body=json.dumps({"error": error, "message": message, **more}).encode())
