"""What can happen to a primary and its replica."""

from collections.abc import Callable

import psycopg

from tests.drill.targets import Kind
from tests.faults import signals
from tests.faults.postgres import Cluster
from tests.servers.postgres_pair import PrimaryAndReplica
from tests.servers.simulator import await_that

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND (sync_state = 'sync' OR NOT {sync})"
PATIENCE_S = 30.0
COPIES = 4


class Server:
    """One of the two, whichever has that part now."""

    def __init__(self, pair: PrimaryAndReplica, which: Callable[[], Cluster]) -> None:
        self._pair = pair
        self._which = which

    def start(self) -> None:
        self._which().start()

    def kill(self) -> None:
        self._which().kill()

    def freeze(self) -> None:
        signals.freeze(self._which().processes())

    def thaw(self) -> None:
        signals.thaw(self._which().processes())

    def cut_off(self) -> None:
        """The replica from its primary; clients reach both."""
        self._pair.cut_replica()

    def heal(self) -> None:
        self._pair.heal_replica()


class FailOver:
    """The primary dies for good and the replica takes its place; commits wait for the replica from just before, so none may be lost."""

    name = "primary"
    engine = "PostgreSQL"

    def __init__(self, pair: PrimaryAndReplica) -> None:
        self._pair = pair

    def place(self) -> str:
        return "replica promoted"

    def strike(self, kind: Kind) -> None:
        self._pair.primary.alter(synchronous_standby_names="*")
        await_that(lambda: is_streaming(self._pair, synchronously=True), within_s=PATIENCE_S)
        self._pair.kill_primary()
        self._pair.promote()

    def heal(self, kind: Kind) -> None:
        """The old primary comes back as the new one's replica; a copy that was cut short is made again."""
        for left in reversed(range(COPIES)):
            try:
                self._pair.rejoin()
            except AssertionError:
                if not left:
                    raise
            else:
                return

    def is_whole(self) -> bool:
        return is_streaming(self._pair)


def is_streaming(pair: PrimaryAndReplica, *, synchronously: bool = False) -> bool:
    """The primary answers, and its replica follows."""
    try:
        with pair.primary.ask() as connection:
            query = STREAMS.format(sync="true" if synchronously else "false")
            return connection.execute(query.encode()).fetchone() == (1,)
    except psycopg.OperationalError:
        return False
