"""What a seed stands for: how many orders and processes there are, which faults strike and how often, and when.

Every seed draws its own handful of faults (a swarm): runs in which everything happens at once hide what two faults do to each other.
Two kinds of faults exist. Those of `rates` strike at statements, frames and calls, with a chance. Those of `plan` strike at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.simulation.chance import stream

RATES: Mapping[str, float] = {
    "store refuses": 0.05,
    "commit answer lost": 0.06,
    "commit comes late": 0.04,
    "store slow": 0.03,
    "killed before commit": 0.01,
    "killed after commit": 0.015,
    "killed at a point": 0.01,
    "others in between": 0.15,
    "frame lost": 0.3,
    "frame doubled": 0.4,
    "frame delayed": 0.3,
    "outside unreachable": 0.15,
    "outside errs": 0.15,
    "answer lost": 0.2,
    "request late": 0.1,
    "answer late": 0.15,
    "too many": 0.1,
    "killed in call": 0.02,
    "submitted again": 0.5,
}
"""The chance of each kind at every place where it could strike, at the most."""

PLANNED: Mapping[str, int] = {
    "kill": 6,
    "freeze": 4,
    "store away": 3,
    "broker away": 3,
    "broker wiped": 3,
    "outside away": 3,
    "everything killed": 1,
    "cancel": 5,
    "hold": 4,
    "release": 4,
    "delivery": 6,
    "retry the dead": 3,
    "second relay": 1,
}
"""How often each kind strikes in one run, at the most."""


LONG_WINDOW_S, SHORT_WINDOW_S = 86_400.0, 15.0
LONG_DELAYS = {"store slow", "freeze"}


@dataclass(frozen=True, slots=True)
class Planned:
    """Something that happens once: when (seconds from the beginning), for how long, and a number that says to whom."""

    at: float
    kind: str
    lasts: float
    whom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`orders` are numbers; what an order consists of follows from its number and the seed. `storm_s`: how long faults strike.

    `key_window_s`: how long keys are remembered outside; the program is told a fifth of it, which leaves room for what is late.
    """

    seed: int
    orders: tuple[int, ...]
    workers: int
    rates: Mapping[str, float]
    plan: tuple[Planned, ...]
    storm_s: float
    stock: int
    declines: float
    poison: float
    transit_s: float
    key_window_s: float
    patient: bool

    def kinds(self) -> list[str]:
        """The faults that can strike."""
        return sorted({*self.rates, *(one.kind for one in self.plan)})


def shape_of(seed: int) -> Shape:
    """What the seed stands for."""
    chance = stream(seed, "shape")
    storm_s = chance.choice([5.0, 15.0, 15.0, 40.0, 90.0])
    window_s = chance.choice([LONG_WINDOW_S, LONG_WINDOW_S, SHORT_WINDOW_S])
    return Shape(
        seed=seed,
        orders=tuple(range(1, chance.choice([2, 4, 5, 6, 8, 10, 12, 15]) + 1)),
        workers=chance.choice([1, 2, 2, 3, 3, 4]),
        rates=_some_rates(chance, window_s),
        plan=_some_plan(chance, storm_s, window_s),
        storm_s=storm_s,
        stock=chance.choice([2, 6, 15, 40, 40]),
        declines=chance.choice([0.0, 0.0, 0.1, 0.4]),
        poison=chance.choice([0.0, 0.0, 0.0, 0.1]),
        transit_s=chance.choice([0.0, 0.0, 0.0, 0.3, 0.6, 1.0, 6.0, 4000.0]),
        key_window_s=window_s,
        patient=chance.random() < 0.3,
    )


def _some_rates(chance: Random, window_s: float) -> dict[str, float]:
    share = chance.choice([0.0, 0.15, 0.3, 0.5])
    drawn = {kind: most * chance.choice([0.2, 0.5, 1.0]) for kind, most in RATES.items()}
    some = {kind: rate for kind, rate in drawn.items() if chance.random() < share}
    return {kind: rate for kind, rate in some.items() if _fits(kind, window_s)}


def _fits(kind: str, window_s: float) -> bool:
    """Nobody who sleeps longer than a gateway remembers can be kept from asking it twice: the two are not drawn together."""
    return window_s > SHORT_WINDOW_S or kind not in LONG_DELAYS


def _some_plan(chance: Random, storm_s: float, window_s: float) -> tuple[Planned, ...]:
    share = chance.choice([0.2, 0.4, 0.6])
    some = {kind: most for kind, most in PLANNED.items() if chance.random() < share and _fits(kind, window_s)}
    return plan_of(chance, storm_s, some)


def plan_of(chance: Random, storm_s: float, kinds: Mapping[str, int]) -> tuple[Planned, ...]:
    """Each kind strikes at least once, and at most so often."""
    plan = [
        Planned(chance.uniform(0, storm_s), kind, chance.choice([0.5, 3.0, 12.0, 25.0]), chance.random())
        for kind, most in kinds.items()
        for _ in range(chance.randint(1, most))
    ]
    return tuple(sorted(plan, key=lambda one: one.at))
