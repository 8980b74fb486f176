"""Postgres stores for tests, and time for them: what is stored is moved into the past, which is the same as time passing."""

from datetime import timedelta

import psycopg

AGE = (
    "UPDATE step_runs SET due_at = due_at - %(time)s, wake_at = wake_at - %(time)s",
    "UPDATE step_runs SET failed_at = ARRAY(SELECT f - %(time)s FROM unnest(failed_at) WITH ORDINALITY AS x(f, n) ORDER BY n)",
    "UPDATE holders SET expires_at = expires_at - %(time)s",
)


def age(dsn: str, time: timedelta) -> None:
    with psycopg.connect(dsn) as connection:
        for statement in AGE:
            connection.execute(statement, {"time": time})
