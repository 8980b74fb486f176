"""What holds for a breaker whatever happens to it, in whatever order: found by random days of a fleet."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.breaker import (
    Ask,
    Breaker,
    Changed,
    Force,
    GiveBack,
    Granted,
    Input,
    Limits,
    Looked,
    Pause,
    Permit,
    Probed,
    State,
    Trip,
)
from domain.breaker_machine import step

LIMITS = Limits()
BY_ITSELF = {
    (State.CLOSED, State.OPEN),
    (State.CLOSED, State.RECOVERING),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.OPEN),
    (State.HALF_OPEN, State.RECOVERING),
    (State.RECOVERING, State.OPEN),
    (State.RECOVERING, State.CLOSED),
    (State.OPEN, State.OPEN),  # what was forced open for a time
    (State.CLOSED, State.CLOSED),  # what was forced closed for a time
}
chances = st.floats(0, 1, exclude_max=True)
rates = st.sampled_from([0.0, 0.1, 5.0, 200.0])


class FleetAndPerson(RuleBasedStateMachine):
    """Processes ask, call and vanish; a person forces; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 31, tzinfo=UTC)
        self.breaker = Breaker(dependency="payment")
        self.out: list[Permit] = []

    def feed(self, event: Input) -> int:
        before = self.breaker
        self.breaker, outputs = step(before, event, self.now, LIMITS)
        count = 0
        for output in outputs:
            if isinstance(output, Changed):
                assert output.who or (output.before, output.after) in BY_ITSELF
            else:
                assert isinstance(output, Granted)
                self.out += output.permits
                count += output.count
        assert self.breaker == before or outputs or not isinstance(event, (Trip, Force))
        return count

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.0, 20.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(chance=chances, rate=rates)
    def a_window_trips(self, chance: float, rate: float) -> None:
        self.feed(Trip(why="failures", failure_rate=0.9, normal_rate=rate, chance=chance))

    @rule(wanted=st.integers(0, 200))
    def somebody_asks(self, wanted: int) -> None:
        held, forced_open = self.breaker.is_held(self.now), self._is_forced_open()
        before = self.now - self.breaker.tokens_at
        count = self.feed(Ask(wanted=wanted, holder="w"))
        assert count <= wanted
        assert not (count and (forced_open or (held and self.breaker.state is not State.CLOSED)))
        if self.breaker.state is State.RECOVERING and count:
            rate = self.breaker.rate(self.now, LIMITS)
            assert count <= max(1.0, rate * LIMITS.burst_s)
            assert before >= timedelta(0)

    @precondition(lambda self: self.out)
    @rule(succeeded=st.booleans(), chance=chances)
    def a_probe_ends(self, succeeded: bool, chance: float) -> None:
        self.feed(Probed(permit=self.out.pop().id, succeeded=succeeded, why="x", chance=chance))

    @precondition(lambda self: self.out)
    @rule()
    def a_prober_vanishes(self) -> None:
        self.out.pop()

    @precondition(lambda self: self.out)
    @rule()
    def a_permit_comes_back(self) -> None:
        self.feed(GiveBack(permits=frozenset({self.out.pop().id})))

    @rule(seconds=st.none() | st.floats(0, 86_400), rate=rates)
    def the_dependency_asks_for_a_pause(self, seconds: float | None, rate: float) -> None:
        self.feed(Pause(seconds=seconds, why="429", normal_rate=rate))

    @rule(backlog=st.integers(0, 100))
    def somebody_looks(self, backlog: int) -> None:
        self.feed(Looked(backlog=backlog))

    @rule(to=st.sampled_from([State.OPEN, State.CLOSED, None]), minutes=st.none() | st.integers(1, 60))
    def a_person_decides(self, to: State | None, minutes: int | None) -> None:
        until = None if minutes is None or to is None else self.now + timedelta(minutes=minutes)
        self.feed(Force(to=to, until=until, who="ann", why="x"))

    @invariant()
    def no_more_permits_are_out_than_allowed(self) -> None:
        breaker = self.breaker
        live = [permit for permit in breaker.permits if permit.expires_at > self.now]
        assert len(live) + breaker.succeeded + breaker.failed <= LIMITS.permits
        assert not (breaker.permits and breaker.state is not State.HALF_OPEN)

    def teardown(self) -> None:
        """Whatever state was reached: time and successes lead from there to closed."""
        breaker, now = self.breaker, self.now
        if breaker.forced and breaker.forced_until is None:
            return
        for _ in range(20):
            now = max(now + timedelta(days=2), breaker.hold_until, breaker.probe_at, breaker.forced_until or now)
            breaker, outputs = step(breaker, Ask(wanted=10, holder="v"), now, LIMITS)
            for permit in [permit for output in outputs if isinstance(output, Granted) for permit in output.permits]:
                probed = Probed(permit=permit.id, succeeded=True, why="", chance=0.0)
                breaker, _ = step(breaker, probed, now, LIMITS)
            breaker, _ = step(breaker, Looked(backlog=10), now, LIMITS)
            if breaker.state is State.CLOSED:
                return
        raise AssertionError(f"stuck in {self.breaker}")

    def _is_forced_open(self) -> bool:
        breaker = self.breaker
        lasts = breaker.forced_until is None or self.now < breaker.forced_until
        return breaker.state is State.OPEN and breaker.forced and lasts


TestFleetAndPerson = FleetAndPerson.TestCase
