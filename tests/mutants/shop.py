"""One installation for one run: the roles of a copy of the packages, the outside world, the observer, and what they leave behind."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.checker.evidence import Evidence
from tests.checker.judging import gather
from tests.mutants.patch import ROOT
from tests.mutants.processes import Nursery, Process, wait_until
from tests.servers.simulator import Simulator

SETTINGS = {
    "ORDERWRIGHT_WAREHOUSES": "EAST",
    "ORDERWRIGHT_BACKOFF_S": "0.1",
    "ORDERWRIGHT_BACKOFF_CAP_S": "1",
    "ORDERWRIGHT_CALL_DEADLINE_S": "8",
    "ORDERWRIGHT_CALL_THREADS": "4",
    "ORDERWRIGHT_LOG_FORMAT": "json",
    "ORDERWRIGHT_TEST_MODE": "1",
}
RESTING = """
    SELECT NOT EXISTS (SELECT FROM step_runs WHERE state = 'running' OR (state = 'ready' AND due_at < clock_timestamp() + interval '2 s'))
        AND (SELECT coalesce(min(position), 0) FROM checkpoints) >= (SELECT coalesce(max(position), 0) FROM events),
        jsonb_build_array((SELECT max(position) FROM events), (SELECT sum(position) FROM checkpoints),
            (SELECT sum(attempts) + count(*) + count(epoch) FROM step_runs), (SELECT count(*) FROM dead_letters))
