"""What becomes of a breaker: the pure machine behind `domain.breaker`.

Each kind of input has a function of its own; `_to` is the one place where a state is entered and where the record of it is made.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from domain.breaker import (
    NEVER,
    Ask,
    Breaker,
    Changed,
    Force,
    GiveBack,
    Granted,
    Input,
    Limits,
    Looked,
    Output,
    Pause,
    Permit,
    Probed,
    State,
    Trip,
)

CLOCK_MARGIN = 2.0  # what lies further ahead than it ever can is from before the database's clock was set back
CLOCK_LAG_S = 10.0  # no process is further behind in knowing the time

Moved = tuple[Breaker, tuple[Output, ...]]


def step(breaker: Breaker, event: Input, now: datetime, limits: Limits) -> Moved:
    """What becomes of the breaker, and what is to be told."""
    breaker, lapsed = lapse(breaker, now)
    after, outputs = _react(breaker, event, now, limits)
    return after, (*lapsed, *outputs)


def _react(breaker: Breaker, event: Input, now: datetime, limits: Limits) -> Moved:  # noqa: PLR0911 - one an input
    match event:
        case Trip():
            return _trip(breaker, event, now, limits)
        case Ask():
            return _ask(breaker, event, now, limits)
        case GiveBack():
            return _give_back(breaker, event), ()
        case Probed():
            return _probed(breaker, event, now, limits)
        case Pause():
            return _pause(breaker, event, now, limits)
        case Looked():
            return _looked(breaker, event, now, limits)
        case Force():
            return _force(breaker, event, now)
        case _:
            assert_never(event)


def lapse(breaker: Breaker, now: datetime) -> Moved:
    """What a person forced for a time ends by itself."""
    if not breaker.is_lapsed(now):
        return breaker, ()
    return _free(breaker, now, who="", why="the time for which it was forced is over")


def _trip(breaker: Breaker, event: Trip, now: datetime, limits: Limits) -> Moved:
    if breaker.forced or breaker.state not in {State.CLOSED, State.RECOVERING}:
        return breaker, ()
    seen = replace(breaker, failure_rate=event.failure_rate)
    if breaker.state is State.CLOSED:
        seen = replace(seen, troubled_since=now, normal_rate=event.normal_rate)
    return _open(seen, event.why, event.chance, now, limits)


def _open(breaker: Breaker, why: str, chance: float, now: datetime, limits: Limits) -> Moved:
    wait_s = min(limits.open_cap_s, limits.open_s * limits.open_growth ** min(breaker.openings, 50))
    probe_at = now + timedelta(seconds=wait_s * (0.8 + 0.4 * chance))
    return _to(State.OPEN, replace(breaker, probe_at=probe_at, openings=breaker.openings + 1), now, why)


def _ask(breaker: Breaker, event: Ask, now: datetime, limits: Limits) -> Moved:
    if event.wanted <= 0 or breaker.is_held(now):
        return breaker, ()
    match breaker.state:
        case State.CLOSED:
            return breaker, (Granted(count=event.wanted),)
        case State.RECOVERING:
            return _give_tokens(breaker, event.wanted, now, limits)
        case State.HALF_OPEN:
            return _give_permits(breaker, event, now, limits)
        case State.OPEN:
            return _probe(breaker, event, now, limits)
        case _:
            assert_never(breaker.state)


def _probe(breaker: Breaker, event: Ask, now: datetime, limits: Limits) -> Moved:
    longest = timedelta(seconds=limits.open_cap_s) * CLOCK_MARGIN
    if breaker.forced or now < breaker.probe_at <= now + longest:
        return breaker, ()
    half_open, told = _to(State.HALF_OPEN, breaker, now, "its time is over")
    after, granted = _give_permits(half_open, event, now, limits)
    return after, (*told, *granted)


def _give_permits(breaker: Breaker, event: Ask, now: datetime, limits: Limits) -> Moved:
    live = _live(breaker, now, limits)
    free = limits.permits - breaker.succeeded - breaker.failed - len(live)
    count = min(event.wanted, free)
    if count <= 0:
        return breaker, ()
    until = now + timedelta(seconds=limits.permit_s)
    fresh = tuple(
        Permit(id=breaker.issued + number, holder=event.holder, expires_at=until) for number in range(1, count + 1)
    )
    after = replace(breaker, permits=live + fresh, issued=breaker.issued + count)
    return after, (Granted(count=count, permits=fresh),)


def _live(breaker: Breaker, now: datetime, limits: Limits) -> tuple[Permit, ...]:
    longest = timedelta(seconds=limits.permit_s) * CLOCK_MARGIN
    return tuple(permit for permit in breaker.permits if now < permit.expires_at <= now + longest)


def _give_tokens(breaker: Breaker, wanted: int, now: datetime, limits: Limits) -> Moved:
    rate = breaker.rate(now, limits)
    passed_s = (now - breaker.tokens_at).total_seconds()
    if passed_s < 0:
        passed_s = 0.0 if -passed_s < CLOCK_LAG_S else limits.burst_s
    there = min(breaker.tokens + rate * passed_s, max(1.0, rate * limits.burst_s))
    count = min(wanted, int(there))
    if count <= 0:
        return breaker, ()
    return replace(breaker, tokens=there - count, tokens_at=breaker.tokens_at if passed_s == 0 else now), (
        Granted(count=count),
    )


def _give_back(breaker: Breaker, event: GiveBack) -> Breaker:
    if breaker.state is State.HALF_OPEN and event.permits:
        return replace(breaker, permits=tuple(one for one in breaker.permits if one.id not in event.permits))
    if breaker.state is State.RECOVERING and event.tokens > 0:
        return replace(breaker, tokens=breaker.tokens + event.tokens)
    return breaker


def _probed(breaker: Breaker, event: Probed, now: datetime, limits: Limits) -> Moved:
    left = tuple(permit for permit in breaker.permits if permit.id != event.permit)
    if breaker.state is not State.HALF_OPEN or len(left) == len(breaker.permits):
        return breaker, ()
    seen = replace(
        breaker,
        permits=left,
        succeeded=breaker.succeeded + event.succeeded,
        failed=breaker.failed + (not event.succeeded),
    )
    if seen.failed >= limits.failure_rate * limits.permits:
        return _open(seen, f"{seen.failed} of its probes failed: {event.why}", event.chance, now, limits)
    if limits.permits - seen.succeeded < limits.failure_rate * limits.permits:
        return _recover(seen, f"{seen.succeeded} of its probes succeeded", now, limits)
    return seen, ()


def _recover(breaker: Breaker, why: str, now: datetime, limits: Limits) -> Moved:
    """Who releases at 1.25 times the normal rate needs four times the outage to make up for it."""
    known = breaker.normal_rate > 0
    steady = (now - breaker.troubled_since) * limits.patience if known else timedelta(0)
    rate = max(limits.release_floor, breaker.normal_rate * limits.release_factor)
    return _to(State.RECOVERING, _with_rate(breaker, rate, now, steady), now, why)


def _with_rate(breaker: Breaker, rate: float, now: datetime, steady: timedelta) -> Breaker:
    return replace(breaker, release_rate=rate, steady_until=now + steady, tokens=0.0, tokens_at=now)


def _pause(breaker: Breaker, event: Pause, now: datetime, limits: Limits) -> Moved:
    """The first request for a pause lowers the rate as well; those of the calls that were under way only prolong it."""
    if breaker.forced:
        return breaker, ()
    pause = timedelta(seconds=min(max(limits.pause_s, event.seconds or 0.0), limits.pause_cap_s))
    held = replace(breaker, hold_until=max(breaker.hold_until, now + pause))
    if breaker.is_held(now) or breaker.state in {State.OPEN, State.HALF_OPEN}:
        return held, ()
    if breaker.state is State.RECOVERING:
        lower = max(limits.release_floor, breaker.normal_rate * limits.least_factor, breaker.rate(now, limits) * 0.7)
        return _with_rate(held, lower, held.hold_until, pause * limits.patience), ()
    known = event.normal_rate > 0
    seen = replace(held, troubled_since=now, normal_rate=event.normal_rate)
    slower = _with_rate(
        seen,
        max(limits.release_floor, event.normal_rate),
        held.hold_until,
        pause * limits.patience if known else timedelta(0),
    )
    return _to(State.RECOVERING, slower, now, event.why)


def _looked(breaker: Breaker, event: Looked, now: datetime, limits: Limits) -> Moved:
    if not breaker.ends_with_the_backlog(now):
        return breaker, ()
    if breaker.state is State.HALF_OPEN:
        return _tried_all(breaker, event, now, limits)
    if event.backlog > breaker.rate(now, limits) * limits.idle_s:
        return breaker, ()
    return _to(State.CLOSED, replace(breaker, openings=0), now, "nothing waits any more")


def _tried_all(breaker: Breaker, event: Looked, now: datetime, limits: Limits) -> Moved:
    """Fewer runs than permits: what there was to try was tried, and the next order may be a day away."""
    if event.backlog or _live(breaker, now, limits):
        return breaker, ()
    return _recover(breaker, f"{breaker.succeeded} of its probes succeeded, and nothing else waits", now, limits)


def _force(breaker: Breaker, event: Force, now: datetime) -> Moved:
    if event.to is None:
        return _free(breaker, now, who=event.who, why=event.why)
    if breaker.state is State.CLOSED:
        breaker = replace(breaker, troubled_since=now, normal_rate=event.normal_rate)
    forced = replace(breaker, forced=True, forced_until=event.until, hold_until=NEVER, openings=0)
    return _to(event.to, forced, now, event.why, event.who)


def _free(breaker: Breaker, now: datetime, *, who: str, why: str) -> Moved:
    """Let the breaker decide again: what was open is probed at once."""
    if not breaker.forced and not breaker.is_held(now) and breaker.state is not State.OPEN:
        return breaker, ()
    freed = replace(breaker, forced=False, forced_until=None, probe_at=now, hold_until=NEVER)
    return _to(breaker.state, freed, now, why, who)


def _to(state: State, breaker: Breaker, now: datetime, why: str, who: str = "") -> Moved:
    changed = Changed(before=breaker.state, after=state, why=why, who=who)
    after = replace(breaker, state=state, since=now, why=why, permits=(), succeeded=0, failed=0)
    return after, (changed,)
