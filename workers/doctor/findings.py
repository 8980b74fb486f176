"""What a check comes to."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check. `fix` is what to do about it, `promise` the number of the promise it is about (docs/reliability.md)."""

    check: str
    state: State
    why: str
    fix: str = ""
    promise: str = ""
