"""The breakers of this installation."""

from domain.breaker import Board
from infrastructure.postgres.breakers import PostgresBreakers
from infrastructure.postgres.database import Database
from workers.bootstrap.living import Living
from workers.bootstrap.terms import breaker_limits, default_name
from workers.breaker_control import BreakerControl
from workers.breakers import Breakers


class Breaking(Living):
    """For roles that call the outside or announce calls, and for people."""

    def breakers(self, role: str) -> Breakers:
        """The breakers as one process uses them."""
        return Breakers(
            self._board(),
            process=default_name(role),
            limits=breaker_limits(self.settings),
            forgive=self.store().forgive,
            overlook=self.store().overlook,
        )

    def breaker_control(self) -> BreakerControl:
        """The breakers as a person sees them."""
        return BreakerControl(self._board(), breaker_limits(self.settings), process=default_name("cli"))

    def _board(self) -> Board:
        """On connections of its own: a call that has to be counted must not wait for an append."""
        database = Database(self.migrated(), application="orderwright breakers", size=2)
        self.opened.callback(database.close)
        return PostgresBreakers(database)
