"""What a row of the matrix works with: a load, ways to hurt, and a count of how often it did."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from random import Random
from subprocess import TimeoutExpired
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.chaos.load import Order, Submission, make_orders
from tests.chaos.matrix import Row
from tests.chaos.processes import Role, Supervisor
from tests.chaos.shop import FIRED, Shop, fail_points
from tests.faults import signals
from tests.servers.simulator import await_that

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.clocks import ServerClock
    from tests.faults.power import Disk
    from tests.servers.etcd import EtcdCluster
    from tests.servers.rabbitmq import RabbitNode

PATIENCE_S = 90.0


class Run:
    """One row on one shop."""

    def __init__(self, shop: Shop, row: Row, seed: int, supervisor: Supervisor) -> None:
        self.shop = shop
        self.row = row
        self.seed = seed
        self.chance = Random(f"{seed} {row.number}")
        self.supervisor = supervisor
        self.node: RabbitNode | None = None
        self.clock: ServerClock | None = None
        self.etcd: EtcdCluster | None = None
        self.disk: Disk | None = None
        self.injected = 0
        self.notes: list[str] = []
        self.orders: list[Order] = []
        self._armed: list[Role] = []
        self._client: dict[str, str] = {}
        self._restarts = supervisor.restarts
        self._fired_before = len(self._fired())

    # -- the load ------------------------------------------------------------------------------------------------------

    @contextmanager
    def load(self, orders: int = 40, *, seconds: float = 1.0) -> Iterator[list[Order]]:
        """Submit so many orders within so many seconds, while the block does its worst; then wait until all are accepted."""
        with self.load_these(self.make(orders), seconds=seconds) as batch:
            yield batch

    @contextmanager
    def load_these(self, batch: list[Order], *, seconds: float = 1.0) -> Iterator[list[Order]]:
        """The same with orders that are made already."""
        shop = self.shop
        rate = len(batch) / seconds
        submission = Submission(shop.command_line, shop.history, batch, shop.folder, rate=rate, **self._client)
        try:
            yield batch
        finally:
            submission.finish()

    def make(self, orders: int) -> list[Order]:
        """Orders that are this row's, not submitted yet."""
        prefix = f"{self.row.number}-{len(self.orders)}"
        batch = make_orders(orders, prefix=prefix, chance=self.chance)
        self.orders += batch
        return batch

    def submit(self, orders: int = 40, *, seconds: float = 1.0) -> list[Order]:
        """Submit and wait until all are accepted."""
        with self.load(orders, seconds=seconds) as batch:
            pass
        return batch

    def submit_these(self, batch: list[Order], *, seconds: float = 1.0) -> None:
        """Submit them and wait until all are accepted."""
        with self.load_these(batch, seconds=seconds):
            pass

    def await_closed(self, share: float, within_s: float = PATIENCE_S) -> None:
        """Wait until so much of this row's load has ended."""
        wanted = int(len(self.orders) * share)
        await_that(lambda: self.closed() >= wanted, within_s=within_s)

    def await_begun(self, orders: int = 5, within_s: float = PATIENCE_S) -> None:
        """Wait until work on so many of this row's orders is under way."""
        await_that(lambda: self._count("RiskAssessed") >= orders, within_s=within_s)

    def closed(self) -> int:
        return self._count("OrderClosed")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as an observer sees them; none while the database is away."""
        return self.shop.observer.ask(query) or []

    # -- the faults ----------------------------------------------------------------------------------------------------

    def struck(self, times: int = 1) -> None:
        self.injected += times

    def arm(self, plan: str, *roles: str) -> None:
        """Start these roles (all workers, if none is named) again with a plan of fail points."""
        names = roles or [role.name for role in self.shop.workers()]
        for role in map(self.shop.role, names):
            self._armed.append(role)
            role.restart(**self.fail_points(plan))

    def arm_clients(self, plan: str) -> None:
        """Whoever submits orders from now on fails by this plan, the first time."""
        self._client = self.fail_points(plan)

    def fail_points(self, plan: str) -> dict[str, str]:
        """The environment of a process that fails by plan."""
        return fail_points(self.shop.folder, plan)

    def fired(self) -> int:
        """How often fail points have fired in this row."""
        return len(self._fired()) - self._fired_before

    def await_fired(self, times: int, within_s: float = PATIENCE_S) -> None:
        await_that(lambda: self.fired() >= times, within_s=within_s)

    def last(self, seconds: float) -> None:
        """A fault lasts for a while."""
        threading.Event().wait(seconds)

    def kill(self, name: str) -> None:
        """Signal 9; whoever supervises starts it again."""
        signals.kill(self.shop.role(name).pid)
        self.struck()

    def take_over_s(self, victim: str, harm: Any, within_s: float = 30.0) -> float:
        """How long the runs of a worker stay its own after it was harmed."""
        ids = f"(SELECT id FROM holders WHERE name = '{victim}')"
        held = f"SELECT count(*) FROM step_runs WHERE state = 'running' AND holder IN {ids}"
        await_that(lambda: bool((rows := self.ask(held)) and rows[0][0] >= 3), within_s=PATIENCE_S)
        ours = ",".join(str(one) for (one,) in self.ask(f"SELECT id FROM holders WHERE name = '{victim}'"))
        mine = f"SELECT count(*) FROM step_runs WHERE state = 'running' AND holder IN ({ours})"
        harm()
        since = monotonic()
        await_that(lambda: bool((rows := self.ask(mine)) and rows[0][0] == 0), within_s=within_s)
        took = monotonic() - since
        self.notes.append(f"taken over after {took:.2f} s")
        return took

    def heal(self) -> None:
        """Undo whatever the row has done and may have left behind, and note that the faults are over."""
        self.injected += self.fired()
        shop = self.shop
        signals.thaw(shop.cluster.processes())
        for role in [*shop.roles, shop.simulator]:
            with suppress(AssertionError):
                signals.thaw([role.pid])
        for proxy in shop.proxies.values():
            proxy.heal()
        for role in self._armed:
            role.restart(**self.fail_points("none"))
        for role in [*shop.roles, shop.simulator]:
            role.ensure()
        shop.behave(**shop.behaviour)
        shop.history.mark("calm", datetime.now(UTC).isoformat())
        if restarts := self.supervisor.restarts - self._restarts:
            self.notes.append(f"{restarts} restarts")

    def command(self, *arguments: str, within_s: float = 60.0) -> int:
        """Run a command of the program to its end; its exit code."""
        try:
            return self.shop.command_line.run(*arguments, within_s=within_s)
        except TimeoutExpired:
            return -1

    def _count(self, event: str) -> int:
        prefix = self.row.number
        rows = self.ask(f"SELECT count(*) FROM events WHERE type = '{event}' AND stream LIKE 'order-{prefix}-%'")
        return int(rows[0][0]) if rows else 0

    def _fired(self) -> list[str]:
        log: Path = self.shop.folder / FIRED
        if not log.exists():
            return []
        return [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("fired ")]
