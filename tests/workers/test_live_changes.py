"""Changing the live settings as a person does."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.configuration import Revision, StaleVersion
from domain.errors import CommandRefused, StoreUnavailable
from infrastructure.memory.settings_store import MemorySettings
from workers.live_changes import Difference, LiveChanges, assign, differences, remove


class Store(MemorySettings):
    """Somebody else may be faster, and answers may be lost."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC))
        self.rivals = 0
        self.lost_answers = 0

    def change(self, expected: int, values: Any, *, who: str, why: str, request: str) -> Revision:
        if self.rivals:
            self.rivals -= 1
            now = self.read()
            rival = {**now.values, "rival": self.rivals}
            super().change(now.version, rival, who="rival", why="why", request=f"{request}-{self.rivals}")
        made = super().change(expected, values, who=who, why=why, request=request)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreUnavailable("no answer")
        return made


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def changes(store: Store) -> LiveChanges:
    return LiveChanges(store, lambda values: values)


def put(changes: LiveChanges, **values: Any) -> Revision:
    return changes.change(lambda _: values, who="cli:ada", why="why")[1]


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        ("batch", "5", {"batch": 5}),
        ("intake_open", "false", {"intake_open": False}),
        ("paused", "label, capture", {"paused": ["label", "capture"]}),
        ("paused", "", {"paused": []}),
        ("paused", '["label"]', {"paused": ["label"]}),
        ("rates.payment", "2.5", {"rates": {"payment": 2.5}}),
        ("retries.payment.attempts", "3", {"retries": {"payment": {"attempts": 3}}}),
        ("batch", "many", {"batch": "many"}),
    ],
)
def test_a_value_is_put_where_its_name_says(name: str, text: str, after: Any) -> None:
    assert assign({}, name, text) == after
    assert remove(after, name) == {} or "." in name


def test_what_lies_beside_a_name_stays() -> None:
    before: Any = {"rates": {"mail": 1, "payment": 2}, "batch": 3}
    assert assign(before, "rates.payment", "9") == {"rates": {"mail": 1, "payment": 9}, "batch": 3}
    assert remove(before, "rates.payment") == {"rates": {"mail": 1}, "batch": 3}
    assert before == {"rates": {"mail": 1, "payment": 2}, "batch": 3}


@pytest.mark.parametrize("name", ["batch", "rates.mail", "retries.payment.attempts", "paused.label"])
def test_what_is_not_set_cannot_be_unset(name: str) -> None:
    with pytest.raises(CommandRefused, match="is not set"):
        remove({"rates": {"payment": 1}, "paused": ["label"]}, name)


def test_nothing_is_put_inside_a_number() -> None:
    with pytest.raises(CommandRefused, match="batch has nothing inside it"):
        assign({"batch": 5}, "batch.size", "6")


def test_differences_are_told_name_by_name() -> None:
    before: Any = {"batch": 1, "rates": {"mail": 1, "risk": 1}}
    after: Any = {"batch": 2, "rates": {"mail": 1, "payment": 1}}
    assert differences(before, after) == [
        Difference(name="batch", before=1, after=2),
        Difference(name="rates.payment", before=None, after=1),
        Difference(name="rates.risk", before=1, after=None),
    ]


def test_who_comes_second_changes_on_top(store: Store, changes: LiveChanges) -> None:
    store.rivals = 2
    before, after = changes.change(lambda values: assign(values, "batch", "5"), who="cli:ada", why="why")
    assert (before.version, after.version, after.values) == (2, 3, {"rival": 0, "batch": 5})


def test_who_names_a_version_changes_that_one_or_none(store: Store, changes: LiveChanges) -> None:
    put(changes, batch=1)
    store.rivals = 1
    with pytest.raises(StaleVersion):
        changes.change(lambda values: assign(values, "batch", "5"), who="cli:ada", why="why", expect=1)
    with pytest.raises(StaleVersion):
        changes.change(lambda values: assign(values, "batch", "5"), who="cli:ada", why="why", expect=1)
    assert store.read().values == {"batch": 1, "rival": 0}


def test_a_change_whose_answer_was_lost_is_made_once(store: Store, changes: LiveChanges) -> None:
    store.lost_answers = 2
    assert put(changes, batch=1).version == 1
    assert store.read().version == 1


def test_a_change_of_nothing_is_no_version(store: Store, changes: LiveChanges) -> None:
    put(changes, batch=1)
    assert put(changes, batch=1).version == 1


def test_what_is_refused_is_not_stored(store: Store) -> None:
    def refuse(_: Any) -> Any:
        raise CommandRefused("no")

    with pytest.raises(CommandRefused):
        put(LiveChanges(store, refuse), batch=1)
    assert store.read() == Revision()


def test_every_change_is_told_with_what_it_changed_whatever_the_pages(
    changes: LiveChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        put(changes, batch=number)
    for size in (1, 2, 3, 7, 200):
        monkeypatch.setattr("workers.live_changes.PAGE", size)
        found = list(changes.history(5))
        assert [change.version for change, _ in found] == [7, 6, 5, 4, 3]
        assert [one[0].before for _, one in found] == [5, 4, 3, 2, 1]
        assert [change.version for change, _ in changes.history(50, 3)] == [2, 1]


def test_a_history_that_begins_late_or_leaps_is_told_whole(store: Store, changes: LiveChanges) -> None:
    for number in (1, 2):
        put(changes, batch=number)
    first, second = store._changes
    store._changes = [replace(first, version=1_000_000), replace(second, version=1_000_002)]
    told = [(change.version, [one.before for one in changed]) for change, changed in changes.history(50)]
    assert told == [(1_000_002, [1]), (1_000_000, [None])]


def test_each_name_knows_the_change_that_last_touched_it(changes: LiveChanges) -> None:
    put(changes, batch=1, rates={"mail": 1})
    put(changes, batch=2, rates={"mail": 1})
    last = put(changes, batch=2, rates={"mail": 2})
    put(changes, batch=2, rates={"mail": 2}, attempts=3)
    origins = changes.origins(changes.now())
    assert {name: change.version for name, change in origins.items()} == {
        "batch": 2,
        "rates": last.version,
        "attempts": 4,
    }


def test_an_old_version_can_be_had_again(changes: LiveChanges) -> None:
    put(changes, batch=1)
    put(changes, batch=2)
    assert changes.at(1).values == {"batch": 1}
    assert changes.at(0) == Revision()
    with pytest.raises(CommandRefused, match="no version 3"):
        changes.at(3)
