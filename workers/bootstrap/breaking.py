"""The breakers of this installation."""

from domain.breaker import Board
from infrastructure.postgres.breakers import PostgresBreakers
from infrastructure.postgres.call_rates import PostgresCallRates
from infrastructure.postgres.database import Database
from workers.bootstrap.living import Living
from workers.bootstrap.terms import breaker_limits, default_name
from workers.breaker_control import BreakerControl
from workers.breakers import Breakers, Overlook
from workers.rationing import CallRates


class Breaking(Living):
    """For roles that call the outside or announce calls, and for people."""

    _breaker_pool: Database | None = None

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
        """The breakers as a person sees them, by the limits that the fleet goes by now."""
        limits = breaker_limits(self.in_force().settings)
        overlook: Overlook = lambda steps, began, ended: self.store().overlook(steps, began, ended)  # noqa: E731 - rarely asked
        return BreakerControl(self._board(), limits, process=default_name("cli"), overlook=overlook)

    def call_rates(self) -> CallRates:
        """What is left of the rates that dependencies are held to."""
        return PostgresCallRates(self._breaker_database())

    def _board(self) -> Board:
        return PostgresBreakers(self._breaker_database())

    def _breaker_database(self) -> Database:
        """On connections of its own: a call that has to be counted must not wait for an append."""
        if self._breaker_pool is None:
            self._breaker_pool = Database(self.migrated(), application="orderwright breakers", size=2)
            self.opened.callback(self._breaker_pool.close)
        return self._breaker_pool
