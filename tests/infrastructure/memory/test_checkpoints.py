"""Checkpoints in memory: a batch counts once, or not at all."""

from collections.abc import Sequence

import pytest

from domain.errors import VersionConflict
from domain.ports import RecordedEvent
from infrastructure.memory import MemoryCheckpoints, MemoryStore
from tests.contracts.stores import texts, unit
from tests.infrastructure.memory.clock import Clock


class Notes:
    """A read model of texts; it refuses the text `bad`."""

    name = "notes"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        if "bad" in texts(events):
            raise ValueError("bad")
        self.texts += texts(events)


@pytest.fixture
def events() -> Sequence[RecordedEvent]:
    store = MemoryStore(Clock())
    store.append([unit({}, ("order-o1", "a"), ("order-o1", "b"), ("order-o1", "bad"))])
    return store.read_all(after=0)


def test_the_checkpoint_is_the_last_position_that_was_applied(events: Sequence[RecordedEvent]) -> None:
    checkpoints, notes = MemoryCheckpoints(), Notes()
    assert checkpoints.position("notes") == 0
    assert checkpoints.apply(notes, events[:2], after=0) == events[1].position
    assert checkpoints.position("notes") == events[1].position
    assert notes.texts == ["a", "b"]


def test_the_slower_of_two_projectors_applies_nothing(events: Sequence[RecordedEvent]) -> None:
    checkpoints, notes = MemoryCheckpoints(), Notes()
    checkpoints.apply(notes, events[:1], after=0)
    with pytest.raises(VersionConflict):
        checkpoints.apply(notes, events[:2], after=0)
    assert notes.texts == ["a"]


def test_a_batch_that_cannot_be_applied_leaves_the_checkpoint_where_it_was(events: Sequence[RecordedEvent]) -> None:
    checkpoints, notes = MemoryCheckpoints(), Notes()
    with pytest.raises(ValueError, match="bad"):
        checkpoints.apply(notes, events, after=0)
    assert checkpoints.position("notes") == 0


def test_no_events_move_nothing() -> None:
    checkpoints, notes = MemoryCheckpoints(), Notes()
    assert checkpoints.apply(notes, [], after=0) == 0
