"""What happened, line by line, and the fingerprint of it.

Two runs of one seed must leave the same fingerprint, in any process; a run that fails shows its last lines.
"""

import sys
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b


def say(text: str) -> None:
    """For whoever sits in front of it."""
    sys.stdout.write(f"{text}\n")


class Trace:
    """`tell`: also shown at once."""

    def __init__(self, clock: Callable[[], float], tell: Callable[[str], None] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []
        self._clock = clock
        self._tell = tell

    def note(self, who: str, what: str) -> None:
        line = f"{self._clock():12.3f}  {who:12} {what}"
        self.lines.append(line)
        if self._tell is not None:
            self._tell(line)

    def fault(self, kind: str, who: str, what: str = "") -> None:
        """A fault struck."""
        self.counts[kind] += 1
        self.note(who, f"! {kind} {what}")

    def fingerprint(self) -> str:
        return blake2b("\n".join(self.lines).encode(), digest_size=12).hexdigest()
