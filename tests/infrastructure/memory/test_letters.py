"""The contract of the dead letters, against memory."""

import pytest

from domain.review import Letters
from infrastructure.memory import MemoryStore
from infrastructure.memory.dead_letters import MemoryDeadLetters
from tests.contracts.letters import LettersContract
from tests.contracts.stores import Advance
from tests.infrastructure.memory.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def letters(store: MemoryStore) -> Letters:
    return MemoryDeadLetters(store)


@pytest.fixture
def advance(clock: Clock) -> Advance:
    return clock.advance


class TestLetters(LettersContract):
    """Against memory."""