"""
LONGEST = 5
UNTIL_GIVEN_UP_S = 3.0
Order = dict[str, Any]


class Shop:
    """Close it when the verdict is spoken."""

    def __init__(self, folder: Path, code: Path, dsn: str, broker_url: str = "pgmq://") -> None:
        self.folder = folder
        self.dsn = dsn
        self.settings = {
            **SETTINGS,
            "DATABASE_URL": dsn,
            "ORDERWRIGHT_BROKER_URL": broker_url,
            "ORDERWRIGHT_CONFIG": str(folder / "orderwright.toml"),
            "ORDERWRIGHT_DATA_DIR": str(folder / "data"),
        }
        (folder / "orderwright.toml").touch()
        (folder / "outside").mkdir()
        self.history = folder / "history.jsonl"
        self.history.touch()
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self.nursery = Nursery(code, folder)
        self.roles: list[Process] = []
        self.world: Simulator | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._submitted = 0

    # --- who works here -----------------------------------------------------------------------------------------------------------

    def open(self, *roles: str, settings: dict[str, str] | None = None, **behaviour: Any) -> None:
        """The outside world, the observer and these roles; `settings` without their prefix."""
        self.settings |= {f"ORDERWRIGHT_{name.upper()}": value for name, value in (settings or {}).items()}
        self.world = Simulator(self.folder / "outside", **behaviour)
        self.settings["ORDERWRIGHT_GATEWAY_URL"] = self.world.url
        if not self._has_schema():
            self.must("migrate", "up")
        watch = [
            sys.executable,
            "-m",
            "tests.checker.watch",
            "--dsn",
            self.dsn,
            "--out",
            str(self.folder / "watch.jsonl"),
        ]
        self._watcher = subprocess.Popen([*watch, "--every", "0.05"], cwd=ROOT)
        for role in roles:
            self.start(role)

    def start(
        self, role: str, *args: str, name: str = "", points: str = "", skew_s: float = 0.0, **settings: str
    ) -> Process:
        """A role with settings of its own, armed with fail points, its clock wrong by `skew_s`."""
        mine = {f"ORDERWRIGHT_{key.upper()}": value for key, value in settings.items()}
        if points:
            mine["ORDERWRIGHT_FAILPOINTS"] = points
            mine["ORDERWRIGHT_FAILPOINTS_LOG"] = str(self.folder / f"{name or role}.points")
        process = self.nursery.start(
            [role, *args], env={**self.settings, **mine}, name=name or f"{role}-{len(self.roles)}", skew_s=skew_s
        )
        self.roles.append(process)
        return process

    def start_sweeper(self, *args: str, name: str) -> Process:
        """A worker that has looked for forgotten work already, so that from now on it has to be woken."""
        worker = self.start("worker", *args, name=name, points="none")
        self.until(lambda: self.reached(name, "after_sweep", "reached"))
        return worker

    def freeze(self, process: Process) -> None:
        process.signal(signal.SIGSTOP)

    def thaw(self, process: Process) -> None:
        process.signal(signal.SIGCONT)

    def reached(self, name: str, point: str, how: str = "fired") -> bool:
        """The fail point of that process has struck, or was only `reached`."""
        log = self.folder / f"{name}.points"
        return log.exists() and f"{how} {point}" in log.read_text(encoding="utf-8")

    # --- what people do -----------------------------------------------------------------------------------------------------------

    def command(self, *args: str, within_s: float = 60.0) -> int | None:
        """A short command; returns its exit code, None if it did not end."""
        process = self.nursery.start([*args], env=self.settings, name="commands")
        code = process.wait(within_s)
        if code is None:
            process.kill()
        return code

    def must(self, *args: str) -> None:
        if self.command(*args) != 0:
            raise RuntimeError(f"{args}: {(self.folder / 'commands.log').read_text(encoding='utf-8')[-2000:]}")

    def receive(self, sku: str, quantity: int) -> None:
        self.must("stock", "receive", "EAST", sku, str(quantity), "--delivery", f"D-{sku}-{quantity}")

    def submit(self, orders: list[Order], *options: str) -> None:
        """Orders by the command line; the history says what became of them."""
        self._submitted += 1
        file = self.folder / f"orders-{self._submitted}.jsonl"
        file.write_text("".join(json.dumps(order) + "\n" for order in orders), encoding="utf-8")
        outcome = "acknowledged" if self.command("submit", str(file), *options) == 0 else "unknown"
        self.tell(*({"order_id": order["order_id"], "outcome": outcome, "order": order} for order in orders))

    def cancel(self, order_id: str) -> None:
        code = self.command("orders", "cancel", order_id, "--reason", "customer")
        outcome = {0: "done", 3: "refused"}.get(code if code is not None else 1, "unknown")
        self.tell({"action": {"action": "cancel", "order_id": order_id, "outcome": outcome}})

    def plant(self, queue: str, text: str) -> None:
        """A message that nobody can read, put into the embedded broker's queue by a stranger."""
        envelope = {"body": text, "content-type": "text/plain", "headers": {}, "properties": {"body_encoding": "utf-8"}}
        self.sql("SELECT pgmq.send(%s, %s::jsonb)", queue, json.dumps(envelope))
        self.tell({"planted": {"queue": queue, "text": text}})

    def tell(self, *lines: dict[str, Any]) -> None:
        with self._lock, self.history.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    # --- what can be seen ---------------------------------------------------------------------------------------------------------

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._asking:
            if self._connection is None:
                self._connection = psycopg.connect(self.dsn, autocommit=True, connect_timeout=10)
            cursor = self._connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, kind: str, stream: str = "%") -> int:
        """Events of a type, of streams that match."""
        return int(self.sql("SELECT count(*) FROM events WHERE type = %s AND stream LIKE %s", kind, stream)[0][0])

    def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> bool:
        """Whether it came true in time. A run goes on to its verdict in any case."""
        return wait_until(condition, within_s=within_s)

    def await_observer(self) -> None:
        """Until the observer has looked at what is there now."""
        log = self.folder / "watch.jsonl"
        before = log.stat().st_size
        self.until(lambda: log.stat().st_size > before)
        again = log.stat().st_size
        self.until(lambda: log.stat().st_size > again)

    def calm(self) -> None:
        """The faults are over."""
        self.tell({"mark": "calm", "at": self.sql("SELECT to_json(clock_timestamp())#>>'{}'")[0][0]})

    def rest(self, *, closed: int, within_s: float) -> bool:
        """Wait until so many orders are closed and nothing is left to do.

        Also until nothing will come any more, or nothing has moved for `within_s`; on a slow machine all takes longer, but it moves.
        """
        self.calm()
        moved = _Stopwatch()
        quiet = _Stopwatch()

        def over() -> bool:
            ((resting, now),) = self.sql(RESTING)
            resting = resting and not self._frames()
            moved.restart_unless(now)
            quiet.restart_unless(resting)
            done = resting and self.count("OrderClosed") >= closed
            return bool(done) or moved.seconds() > within_s or (resting and quiet.seconds() > UNTIL_GIVEN_UP_S)

        return self.until(over, LONGEST * within_s)

    def _frames(self) -> int:
        names = [name for (name,) in self.sql("SELECT queue_name FROM pgmq.meta")]
        return sum(self.sql(f"SELECT count(*) FROM pgmq.q_{name}")[0][0] for name in names)

    def _has_schema(self) -> bool:
        return self.sql("SELECT to_regclass('step_runs') IS NOT NULL") == [(True,)]

    # --- the end ------------------------------------------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        """All there is now; the observer looks a last time first."""
        if self._watcher is not None:
            self._watcher.terminate()
            self._watcher.wait(20)
        assert self.world is not None
        return gather(
            self.dsn,
            ledger=self.world.ledger,
            history=self.history,
            watched=self.folder / "watch.jsonl",
            logs=self.folder,
        )

    def close(self) -> None:
        self.nursery.close()
        if self._connection is not None:
            self._connection.close()
        if self._watcher is not None and self._watcher.poll() is None:
            self._watcher.kill()
            self._watcher.wait(20)
        if self.world is not None:
            self.world.kill()


class _Stopwatch:
    """Measures for how long something has been the same."""

    def __init__(self) -> None:
        self._value: object = None
        self._since = time.monotonic()

    def restart_unless(self, value: object) -> None:
        if value != self._value:
            self._value, self._since = value, time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._since


def an_order(order_id: str, *lines: tuple[str, int, int], policy: str = "ship-partial", shipping: int = 490) -> Order:
    """Lines are SKU, quantity and amount; one of two teas for 25.90 if there are none."""
    wanted = lines or (("TEA", 2, 2590),)
    return {
        "order_id": order_id,
        "customer_id": "C-1",
        "currency": "EUR",
        "lines": [
            {"sku": sku, "quantity": quantity, "amount": amount, "name": sku} for sku, quantity, amount in wanted
        ],
        "shipping": shipping,
        "total": sum(amount for _, _, amount in wanted) + shipping,
        "ship_to": {"name": "Ada Byron", "street": "Main St 1", "city": "Boston", "country": "US"},
        "payment": {"token": "tok_1"},
        "shipping_policy": policy,
    }
