"""The store, over connections on which everything can go wrong: refused, slow, cut before or after the commit, or committed later.

A statement is where a process waits, so it is also where others come in between, and where it may be killed. A transaction is one
statement: whoever else wanted its rows would wait for its locks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

from domain.errors import OrderwrightError, StoreUnavailable
from domain.ports import Holder, Transaction, Unit, Verdict
from domain.work import Run
from infrastructure.memory import MemoryStore
from tests.simulation.agenda import Agenda
from tests.simulation.trace import Trace

START = datetime(2026, 3, 1, tzinfo=UTC)
T = TypeVar("T")
WRITES = {"append", "claim", "claim_due", "claim_oldest", "claim_suspect"}


class Killed(BaseException):
    """The process that was working is gone, in the middle of what it did. Nothing of the program may catch it."""


class Client(Protocol):
    """Who has a connection."""

    name: str
    alive: bool

    def die(self) -> None: ...


class Watched(MemoryStore):
    """Tells what was decided about each unit, and what was claimed, once it is committed."""

    def __init__(self, clock: Callable[[], datetime], random: Callable[[], float]) -> None:
        super().__init__(clock, random)
        self.judged: list[tuple[Unit, Verdict]] = []

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        verdicts = super().append(units, holder=holder)
        self.judged += zip(units, verdicts, strict=True)
        return verdicts


class Auditor(Protocol):
    """Looks at the store after every commit."""

    def look(self) -> None: ...

    def claimed(self, runs: Sequence[Run]) -> None: ...


class Database:
    """The server: the store, and whether it can be reached."""

    def __init__(self, agenda: Agenda, trace: Trace, chance: Random, strikes: Callable[[str], bool]) -> None:
        self.away = False
        self.in_transaction = False
        self._told = (0.0, START)
        self.agenda, self.trace, self.chance, self.strikes = agenda, trace, chance, strikes
        self.store = Watched(self.time, chance.random)
        self.auditor: Auditor

    def time(self) -> datetime:
        if self.agenda.now != self._told[0]:
            self._told = (self.agenda.now, START + timedelta(seconds=self.agenda.now))
        return self._told[1]

    def perform(self, name: str, arguments: Any, keywords: Any) -> Any:
        """One statement, committed."""
        result = getattr(self.store, name)(*arguments, **keywords)
        if name.startswith("claim"):
            self.auditor.claimed([run for run in (result if isinstance(result, list) else [result]) if run is not None])
        self.auditor.look()
        return result


class Connection:
    """What one client has of the database: every method of the store is a statement."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._statement, name)

    def now(self) -> datetime:
        return self._database.time()

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self.within(self._database.store.transaction)

    @contextmanager
    def within(self, begin: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """A transaction that `begin` begins."""
        database = self._database
        self._before("transaction")
        database.in_transaction = True
        try:
            with begin() as transaction:
                yield transaction
                if database.strikes("killed before commit"):
                    self._kill("killed before commit", "in a transaction")
        except BaseException:
            database.store.judged.clear()
            raise
        finally:
            database.in_transaction = False
        database.auditor.look()
        self._after("transaction")

    def over(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of another part of the server, called over this connection, alone: nobody comes in between."""

        def statement(*arguments: Any, **keywords: Any) -> Any:
            self._reach(method.__name__)
            result = method(*arguments, **keywords)
            self._after(method.__name__)
            return result

        return statement

    def _statement(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        self._before(name)
        if name in WRITES and self._database.strikes("commit comes late"):
            self._give_up(name, arguments, keywords)
        result = self._database.perform(name, arguments, keywords)
        self._after(name)
        return result

    def _before(self, name: str) -> None:
        database = self._database
        if database.strikes("others in between"):
            database.agenda.meanwhile(database.chance.choice([0.001, 0.01, 0.1]))
        if database.strikes("store slow"):
            pause = database.chance.choice([0.3, 2.0, 15.0])
            database.trace.fault("store slow", self._client.name, f"{name} {pause:g} s")
            database.agenda.meanwhile(pause)
        self._reach(name)

    def _reach(self, name: str) -> None:
        database = self._database
        if not self._client.alive:
            raise Killed
        if database.strikes("killed before commit"):
            self._kill("killed before commit", name)
        if database.away or database.strikes("store refuses"):
            database.trace.fault("store refuses", self._client.name, name)
            raise StoreUnavailable("the server did not take the connection")

    def _after(self, name: str) -> None:
        database = self._database
        if database.strikes("killed after commit"):
            self._kill("killed after commit", name)
        if database.away or database.strikes("commit answer lost"):
            database.trace.fault("commit answer lost", self._client.name, name)
            raise StoreUnavailable("the answer to the commit was lost")

    def _give_up(self, name: str, arguments: Any, keywords: Any) -> None:
        """The client waits no longer; the server has not noticed and commits after all."""
        database = self._database
        delay = database.chance.choice([0.05, 1.0, 8.0])
        database.trace.fault("commit comes late", self._client.name, f"{name} {delay:g} s")
        database.agenda.after(delay, "server", f"late {name}", lambda: self._late(name, arguments, keywords))
        raise StoreUnavailable("the server did not answer in time")

    def _late(self, name: str, arguments: Any, keywords: Any) -> None:
        try:
            self._database.perform(name, arguments, keywords)
        except OrderwrightError as error:
            self._database.trace.note("server", f"late {name}: {error}")

    def _kill(self, kind: str, where: str) -> None:
        self._database.trace.fault(kind, self._client.name, where)
        self._client.die()
        raise Killed
