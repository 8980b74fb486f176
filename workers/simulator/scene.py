"""What one act of the outside world may look at, and what it answers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from workers.simulator.behaviour import Behaviour, roll
from workers.simulator.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One call under way: inside the batch's transaction, at one moment, for one key."""

    ledger: Ledger
    behaviour: Behaviour
    seed: int
    now_ms: int
    key: str
    generation: int = 0

    def chance(self, share: float, *subject: object) -> bool:
        return share > 0 and roll(self.seed, *subject) < share

    def draw(self, *subject: object) -> float:
        return roll(self.seed, *subject)

    def reference(self, prefix: str) -> str:
        """Unique for key and generation, and the same in every run of one seed."""
        text = f"{self.seed}\0{prefix}\0{self.key}\0{self.generation}"
        return f"{prefix}_{blake2b(text.encode(), digest_size=10).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of business; the same call with the same key gets it again."""

    status: int
    body: dict[str, object]


def done(result: str, **fields: object) -> Answer:
    return Answer(status=200, body={"result": result, **fields})


def refused(code: str) -> Answer:
    return Answer(status=402, body={"result": "refused", "code": code})


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
