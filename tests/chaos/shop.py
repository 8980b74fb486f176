"""One installation under test: database, broker, outside world and roles, and the person who runs it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.embedded.binaries import Binaries
from tests.chaos.load import RARE, SKUS, History
from tests.chaos.observer import Observer
from tests.chaos.operator import Operator
from tests.chaos.processes import STOP_S, CommandLine, Role, environment_of, nursery
from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.judging import gather, judge
from tests.checker.sources import record
from tests.checker.verdict import Verdict
from tests.faults.postgres import Cluster
from tests.faults.proxy import Proxy
from tests.servers.simulator import await_that

if TYPE_CHECKING:
    from tests.faults.nursery import Child

FIRED = "failpoints.log"
WAREHOUSES = ("EAST", "WEST")
ROLES = ("worker-1", "worker-2", "relay", "projector")
BEHAVIOUR: dict[str, Any] = {
    "review_share": 0.015,
    "reject_share": 0.01,
    "hard_decline_share": 0.02,
    "soft_decline_share": 0.015,
    "refused_label_share": 0.005,
    "latency": {"jitter_ms": 5},
    "faults": {"drop_before": 0.02, "drop_after": 0.05, "error_after": 0.01},
}
NO_PERSON_NEEDED: dict[str, Any] = {
    "review_share": 0.0,
    "reject_share": 0.02,
    "hard_decline_share": 0.03,
    "soft_decline_share": 0.0,
    "refused_label_share": 0.0,
}
SETTINGS = {
    "ORDERWRIGHT_WAREHOUSES": "EAST:US,CA;WEST",
    "ORDERWRIGHT_BACKOFF_S": "0.1",
    "ORDERWRIGHT_BACKOFF_CAP_S": "2",
    "ORDERWRIGHT_CALL_DEADLINE_S": "2",
    "ORDERWRIGHT_BACKORDER_RECHECK_S": "5",
    "ORDERWRIGHT_LOG_FORMAT": "json",
}


@dataclass(kw_only=True)
class Plan:
    """What a shop is made of.

    `dsn`: what the roles are told instead of the server's own, if there are several servers.
    `behind_proxy`: roles that reach database, broker or gateway through the proxy of that name.
    """

    dsn: str = ""
    broker_url: str = "pgmq://"
    roles: Sequence[str] = ROLES
    settings: Mapping[str, str] = field(default_factory=dict)
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    behind_proxy: Sequence[str] = ()


class Shop:
    """Everything started, with stock on its shelves; two workers, a relay and a projector at work."""

    def __init__(self, folder: Path, cluster: Cluster, chance: Random, plan: Plan) -> None:
        self.folder = folder
        self.cluster = cluster
        self.chance = chance
        self.plan = plan
        self.dsn = plan.dsn or cluster.dsn
        self.observer = Observer(self.dsn)
        self.history = History(folder / "history.jsonl")
        self.ledger = folder / "ledger.db"
        self.behaviour = {**BEHAVIOUR, **plan.behaviour}
        self.proxies: dict[str, Proxy] = {}
        settings = {**SETTINGS, **plan.settings, "DATABASE_URL": self.dsn, "ORDERWRIGHT_BROKER_URL": plan.broker_url}
        self._base = environment_of(folder, settings)
        self.simulator = self._simulator()
        self.roles: list[Role] = []
        self.watched = folder / "watch.jsonl"
        self._watch: Child | None = None

    def start(self) -> None:
        """Everything but the database, which runs already."""
        self.simulator.start()
        self._await_port()
        self.gateway_url = f"http://127.0.0.1:{self._port()}"
        self._base["ORDERWRIGHT_GATEWAY_URL"] = self.gateway_url
        self.simulator.arguments += ["--port", str(self._port())]
        self.command_line = CommandLine(self._base, self.folder)
        self.operator = Operator(self.command_line, self.observer)
        if self.command_line.begin("migrate", "up", **fail_points(self.folder, "none")).wait(60) != 0:
            pytest.fail((self.folder / "commands.log").read_text(encoding="utf-8")[-2000:])
        for name in self.plan.roles:
            self.add(name).start()

    def add(self, name: str, **more: str) -> Role:
        """One more role, not started yet; what stands before the hyphen of its name says what it is."""
        kind = name.split("-", maxsplit=1)[0]
        arguments = [kind, "--name", name] if kind == "worker" else [kind]
        environment = {**self._base, **more}
        if name in self.plan.behind_proxy:
            environment |= self._through_proxies()
        self.roles.append(Role(name, arguments, environment, self.folder))
        return self.roles[-1]

    def role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)

    def workers(self) -> list[Role]:
        return [role for role in self.roles if role.name.startswith("worker")]

    def watch(self) -> None:
        """Let the checker's observer write down what changes while the run goes on."""
        arguments = ["watch", f"--dsn={self.dsn}", f"--out={self.watched}", "--every=0.1"]
        log = self.folder / "watch.log"
        self._watch = nursery().start(arguments, environment=self._base, folder=self.folder, log=log)

    def is_quiet(self) -> bool:
        """Everything has ended, and the read models tell so; their counts go into the history."""
        self.history.sample(self.observer.sample())
        return self.observer.is_quiet()

    @property
    def gateway_port(self) -> int:
        return self._port()

    def behave(self, **changes: Any) -> None:
        """Change how the outside world behaves; `behave(**shop.behaviour)` takes it back. It may just be starting again."""
        request = Request(
            f"{self.gateway_url}/control",
            data=json.dumps(changes).encode(),
            method="PUT",
            headers={"content-type": "application/json"},
        )
        await_that(partial(_is_heard, request), within_s=STOP_S)

    def stock_up(self, *, orders: int, rare: int = 5) -> None:
        """Something of everything, enough for so many orders; of the rare, only what is said."""
        plenty = [(warehouse, sku, 2 * orders + 50) for warehouse in WAREHOUSES for sku in SKUS]
        self.operator.receive([*plenty, *((warehouse, RARE, rare) for warehouse in WAREHOUSES)])

    def await_progress(self, *, placed: int, closed: int, within_s: float = 60) -> None:
        """Wait until so many orders are placed, and so many closed."""

        def reached() -> bool:
            now = self.observer.progress()
            return now[0] >= placed and now[1] >= closed

        await_that(reached, within_s=within_s)

    def settle(self, within_s: float) -> None:
        """Decide what only a person can decide, until everything has ended."""

        def quiet() -> bool:
            self.operator.work()
            self.history.sample(self.observer.sample())
            return self.observer.is_quiet()

        await_that(quiet, within_s=within_s)

    def check(self) -> dict[str, int]:
        """The checker's counts of all that is there now; fails the test unless its verdict is `valid`."""
        _, verdict = self.judge()
        assert verdict.valid, broken(verdict)
        return verdict.counts

    def judge(self) -> tuple[Evidence, Verdict]:
        """The checker's verdict."""
        evidence = gather(self.dsn, ledger=self.ledger, history=self.history.path)
        return evidence, judge(evidence, expect=Expect(all_closed=True, letters=True))

    def keep_evidence(self) -> None:
        """Everything the verdict rests on, and the verdict, into the folder."""
        evidence, verdict = self.judge()
        (self.folder / "evidence.jsonl").write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
        (self.folder / "verdict.txt").write_text(verdict.as_text(), encoding="utf-8")

    def close(self) -> None:
        for role in [*self.roles, self.simulator]:
            role.kill()
        for proxy in self.proxies.values():
            proxy.close()
        if self._watch is not None:
            self._watch.kill()
        self.observer.close()

    def _through_proxies(self) -> dict[str, str]:
        """Settings that lead through proxies of our own, which are made when the first role needs them."""
        if not self.proxies:
            self.proxies["database"] = Proxy("127.0.0.1", self.cluster.port)
            self.proxies["gateway"] = Proxy("127.0.0.1", self._port())
            if "@127.0.0.1:" in self.plan.broker_url:
                self.proxies["broker"] = Proxy("127.0.0.1", _port_of(self.plan.broker_url))
        environment = {
            "DATABASE_URL": make_conninfo(self.dsn, port=self.proxies["database"].port),
            "ORDERWRIGHT_GATEWAY_URL": f"http://127.0.0.1:{self.proxies['gateway'].port}",
        }
        if "broker" in self.proxies:
            url = self.plan.broker_url.replace(f":{_port_of(self.plan.broker_url)}", f":{self.proxies['broker'].port}")
            environment["ORDERWRIGHT_BROKER_URL"] = url
        return environment

    def _simulator(self) -> Role:
        arguments = [
            *("simulator", "--ledger", str(self.ledger), "--port-file", str(self.folder / "port")),
            *("--behaviour", json.dumps(self.behaviour), "--seed", str(self.chance.randrange(10**6))),
        ]
        return Role("simulator", arguments, self._base, self.folder)

    def _await_port(self) -> None:
        await_that(lambda: (self.folder / "port").exists() or not self.simulator.is_running(), within_s=STOP_S)
        if not self.simulator.is_running():
            pytest.fail(self.simulator.log.read_text(encoding="utf-8")[-2000:])

    def _port(self) -> int:
        return int((self.folder / "port").read_text(encoding="ascii"))


