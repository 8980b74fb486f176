"""What a worker takes on: runs of the orders that it was woken for, and due runs that nobody came for.

A frame is acknowledged once the claim of its orders has committed; from then on the rows remember the work. Steps whose dependency
has all the room that it may have, or whose breaker is not closed, are left out: the rows wait. Of a limited dependency so many
runs are claimed as the fleet grants, the oldest first. Suspects are another matter (`workers.suspects`).

A frame that finds no room for a while is let go: its rows remember, and the relay announces them again. Kept longer, a broker
without an end to its patience (pgmq) would give it out again and again, and take it for one that kills its consumers.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from domain.errors import StoreUnavailable
from domain.work import Run, Step
from infrastructure.failpoints import reach
from workers.breaking import steps_of, without
from workers.desk import Desk
from workers.mailbox import WakeUp
from workers.room import Room
from workers.suspects import Suspects
from workers.tools import Tools
from workers.turns import Inputs
from workers.worker_settings import Counters, WorkerSettings

ASK_AGAIN_S = 0.1
ASK_IDLE_S = 1.0
KEEP_FRAMES_S = 10.0


class Claims:
    """Used by one thread. Whatever raises `StoreUnavailable` may have claimed something that we do not know of."""

    def __init__(self, tools: Tools, settings: WorkerSettings, desk: Desk, counters: Counters) -> None:
        self._tools = tools
        self._settings = settings
        self._desk = desk
        self._counters = counters
        self._suspects = Suspects(tools, settings, desk)
        self._pending: deque[tuple[float, WakeUp]] = deque()  # with the time of arrival
        self._short: set[str] = set()  # dependencies for which there was no room
        self._ask_at: dict[str, float] = {}
        self._turns: Counter[str] = Counter()
        self._swept_at = float("-inf")

    def adopt(self, settings: WorkerSettings) -> None:
        """From now on."""
        self._settings = settings
        self._suspects.adopt(settings)

    def woken(self, frame: WakeUp) -> None:
        """Claim for its orders as soon as there is room."""
        self._pending.append((self._tools.clock(), frame))

    def is_hungry(self) -> bool:
        """There is something to claim, and room for it."""
        if self._suspects.are_alone:
            return not len(self._desk)
        return bool(self._pending) and self._places() > 0

    def look(self) -> None:
        """Take on what there is room for. Raises `StoreUnavailable`."""
        self._let_go()
        if self._suspects.look(self._open_steps()):
            return
        self._sweep()  # before new work, so that a backlog cannot keep retries and timers waiting
        self._claim_granted()
        if self._suspects.are_alone:
            return
        self._claim_what_was_left()
        self._claim_woken()

    def may_carry(self) -> bool:
        """Whether the orders that we have may go on here; not beside a suspect."""
        return not self._suspects.are_alone

    def steps_to_carry(self) -> frozenset[Step]:
        """The steps that may be begun without being claimed."""
        return without(self._steps(), self._tools.breakers.limited())

    def room_beside(self, inputs: dict[str, Inputs]) -> Callable[[Step], bool]:
        """Gives out the places for what is carried on when these inputs are settled."""
        room = self._room(inputs)
        room.refused = self._short
        return room.take

    def _room(self, inputs: dict[str, Inputs] | None = None) -> Room:
        return Room(self._desk, self._settings.in_flight, inputs)

    def _places(self) -> int:
        """How many runs may be claimed now: what the next turn can take beside what waits for it, if there is room.

        So what is begun goes before what is new, and finds room for the steps that it is carried on to.
        """
        return max(0, min(self._room().free, self._settings.batch - len(self._desk.waiting)))

    def _steps(self) -> frozenset[Step]:
        """Ours, without those that are paused: their rows wait."""
        return self._settings.steps - self._settings.paused

    def _open_steps(self) -> list[Step]:
        """The steps that may be claimed like this."""
        full = self._room().full()
        self._short |= full
        return sorted(without(self._steps(), self._tools.breakers.limited() | full))

    def _let_go(self) -> None:
        """Acknowledge the frames that have waited too long for room."""
        if self.is_hungry():
            return
        while self._pending and self._tools.clock() - self._pending[0][0] > KEEP_FRAMES_S:
            self._pending.popleft()[1].settle()

    def _claim_woken(self) -> None:
        """Claim the due runs of the orders that we were woken for, then acknowledge the frames."""
        frames: list[tuple[float, WakeUp]] = []
        room = self._places()
        while self._pending and room > 0:
            frames.append(self._pending.popleft())
            room -= len(frames[-1][1].orders)
        if not frames:
            return
        orders = list(dict.fromkeys(order_id for _, frame in frames for order_id in frame.orders))
        reach("before_claim")
        try:
            self._begin(lambda: self._tools.store.claim(orders, self._open_steps(), self._tools.holding.current))
        except StoreUnavailable:
            self._pending.extendleft(reversed(frames))
            raise
        reach("after_claim_before_ack")
        for _, frame in frames:
            frame.settle()
        reach("after_ack")

    def _sweep(self) -> None:
        """Claim what has been due for a while and nobody came for: a lost wake-up costs time only.

        While no wake-up can reach us we do not wait for those that are meant to be on their way either: the relay, which cannot know,
        marks what is due as announced before it tries, and orders would stand still for as long as that holds.
        """
        now = self._tools.clock()
        room = self._places()
        if room <= 0 or now - self._swept_at < self._settings.sweep.total_seconds():
            return
        self._swept_at = now
        store, holder = self._tools.store, self._tools.holding.current
        store.orphans()  # the relay looks more often, if there is one
        claim = store.claim_due if self._tools.hears() else store.claim_oldest
        claimed = self._begin(lambda: claim(room, self._open_steps(), holder))
        reach("after_sweep")
        self._counters.swept += claimed
        if claimed == self._settings.batch:
            self._swept_at = float("-inf")  # there is more: do not wait

    def _claim_granted(self) -> None:
        """Claim as much of the limited dependencies as the fleet allows."""
        now, breakers = self._tools.clock(), self._tools.breakers
        for dependency in sorted(breakers.limited()):
            steps = steps_of(dependency, self._steps())
            room = self._places()
            if self._suspects.are_alone or not steps or room <= 0 or now < self._ask_at.get(dependency, now):
                continue
            granted = breakers.grant(dependency, room)
            claimed = self._claim_in_turn(dependency, granted, steps)
            if granted and not claimed:
                claimed = self._suspects.probe(steps)
            breakers.give_back(dependency, granted - claimed)
            self._ask_at[dependency] = now + (ASK_IDLE_S if granted and not claimed else ASK_AGAIN_S)

    def _claim_in_turn(self, dependency: str, granted: int, steps: Sequence[Step]) -> int:
        """A grant goes to one step, the next one to the next that has runs.

        In the mixture of quieter times the backlog does no more to the services behind this one than it may do here.
        """
        claimed, first = 0, self._turns[dependency]
        for turn in range(first, first + len(steps)):
            found = self._claim_oldest(granted - claimed, [steps[turn % len(steps)]])
            if found:
                self._turns[dependency] = (turn + 1) % len(steps)
            claimed += found
        return claimed

    def _claim_what_was_left(self) -> None:
        """Claim for dependencies that had no room when somebody announced their runs, and have some now."""
        for dependency in sorted(self._short - self._tools.breakers.limited()):
            room = self._room()
            if not room.is_roomy(dependency):
                continue
            limit = self._places()
            if self._claim_oldest(limit, steps_of(dependency, self._steps())) < limit:
                self._short.discard(dependency)

    def _claim_oldest(self, limit: int, steps: Sequence[Step]) -> int:
        if not limit or not steps:
            return 0
        return self._begin(lambda: self._tools.store.claim_oldest(limit, steps, self._tools.holding.current))

    def _begin(self, claim: Callable[[], Sequence[Run]]) -> int:
        try:
            claimed = claim()
        except StoreUnavailable:
            self._desk.unsure = True
            raise
        self._desk.begin(claimed)
        return len(claimed)
