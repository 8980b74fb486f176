"""What a worker wants of the breakers: which dependencies it may serve now, and a word before and after every call.

The breakers themselves are shared by the fleet (`workers.breakers`); with `AllClosed` every call is let through.
"""

from typing import Protocol

from domain.work import DEPENDENCY, Run, Step


class Breakers(Protocol):
    """A breaker for each dependency. Safe in any thread."""

    def refresh(self) -> None:
        """Look at what the fleet agreed on, if it is time. Never raises: without the store, local limits hold."""
        ...

    def limited(self) -> frozenset[str]:
        """The dependencies whose runs are claimed by `grant` only: not plainly closed, or held to a rate."""
        ...

    def troubled(self) -> frozenset[str]:
        """Those of them that are not plainly closed: what fails there is not held against a run."""
        ...

    def grant(self, dependency: str, wanted: int, /) -> int:
        """How many runs of a limited dependency may be claimed now."""
        ...

    def give_back(self, dependency: str, count: int, /) -> None:
        """Grants that no run was found for."""
        ...

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """Asked right before a call that may come to so many requests. Raises `BreakerOpen`."""
        ...

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """What came of a call that was admitted."""
        ...


class AllClosed:
    """No breaker ever opens."""

    def refresh(self) -> None:
        """Nothing can have changed."""

    def limited(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def troubled(self) -> frozenset[str]:
        """Whatever is limited."""
        return self.limited()

    def grant(self, dependency: str, wanted: int, /) -> int:
        """Whatever is wanted, though nobody has a reason to ask."""
        del dependency
        return wanted

    def give_back(self, dependency: str, count: int, /) -> None:
        """Nothing was taken."""

    def admit(self, dependency: str, run: Run, requests: int = 1, /) -> None:
        """Everything is let through."""

    def report(self, dependency: str, run: Run, error: Exception | None, elapsed_s: float, /) -> None:
        """It changes nothing."""


def steps_of(dependency: str, steps: frozenset[Step]) -> list[Step]:
    """Those of the steps that call this dependency."""
    return sorted(step for step in steps if DEPENDENCY.get(step) == dependency)


def without(steps: frozenset[Step], dependencies: frozenset[str]) -> frozenset[Step]:
    """The steps that call none of these dependencies."""
    return frozenset(step for step in steps if DEPENDENCY.get(step) not in dependencies) if dependencies else steps