def fail_points(folder: Path, plan: str) -> dict[str, str]:
    """The environment of a process that fails by plan; with `none` it only notes which points it reaches."""
    log = str(folder / FIRED)
    return {"ORDERWRIGHT_TEST_MODE": "1", "ORDERWRIGHT_FAILPOINTS": plan, "ORDERWRIGHT_FAILPOINTS_LOG": log}


def _is_heard(request: Request) -> bool:
    """Nobody listened, or somebody did as he was told; whatever else there is to say is an error."""
    try:
        with urlopen(request, timeout=10):
            return True
    except HTTPError:
        raise
    except URLError as error:
        if isinstance(error.reason, ConnectionError):
            return False
        raise


def _port_of(url: str) -> int:
    return int(url.rpartition("@127.0.0.1:")[2].split("/")[0])


def broken(verdict: Verdict) -> str:
    """What the checker found, in a few lines."""
    lines = []
    for judgement in verdict.judgements:
        if judgement.state != "kept":
            lines.append(f"{judgement.name} {judgement.state}: {judgement.promise}")
            lines += [f"    {subject}: {wrong}" for subject, wrong in judgement.findings[:5]]
    return "\n".join(lines)


@contextmanager
def open_shop(
    folder: Path,
    chance: Random,
    plan: Plan | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    binaries: Binaries | None = None,
) -> Iterator[Shop]:
    """A shop on a server of its own. When the block fails, all that is left of the run stays in the folder."""
    nursery()
    cluster = Cluster(folder / "postgres", settings, binaries=binaries)
    shop = Shop(folder, cluster, chance, plan or Plan())
    try:
        shop.start()
        yield shop
    except BaseException:
        shop.keep_evidence()
        sys.stderr.write(f"logs, books, evidence and verdict are in {folder}\n")
        raise
    finally:
        shop.close()
        cluster.close()
