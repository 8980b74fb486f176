"""What is left of each dependency's rate, for the whole fleet: `workers.rationing.CallRates` on a row a dependency.

The row says up to when the rate has been given out. Whoever asks gets what has accrued since, at most that of a short while, so that a
quiet hour is not made up for in one moment. The clock is the database's.
"""

from infrastructure.postgres.database import Database
from infrastructure.postgres.queries import load

BURST_S = 0.5
_SQL = load("call_rates")


class PostgresCallRates:
    """Thread-safe. Everything may raise `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, dependency: str, wanted: int, rate: float) -> int:
        """See `workers.rationing.CallRates.take`."""
        burst_s = max(BURST_S, 1.0 / rate)  # one at least
        arguments = {"dependency": dependency, "wanted": wanted, "rate": rate, "burst_s": burst_s}
        with self._database.connection() as connection:
            row = connection.execute(_SQL["take"], arguments).fetchone()
            if row is None:
                connection.execute(_SQL["begin"], arguments)
                row = connection.execute(_SQL["take"], arguments).fetchone()
        return int(row[0]) if row else 0

    def give_back(self, dependency: str, count: int, rate: float) -> None:
        """See `workers.rationing.CallRates.give_back`."""
        with self._database.connection() as connection:
            connection.execute(_SQL["give_back"], {"dependency": dependency, "seconds": count / rate})
