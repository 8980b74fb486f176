"""One run of the demonstration, from an empty folder to the summary."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from domain.errors import OrderwrightError, StoreUnavailable, Unavailable
from workers.bootstrap import Runtime, settings_of
from workers.demo import northwind, scenario, summary
from workers.demo.outside import ledger_summary
from workers.demo.people import People
from workers.demo.show import Picture, Show
from workers.submit import SubmitSettings, submit_lines
from workers.tree import Child, Tree, children, free_port

TICK_S = 0.25
START_S = 60.0
SECOND_DELIVERY_AFTER_S = 4.0
ENDED = ("cancelled", "closed")


class Stop(Protocol):
    """Somebody may want the run to end."""

    def is_set(self) -> bool: ...

    def wait(self, timeout_s: float) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`rate`: orders submitted a second; `patience_s`: after that it is over, ended or not."""

    workers: int = 3
    seed: int = 20
    rate: float = 200.0
    patience_s: float = 120.0


class Interrupted(OrderwrightError):
    """The run was stopped by a person."""


class Run:
    """`play` does it all; `close` ends every process."""

    def __init__(self, folder: Path, options: Options, show: Show, stop: Stop) -> None:
        self._folder = folder
        self._options = options
        self._show = show
        self._stop = stop
        self._orders = list(northwind.submissions())
        self._lines = list(northwind.order_lines())
        self._open = ExitStack()
        self._failure: str | None = None

    def close(self) -> None:
        """End every process, the database last."""
        self._open.close()

    def play(self) -> summary.Summary:
        """The whole run. Raises `Interrupted` when it was stopped."""
        (self._folder / "orderwright.toml").write_text(scenario.settings_file(str(self._folder.resolve())))
        runtime = self._open.enter_context(Runtime(settings_of(self._folder / "orderwright.toml")))
        self._tree = Tree(
            _environment(self._folder),
            logs=self._folder / "logs",
            heal=runtime.revive,
            tell=self._show.say,
            grace_s=15.0,
        )
        self._open.callback(self._tree.close)
        self._start(runtime)
        begun = time.monotonic()
        people = People(runtime)
        units = people.deliver(scenario.first_delivery(self._orders), 1)
        self._show.say(f"{units:,} units of {len(list(northwind.stock_receipts()))} products are in two warehouses")
        self._shop = threading.Thread(target=self._bounded, args=(runtime, people), name="shop", daemon=True)
        self._shop.start()
        self._live(runtime, people, begun)
        return self._sum_up(runtime, people, time.monotonic() - begun)

    def _start(self, runtime: Runtime) -> None:
        port_file = self._folder / "simulator.port"
        arguments = ["simulator", "--port", str(free_port()), "--port-file", str(port_file)]
        arguments += ["--seed", str(self._options.seed)]
        self._tree.start(Child(name="simulator", arguments=[*arguments, "--behaviour", scenario.BEHAVIOUR], stage=2))
        self._show.say("starting PostgreSQL, the simulated outside world and the workers ...")
        runtime.migrated()
        self._until(port_file.exists, "the simulator did not start")
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        self._tree.environment["ORDERWRIGHT_GATEWAY_URL"] = self.url
        for child in children(self._options.workers):
            self._tree.start(child)

    def _bounded(self, runtime: Runtime, people: People) -> None:
        try:
            self._submit(runtime, people)
            if not self._stop.wait(SECOND_DELIVERY_AFTER_S):
                waiting = runtime.queries().counts()["backordered"]
                units = people.deliver(scenario.second_delivery(self._orders), 2)
                self._show.say(f"a lorry has brought {units:,} units; {waiting} orders were waiting for goods")
        except OrderwrightError as error:
            self._failure = f"the shop had to close: {error}"

    def _submit(self, runtime: Runtime, people: People) -> None:
        """The shop submits everything, and a few buyers change their minds at once."""
        fickle = [order["order_id"] for place, order in enumerate(self._orders) if scenario.changes_mind(place)]
        gone: set[str] = set()

        def change_minds(read: int) -> None:
            now = [order_id for order_id in fickle[: read // scenario.CANCEL_EVERY] if order_id not in gone]
            gone.update(now)
            people.change_mind(now)

        report = submit_lines(
            iter(self._lines),
            runtime.intake("demo"),
            SubmitSettings(rate=self._options.rate, batch=50),
            on_progress=lambda report: change_minds(report.read),
        )
        if report.accepted != len(self._lines):
            self._failure = f"only {report.accepted} of {len(self._lines)} orders were accepted"

    def _live(self, runtime: Runtime, people: People, begun: float) -> None:
        """Until every order has ended and nothing is left to do."""
        deadline = begun + self._options.patience_s
        while time.monotonic() < deadline and self._failure is None:
            if self._stop.wait(TICK_S):
                raise Interrupted("the demo was stopped")
            with suppress(StoreUnavailable):
                picture = self._picture(runtime, begun)
                self._show.update(picture)
                people.decide()
                if picture.ended == picture.orders and not self._shop.is_alive() and _quiet(runtime):
                    return

    def _picture(self, runtime: Runtime, begun: float) -> Picture:
        stages = runtime.queries().counts()
        return Picture(
            seconds=time.monotonic() - begun,
            orders=len(self._orders),
            ended=sum(stages.get(stage, 0) for stage in ENDED),
            stages=stages,
            captured=sum(total.captured for total in runtime.queries().totals()),
            processes=len(self._tree.pids()) + 1,
        )

    def _sum_up(self, runtime: Runtime, people: People, seconds: float) -> summary.Summary:
        if self._failure:
            raise Unavailable(self._failure)
        totals = runtime.queries().totals()
        axes = {(total.outcome or "open", total.payment, total.fulfillment): total.orders for total in totals}
        theirs = ledger_summary(self.url)
        return summary.Summary(
            orders=len(self._orders),
            ended=sum(total.orders for total in totals if total.outcome),
            axes=axes,
            ours=summary.money(runtime.store()),
            theirs={kind: theirs[kind] for kind in ("authorized", "captured", "voided")},
            stock=summary.stock(runtime.store()),
            people=people.done,
            faults=theirs["faults"],
            events=runtime.diagnosis().events()[0],
            restarts=self._tree.restarts,
            seconds=seconds,
        )

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            if self._stop.wait(0.05):
                raise Interrupted("the demo was stopped")
            if time.monotonic() > deadline:
                raise Unavailable(f"{otherwise}; see {self._folder / 'logs'}")


def _quiet(runtime: Runtime) -> bool:
    """Nothing is due or running, and the read models have seen it all."""
    work = runtime.diagnosis().work()
    return not (work.due + work.later + work.running) and all(
        not one.lag_events for one in runtime.projections().status()
    )


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's own settings: the demonstration must not touch anybody's database."""
    foreign = ("ORDERWRIGHT_", "PG", "DATABASE_URL")
    kept: Mapping[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "ORDERWRIGHT_CONFIG": str((folder / "orderwright.toml").resolve())}
