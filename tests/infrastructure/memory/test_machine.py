"""Random lives of the store in memory."""

from itertools import count

from infrastructure.memory import MemoryStore
from tests.contracts.store_machine import Harness, run_store_machine
from tests.infrastructure.memory.clock import Clock


def test_random_lives_of_a_store_agree_with_the_model() -> None:
    numbers = count()

    def fresh() -> Harness:
        clock = Clock()
        return Harness(store=MemoryStore(clock), advance=clock.advance, prefix=f"m{next(numbers)}-")

    run_store_machine(fresh, max_examples=100, stateful_step_count=30)
