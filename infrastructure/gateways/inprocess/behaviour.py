"""How the in-process world behaves. Chances are drawn from hashes of what is asked, never from the order of the calls."""

from dataclasses import dataclass, fields
from hashlib import blake2b

_FAULTS = ("unavailable", "too_many", "error_before", "lost_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessBehaviour:
    """Shares lie between 0 and 1. `unavailable`, `too_many` and `error_before` strike before acting, `lost_answer` after it."""

    seed: int = 0
    review_share: float = 0.0
    reject_share: float = 0.0
    hard_decline_share: float = 0.0
    soft_decline_share: float = 0.0
    soft_recovery_share: float = 1.0
    refused_label_share: float = 0.0
    refused_mail_share: float = 0.0
    transit_ms: int = 0
    transit_jitter_ms: int = 0
    authorization_ttl_s: float = 7 * 86_400.0
    key_ttl_s: float = 86_400.0
    inquiry_ttl_s: float | None = None
    label_currency: str = "EUR"
    latency_ms: int = 0
    latency_jitter_ms: int = 0
    retry_after_s: float = 1.0
    unavailable: float = 0.0
    too_many: float = 0.0
    error_before: float = 0.0
    lost_answer: float = 0.0

    def __post_init__(self) -> None:
        shares = [field.name for field in fields(self) if field.name.endswith("_share")]
        for name in (*shares, *_FAULTS):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies between 0 and 1")

    @property
    def is_faulty(self) -> bool:
        return self.unavailable + self.too_many + self.error_before + self.lost_answer > 0

    def chance(self, share: float, *subject: object) -> bool:
        return share > 0 and self.draw(*subject) < share

    def draw(self, *subject: object) -> float:
        """A number in [0, 1) that depends on the seed and the subject alone."""
        text = "\0".join(map(str, (self.seed, *subject)))
        return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56

    def fault(self, operation: str, key: str, attempt: int) -> str | None:
        draw = self.draw("fault", operation, key, attempt)
        for name in _FAULTS:
            draw -= getattr(self, name)
            if draw < 0:
                return name
        return None

    def delay_s(self, operation: str, key: str) -> float:
        if not self.latency_jitter_ms:
            return self.latency_ms / 1000
        return (self.latency_ms + self.latency_jitter_ms * self.draw("latency", operation, key)) / 1000
