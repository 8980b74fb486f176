"""Where read models are read: on the replica if there is one that keeps up, else on the primary."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from domain.errors import StoreUnavailable
from infrastructure.postgres import replica
from infrastructure.postgres.database import Database, readable
from infrastructure.postgres.projections.queries import ReadModelQueries

if TYPE_CHECKING:
    from contextlib import ExitStack

    from infrastructure.settings import Settings

T = TypeVar("T")
log = structlog.get_logger()


class Reading:
    """One way to the replica and one to the primary, opened when they are used; closed with `opened`."""

    def __init__(self, settings: "Settings", primary: str, opened: "ExitStack") -> None:
        self._settings = settings
        self._primary = primary
        self._opened = opened
        self._said = False
        self._queries: dict[str, ReadModelQueries] = {}
        url = settings.replica_url
        self.replica = readable(url.get_secret_value(), "replica_url") if url else None

    def ask(self, question: Callable[[ReadModelQueries], T], *, model: str, at_least: int = 0) -> T:
        """The answer of the replica, once the read model has reached the position there; else that of the primary.

        Raises `replica.Behind` if the read model does not get there in time on the primary either.
        """
        if self.replica is not None:
            try:
                return self._ask_replica(self.replica, question, model, at_least)
            except StoreUnavailable as error:
                self._say_once(str(error))
        if at_least:
            wait_s = self._settings.replica_wait_s
            replica.await_position(self._primary, model=model, at_least=at_least, wait_s=wait_s)
        return question(self.queries(self._primary))

    def queries(self, dsn: str) -> ReadModelQueries:
        """The questions to one server."""
        if dsn not in self._queries:
            writable = dsn != self.replica
            database = Database(dsn, application="orderwright queries", size=2, writable=writable)
            self._opened.callback(database.close)
            self._queries[dsn] = ReadModelQueries(database)
        return self._queries[dsn]

    def _ask_replica(self, dsn: str, question: Callable[[ReadModelQueries], T], model: str, at_least: int) -> T:
        wait_s, lag_s = self._settings.replica_wait_s, self._settings.replica_lag_s
        replica.require(dsn, lag_s=lag_s, model=model, at_least=at_least, wait_s=wait_s)
        return question(self.queries(dsn))

    def _say_once(self, why: str) -> None:
        if not self._said:
            log.warning("the primary is asked instead of the replica", why=why)
        self._said = True
