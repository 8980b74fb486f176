"""Random lives of the store on Postgres: few, because each step is several round trips."""

from contextlib import closing
from functools import partial
from itertools import count

import psycopg

from infrastructure.postgres.store import PostgresStore
from tests.contracts.store_machine import Harness, run_store_machine
from tests.infrastructure.postgres.stores import age


def test_random_lives_of_a_store_agree_with_the_model(database: str) -> None:
    numbers = count()

    with closing(PostgresStore(database)) as store:

        def fresh() -> Harness:
            with psycopg.connect(database) as connection:
                connection.execute("DELETE FROM step_runs")
            return Harness(store=store, advance=partial(age, database), prefix=f"p{next(numbers)}-")

        run_store_machine(fresh, max_examples=20, stateful_step_count=20)
