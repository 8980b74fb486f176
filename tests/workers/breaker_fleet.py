"""Processes with breakers on one board and one clock, and what happens to them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from domain.breaker import Breaker, Changed, Limits, State
from domain.errors import OutcomeUnknown, StoreUnavailable, Unavailable
from domain.work import Run, RunKey, Step
from infrastructure.memory.breakers import MemoryBreakers
from workers.breakers import Breakers

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LIMITS = Limits()
DOWN = OutcomeUnknown("status 503")
GONE = Unavailable("refused")


class Fleet:
    """Processes on one board, and one clock for all."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.backlog = 0
        self.away = False
        self.round_trips = 0
        self.forgiven: list[tuple[Sequence[Step], datetime]] = []
        self.overlooked: list[tuple[datetime, datetime]] = []
        self.board = Board(self)

    def process(self, name: str = "w") -> Breakers:
        breakers = Breakers(
            self.board,
            process=name,
            forgive=self.forgive,
            overlook=self.overlook,
            clock=lambda: self.seconds,
            random=lambda: 0.5,
        )
        breakers.refresh()
        return breakers

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def forgive(self, steps: Sequence[Step], since: datetime, /) -> int:
        self.forgiven.append((steps, since))
        return 1

    def overlook(self, steps: Sequence[Step], began: datetime, ended: datetime, /) -> int:
        assert Step.CAPTURE in steps
        self.overlooked.append((began, ended))
        return 1

    def state(self) -> State:
        return self.board.read()[1].get("payment", Breaker(dependency="payment")).state


class Board(MemoryBreakers):
    """It counts what it is asked, and can be away."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet.now, lambda _, limit: min(fleet.backlog, limit))
        self.fleet = fleet
        self.meanwhile: Callable[[], object] = lambda: None

    def read(self) -> tuple[datetime, Mapping[str, Breaker]]:
        self._trip()
        found = super().read()
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return found

    def lose_everything(self) -> None:
        self._breakers.clear()

    def change(self, after: Breaker, changes: Sequence[Changed], *, process: str) -> bool:
        self._trip()
        return super().change(after, changes, process=process)

    def _trip(self) -> None:
        self.fleet.round_trips += 1
        if self.fleet.away:
            raise StoreUnavailable("gone")


def run(number: int = 1) -> Run:
    return Run(RunKey(f"o-{number}", Step.CAPTURE), 1, number)


def calls(breakers: Breakers, count: int, error: Exception | None = None, elapsed_s: float = 0.0) -> None:
    for number in range(count):
        breakers.admit("payment", run(number))
        breakers.report("payment", run(number), error, elapsed_s)


def open_it(fleet: Fleet, breakers: Breakers) -> None:
    for number in range(LIMITS.window_calls):
        if fleet.state() is State.CLOSED:
            breakers.report("payment", run(number), DOWN, 0.0)
    assert fleet.state() is State.OPEN


def half_open(fleet: Fleet, breakers: Breakers, wanted: int = 10) -> int:
    fleet.seconds += LIMITS.open_s + 0.1
    breakers.refresh()
    return breakers.grant("payment", wanted)
