"""One fault after the other: wait until its share of the orders is under way, strike, hold, heal, wait until all is whole again."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic, time

from tests.chaos.load import make_orders
from tests.drill.changes import Changes
from tests.drill.schedule import Act, Choice, acts_on_each, shuffled
from tests.drill.series import Series
from tests.drill.site import CUT_OFF, Site
from tests.drill.stream import Stream
from tests.drill.targets import Kind, Target
from tests.servers.simulator import await_that

MORE_S = 5.0  # a share comes in for so much longer than its fault lasts
UNDER_WAY = 0.2  # of a share is accepted before the fault that belongs to it
FINISHED = 0.5  # of the orders before that share are closed
PATIENCE_S = 180.0
QUIET_S = 300.0
MOVED = """
    SELECT count(*), count(*) FILTER (WHERE type = 'OrderPlaced'), count(*) FILTER (WHERE type = 'OrderClosed')
    FROM events WHERE recorded_at BETWEEN to_timestamp({begin}) AND to_timestamp({end})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What one fault cost. `gaps_s`: the longest time without a move, by observer; `whole_s`: from healing until all was whole."""

    kind: str
    engine: str
    target: str
    place: str
    gaps_s: Mapping[str, float]
    held_s: float
    whole_s: float
    began: float
    healed: float
    moved: Sequence[int] = field(default=())


class Drill:
    """`tell` is called with each fault as soon as it is over."""

    def __init__(self, site: Site, *, orders: int, rate: float, hold_s: float, tell: Callable[[Struck], None]) -> None:
        self._site = site
        self._orders = orders
        self._rate = rate
        self._hold_s = hold_s
        self._tell = tell
        self._choice = Choice()
        self.changes = Changes(site.shop)

    def run(self, acts: Sequence[Act]) -> list[Struck]:
        """The first share of the orders meets no fault: that is what the others are compared with."""
        site, shop = self._site, self._site.shop
        shop.stock_up(orders=2 * self._orders, rare=4 * self._orders)
        orders = make_orders(self._orders, prefix="D", chance=shop.chance)
        shares = 1 + len(acts)
        stream = Stream(
            shop, orders, shares=shares, rate=min(self._rate, len(orders) / shares / (self._hold_s + MORE_S))
        )
        series = site.watch()
        try:
            struck = [self._perform(number, act, stream, series) for number, act in enumerate([None, *acts])]
            stream.finish()
        finally:
            stream.stop()
            for one in series.values():
                one.stop()
        shop.history.mark("calm", datetime.now(UTC).isoformat())
        await_that(shop.is_quiet, within_s=QUIET_S + self._orders / 5)
        return [self._with_moved(one) for one in struck]

    def _perform(self, share: int, act: Act | None, stream: Stream, series: Mapping[str, Series]) -> Struck:
        stream.allow()
        self._await_share(share, stream)
        target = self._choice.of(act) if act else Nothing()
        kind: Kind = act.kind if act else "kill"
        place = target.place()
        began, begin = time(), monotonic()
        target.strike(kind)
        self.changes.make(share)
        self._last(begin + self._hold_s)
        healed, heal = time(), monotonic()
        target.heal(kind)
        await_that(lambda: target.is_whole() and series["orders"].has_moved(heal), within_s=PATIENCE_S)
        end = monotonic()
        struck = Struck(
            kind=kind if act else "nothing",
            engine=target.engine,
            target=target.name,
            place=place,
            gaps_s={name: one.longest_s(begin, end) for name, one in series.items()},
            held_s=heal - begin,
            whole_s=end - heal,
            began=began,
            healed=healed,
        )
        self._site.shop.history.sample(self._site.shop.observer.sample())
        self._tell(struck)
        return struck

    def _await_share(self, share: int, stream: Stream) -> None:
        placed, closed = stream.before(share, UNDER_WAY), int(FINISHED * stream.before(share, 0))

        def reached() -> bool:
            stream.check()
            now = self._site.shop.observer.progress()
            return now[0] >= placed and now[1] >= closed

        await_that(reached, within_s=PATIENCE_S)

    def _last(self, until: float) -> None:
        """A fault lasts for a while."""
        threading.Event().wait(max(0.0, until - monotonic()))

    def _with_moved(self, struck: Struck) -> Struck:
        query = MOVED.format(begin=struck.began, end=struck.healed)
        rows = self._site.shop.observer.ask(query) or [()]
        return Struck(**{**{name: getattr(struck, name) for name in Struck.__slots__}, "moved": rows[0]})


class Nothing:
    """For comparison: no fault at all."""

    name = engine = ""

    def place(self) -> str:
        return ""

    def strike(self, kind: Kind) -> None:
        """Leaves everything as it is."""

    heal = strike

    def is_whole(self) -> bool:
        return True


def all_acts(site: Site, *, failover: bool) -> list[Act]:
    """Every node and every role in turn, every kind of fault on every engine; the primary's fail-over comes last."""
    acts = [*acts_on_each(site.nodes()), *acts_on_each(site.members())]
    acts += [*acts_on_each([site.replica()]), *acts_on_each([site.primary()], ("kill", "freeze"))]
    role = partial(_on_role, site)
    acts += [role("kill", "worker-1"), role("freeze", "worker-2"), role("cut", CUT_OFF), role("kill", "worker-4")]
    acts += [role("kill", "relay-1"), role("freeze", "relay-2"), role("freeze", "projector-1")]
    acts += [role("kill", "projector-2")]
    last = [Act(kind="fail over", among=(site.failover(),))] if failover else []
    return [*shuffled(acts, site.shop.chance), *last]


def _on_role(site: Site, kind: Kind, name: str) -> Act:
    target: Target = site.role(name)
    return Act(kind=kind, among=(target,))
