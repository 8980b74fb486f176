"""Looks at the run from outside, by SQL, over every outage of the database."""

from typing import Any

import psycopg

PROGRESS = """
    SELECT count(*) FILTER (WHERE type = 'OrderPlaced'), count(*) FILTER (WHERE type = 'OrderClosed'), max(position)
    FROM events
"""
SAMPLE = """
    SELECT to_json(clock_timestamp())#>>'{}', (SELECT count(*) FROM order_summary_v1),
        (SELECT jsonb_object_agg(stage, orders) FROM pipeline_counts_v1)
"""
# in one statement: a letter that is sent between two questions would be counted in neither
QUIET = """
    SELECT count(*) FILTER (WHERE type = 'OrderPlaced') > 0
        AND count(*) FILTER (WHERE type = 'OrderPlaced') = count(*) FILTER (WHERE type = 'OrderClosed')
        AND NOT EXISTS (SELECT FROM step_runs WHERE state <> 'dead')
        AND max(position) <= (SELECT coalesce(min(position), 0) FROM checkpoints)
    FROM events
"""


class Observer:
    """One connection, made anew when it broke; None as an answer means that the database is away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def ask(self, query: str) -> list[tuple[Any, ...]] | None:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=3)
            return self._connection.execute(query.encode()).fetchall()
        except psycopg.OperationalError:
            self.close()
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def progress(self) -> tuple[int, int, int]:
        """Orders placed, orders closed, the last position; zeros while the database is away."""
        rows = self.ask(PROGRESS)
        return (rows[0][0], rows[0][1], rows[0][2] or 0) if rows else (0, 0, 0)

    def is_quiet(self) -> bool:
        """Every order is closed, no work is left, and the read models have seen all of it."""
        return self.ask(QUIET) == [(True,)]

    def sample(self) -> dict[str, Any] | None:
        """The read models' counts, as of one moment."""
        rows = self.ask(SAMPLE)
        return {"at": rows[0][0], "orders": rows[0][1], "stages": rows[0][2] or {}} if rows else None
