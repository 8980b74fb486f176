"""Whether the calls to a versioned register look as if they had happened one after the other: linearizability, after Wing and Gong.

The register holds a version and a value. `change` sets the value and the next version if the version is the expected one; else it is
refused. Each call has an interval, from before it was asked to after it was answered, and must have happened at one moment within. A
change whose answer was lost may have happened at any moment after it was asked, or never.

    search    from version to version: of the calls that may be next (none that has not happened ended before they began), each that
              the register allows; never twice from the same set of calls in the same state
    short cut what only looks and is right now may as well happen now; so only changes branch, and thousands of reads cost nothing
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

START = (0, "{}")
State = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`kind` read, change, refused (a change that found another version) or lost (a change without an answer).

    `version` is what was read, made or found; `value` what was read or was to be set. None where the caller was not told.
    """

    client: str
    kind: str
    began: float
    ended: float = inf
    expected: int | None = None
    version: int | None = None
    value: str | None = None

    def after(self, state: State) -> State | None:
        """What the register is after it; None if it cannot have happened to the register as it is."""
        version = state[0]
        match self.kind:
            case "read":
                return state if (self.version, self.value) == state else None
            case "refused":
                return state if version != self.expected and self.version in (None, version) else None
            case "change" if self.version != version + 1:
                return None
            case _:
                return (version + 1, self.value or "") if version == self.expected else None

    def __str__(self) -> str:
        told = {"read": "read", "change": "made", "refused": "found", "lost": "wanted to make"}[self.kind]
        version = self.version if self.kind != "lost" or self.expected is None else self.expected + 1
        until = "" if self.ended == inf else f" and {self.ended:.6f}"
        return f"{self.client} {told} version {version} ({self.value}) after {self.began:.6f}{until}"


def unexplained(calls: Sequence[Call], start: State = START) -> list[str]:
    """Nothing if some order explains all calls; else how far one gets, and the calls that cannot come next."""
    calls = sorted(calls, key=lambda call: call.began)
    must = sum(1 << place for place, call in enumerate(calls) if call.kind != "lost")
    tried: set[tuple[int, State]] = set()
    furthest = (0, start)
    stack = [furthest]
    while stack:
        done, state = stack.pop()
        done = _looked(calls, done, state)
        if done & must == must:
            return []
        if (done, state) in tried:
            continue
        tried.add((done, state))
        furthest = max(furthest, (done, state), key=lambda found: (found[0] & must).bit_count())
        stack += _steps(calls, done, state)
    done, (version, value) = furthest
    stuck = [calls[place] for place in _next(calls, done) if calls[place].kind != "lost"]
    return [f"at version {version} ({value}) cannot come next: {call}" for call in stuck]


def _next(calls: Sequence[Call], done: int) -> Iterator[int]:
    """Those that may happen before all others that have not happened yet."""
    bound = inf
    for place, call in enumerate(calls):
        if done >> place & 1:
            continue
        if call.began > bound:
            return
        bound = min(bound, call.ended)
        yield place


def _looked(calls: Sequence[Call], done: int, state: State) -> int:
    """All that only looks and is right now has happened too."""
    before = -1
    while before != done:
        before = done
        for place in list(_next(calls, done)):
            if calls[place].kind in ("read", "refused") and calls[place].after(state):
                done |= 1 << place
    return done


def _steps(calls: Sequence[Call], done: int, state: State) -> list[tuple[int, State]]:
    """The changes that may be next; those that were answered are tried first, off the end of a stack."""
    places = sorted(_next(calls, done), key=lambda place: calls[place].kind != "lost")
    found = [(place, calls[place].after(state)) for place in places]
    return [(done | 1 << place, after) for place, after in found if after is not None]
