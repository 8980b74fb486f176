"""Runs mutants and the clean runs beside them, a few at a time, each on a database of its own."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import kombu

from domain.work import Step
from tests.checker.judging import judge
from tests.checker.sources import record
from tests.checker.verdict import Verdict
from tests.mutants.patch import ROOT, Mutant, copy_packages
from tests.mutants.runs import RUNS
from tests.mutants.shop import Shop
from tests.servers.postgres import PostgresServer, postgres_server_in
from tests.servers.rabbitmq import RabbitNode, find_server_script

SHOWN = 6
ON_RABBITMQ = {"queue_gone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`mutant` None: the clean run. `trouble`: the run itself broke, so there is no verdict."""

    run: str
    mutant: Mutant | None
    verdict: Verdict | None
    seconds: float
    trouble: str = ""

    @property
    def caught_by(self) -> list[str]:
        return self.verdict.broken() if self.verdict else []

    @property
    def is_right(self) -> bool:
        """The bug was found by what should find it, or nothing was found where nothing is."""
        if self.verdict is None:
            return False
        if self.mutant is None:
            return self.verdict.valid is True
        return self.verdict.valid is False and bool(self.mutant.caught_by & set(self.caught_by))

    def unexpected(self) -> list[str]:
        """The first findings of a clean run, where there should be none."""
        if self.mutant is not None or self.verdict is None or self.is_right:
            return []
        found = [
            (one.name, *finding) for one in self.verdict.judgements for finding in one.findings if one.state != "kept"
        ]
        return [f"{name} {subject}: {wrong}"[:300] for name, subject, wrong in found[:SHOWN]]


class Bench:
    """`keep`: a folder in which everything stays that a run leaves behind."""

    def __init__(
        self, server: PostgresServer, folder: Path, rabbitmq: Future[str] | None, *, keep: Path | None = None
    ) -> None:
        self._rabbitmq = rabbitmq
        self._rabbitmq_lock = Lock()
        self._server = server
        self._folder = folder
        self._keep = keep

    def carry_out(
        self, jobs: Sequence[tuple[str, Mutant | None]], tell: Callable[[Outcome], object], *, at_once: int
    ) -> list[Outcome]:
        """All of them; `tell` hears of each when it is done."""
        outcomes = []
        with ThreadPoolExecutor(at_once) as pool:
            for done in as_completed([pool.submit(self.one, run, mutant) for run, mutant in jobs]):
                outcomes.append(done.result())
                tell(outcomes[-1])
        return outcomes

    def one(self, run: str, mutant: Mutant | None) -> Outcome:
        """One run from its packages to its verdict."""
        started = time.monotonic()
        folder = self._folder / f"{mutant.name if mutant else 'clean'}-{run}"
        folder.mkdir()
        verdict, trouble = None, ""
        try:
            with self._database(mutant) as dsn:
                verdict = self._judged(folder, dsn, run, mutant)
        except Exception as error:  # noqa: BLE001 - told in the table; the others go on
            trouble = f"{type(error).__name__}: {error}"
        self._keep_or_drop(folder, verdict)
        seconds = time.monotonic() - started
        return Outcome(run=run, mutant=mutant, verdict=verdict, seconds=seconds, trouble=trouble)

    def _judged(self, folder: Path, dsn: str, run: str, mutant: Mutant | None) -> Verdict:
        code = copy_packages(folder / "code", mutant.texts()) if mutant else ROOT
        with self._broker(run) as broker_url:
            shop = Shop(folder, code, dsn, broker_url)
            try:
                expect = RUNS[run](shop)
                evidence = shop.evidence()
                (folder / "evidence.jsonl").write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
                return judge(evidence, expect=expect)
            finally:
                shop.close()

    @contextmanager
    def _broker(self, run: str) -> Iterator[str]:
        """The embedded broker, or an empty RabbitMQ; runs on that one follow each other."""
        if run not in ON_RABBITMQ:
            yield "pgmq://"
            return
        with self._rabbitmq_lock:
            if self._rabbitmq is None:
                raise RuntimeError("RabbitMQ is not installed (Debian: apt install rabbitmq-server)")
            url = self._rabbitmq.result()
            drop_queues(url)
            yield url

    @contextmanager
    def _database(self, mutant: Mutant | None) -> Iterator[str]:
        changes_schema = mutant is not None and any(edit.path.startswith("migrations/") for edit in mutant.edits)
        with self._server.empty_database() if changes_schema else self._server.migrated_database() as dsn:
            yield dsn

    def _keep_or_drop(self, folder: Path, verdict: Verdict | None) -> None:
        if verdict is not None:
            (folder / "verdict.txt").write_text(verdict.as_text() + "\n", encoding="utf-8")
        shutil.rmtree(folder / "code", ignore_errors=True)
        if self._keep is not None:
            kept = self._keep / folder.name
            shutil.copytree(folder, kept.with_name(f"{kept.name}-again") if kept.exists() else kept, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_bench(keep: Path | None = None, *, rabbitmq: bool = True) -> Iterator[Bench]:
    """A bench with a server of its own; a RabbitMQ node comes up beside the first runs, if it is wanted and installed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        node = _node(folder) if rabbitmq else None
        starting = None
        if node is not None:
            starter = stack.enter_context(ThreadPoolExecutor(1))
            stack.callback(node.stop)
            starting = starter.submit(node.start)
        (folder / "postgres").mkdir()
        server = stack.enter_context(postgres_server_in(folder / "postgres"))
        with server.migrated_database():
            pass  # makes the template, before several ask for it at once
        yield Bench(server, folder, starting, keep=keep)


def _node(folder: Path) -> RabbitNode | None:
    script = find_server_script()
    if script is None:
        return None
    (folder / "rabbitmq").mkdir()
    return RabbitNode(folder / "rabbitmq", script)


def drop_queues(url: str) -> None:
    """All queues of ours, as the run before left them."""
    with kombu.Connection(url) as connection:
        for queue in (*(f"ow_{step}" for step in Step), "ow_orders", "ow_dead"):
            connection.default_channel.queue_delete(queue)
