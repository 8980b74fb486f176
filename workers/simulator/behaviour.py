"""How the outside world behaves: shares of refusals, delays, and the faults to inject. All of it may change while it runs.

Chance is drawn from a hash of the seed and of what is asked (order, key, attempt), never from a generator: the same order meets the
same fate in every run, whatever the order of the calls and however many processes make them.
"""

from hashlib import blake2b
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Operation = Literal[
    "risk", "authorize", "capture", "void", "label", "refund_label", "hand_over", "track", "notify", "inquire"
]
Before = Literal["error_before", "unavailable", "drop_before", "reset", "too_many"]
After = Literal["error_after", "drop_after", "garbage", "drip", "huge", "other_amount"]
Fault = Before | After
Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000_000)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]

BEFORE_ACTING: tuple[Fault, ...] = get_args(Before)
AFTER_ACTING: tuple[Fault, ...] = get_args(After)


def roll(seed: int, *subject: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    text = "\0".join(map(str, (seed, *subject)))
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Latency(Strict):
    """An answer leaves `fixed_ms` plus up to `jitter_ms` after it was decided."""

    fixed_ms: Milliseconds = 0
    jitter_ms: Milliseconds = 0


class Faults(Strict):
    """The share of calls that meet each fault; together at most 1, what is left is served well.

    Nothing is done under `error_before` (500), `unavailable` (503), `drop_before` (the connection ends), `reset` (it is torn down)
    and `too_many` (429). It is done under `error_after` (500), `drop_after`, `garbage` (HTML, half a JSON, no HTTP), `drip` (byte by
    byte), `huge` (a gigabyte is announced) and `other_amount` (the answer names one minor unit more).
    """

    error_before: Share = 0.0
    unavailable: Share = 0.0
    drop_before: Share = 0.0
    reset: Share = 0.0
    too_many: Share = 0.0
    error_after: Share = 0.0
    drop_after: Share = 0.0
    garbage: Share = 0.0
    drip: Share = 0.0
    huge: Share = 0.0
    other_amount: Share = 0.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(getattr(self, fault) for fault in (*BEFORE_ACTING, *AFTER_ACTING)) > 1 + 1e-9:
            raise ValueError("the shares of all faults together are at most 1")
        return self

    def pick(self, draw: float) -> Fault | None:
        for fault in (*BEFORE_ACTING, *AFTER_ACTING):
            draw -= getattr(self, fault)
            if draw < 0:
                return fault
        return None


class Behaviour(Strict):
    """Everything that a test may change, by `--config` at the start or by `PUT /control` later."""

    review_share: Share = 0.0
    reject_share: Share = 0.0
    hard_decline_share: Share = 0.0
    soft_decline_share: Share = 0.0
    soft_recovery_share: Share = 1.0
    refused_label_share: Share = 0.0
    same_tracking_share: Share = 0.0
    refused_mail_share: Share = 0.0
    transit_ms: Milliseconds = 0
    transit_jitter_ms: Milliseconds = 0
    authorization_ttl_s: Seconds = 7 * 86_400.0
    key_ttl_s: Seconds = 86_400.0
    inquiry_ttl_s: Seconds | None = None
    label_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] = 1
    drip_interval_ms: Milliseconds = 100
    latency: Latency = Latency()
    latency_of: dict[Operation, Latency] = {}
    faults: Faults = Faults()
    faults_of: dict[Operation, Faults] = {}

    def fault(self, seed: int, operation: Operation, subject: str, attempt: int) -> Fault | None:
        faults = self.faults_of.get(operation, self.faults)
        return None if faults == _NO_FAULTS else faults.pick(roll(seed, "fault", operation, subject, attempt))

    def delay_s(self, seed: int, operation: Operation, subject: str) -> float:
        latency = self.latency_of.get(operation, self.latency)
        jitter = latency.jitter_ms * roll(seed, "latency", operation, subject) if latency.jitter_ms else 0
        return (latency.fixed_ms + jitter) / 1000

    def remembers_key(self, age_ms: int) -> bool:
        return age_ms < self.key_ttl_s * 1000

    def answers_inquiry(self, age_ms: int) -> bool:
        """Without a window of its own, an inquiry sees exactly the keys that are still remembered."""
        window_s = self.key_ttl_s if self.inquiry_ttl_s is None else self.inquiry_ttl_s
        return age_ms < window_s * 1000


_NO_FAULTS = Faults()
