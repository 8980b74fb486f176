"""Following the settings: always forward, and on with the last good ones when the store or a value fails."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from domain.configuration import Revision, Value
from domain.errors import StoreUnavailable
from infrastructure.embedded.waiting import wait_until
from infrastructure.live_settings import Effective, effective
from infrastructure.memory.settings_store import MemorySettings
from infrastructure.settings import Settings
from workers.live import Live

TOLD = Settings.model_validate({"batch": 9})


def until(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, timeout_s=10)


class Disk:
    """Keeps one revision."""

    def __init__(self) -> None:
        self.kept: Revision | None = None

    def load(self) -> Revision | None:
        return self.kept

    def save(self, revision: Revision) -> None:
        self.kept = revision


class Store(MemorySettings):
    """A store that can be away, and can lose its history."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC))
        self.away = False

    def read(self) -> Revision:
        self._answer()
        return super().read()

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        self._answer()
        found = super().wait(after, min(timeout_s, 0.02))
        self._answer()
        return found

    def lose(self) -> None:
        """As a backup that is restored."""
        with self._changed:
            self._changes.clear()
            self._requests.clear()

    def put(self, values: Mapping[str, Value]) -> int:
        version = super().read().version
        return self.change(version, values, who="cli:ada", why="a test", request=uuid4().hex).version

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("nobody is there")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def disk() -> Disk:
    return Disk()


Follow = Callable[[], Live]


@pytest.fixture
def follow(store: Store, disk: Disk) -> Iterator[Follow]:
    followers: list[Live] = []

    def follow() -> Live:
        live = Live(store, lambda revision: effective(TOLD, revision), disk)
        followers.append(live)
        live.start()
        return live

    yield follow
    for live in followers:
        live.stop()


def comes_to(live: Live, version: int) -> Effective:
    until(lambda: live.now().version == version)
    return live.now()


def test_a_process_begins_with_what_is_in_force(store: Store, follow: Follow) -> None:
    store.put({"batch": 5})
    assert follow().now().settings.batch == 5


def test_what_is_unset_is_as_the_process_was_told(store: Store, follow: Follow) -> None:
    store.put({"batch": 5})
    live = follow()
    assert comes_to(live, store.put({})).settings == TOLD


def test_a_change_is_told_to_whoever_listens(store: Store, follow: Follow) -> None:
    store.put({"batch": 5})
    live, told = follow(), list[Effective]()
    live.on_change(told.append)
    version = store.put({"batch": 6})
    until(lambda: len(told) == 2)
    assert [(one.version, one.settings.batch) for one in told] == [(version - 1, 5), (version, 6)]


def test_while_the_store_is_away_the_last_settings_hold_and_it_is_said_once(store: Store, follow: Follow) -> None:
    version = store.put({"batch": 5})
    live = follow()
    with capture_logs() as logs:
        store.away = True
        until(lambda: any("away" in log["event"] for log in logs))
        assert comes_to(live, version).settings.batch == 5
        store.away = False
        comes_to(live, store.put({"batch": 6}))
        store.away = True
        until(lambda: sum("away" in log["event"] for log in logs) == 2)
    events = [log["event"] for log in logs if "store" in log["event"]]
    away, back = "the settings store is away, the last good settings hold", "the settings store is back"
    assert events == [away, back, away]


def test_a_process_that_starts_without_the_store_goes_by_what_it_kept(store: Store, disk: Disk, follow: Follow) -> None:
    version = store.put({"batch": 5})
    follow().stop()
    store.away = True
    assert disk.kept is not None
    assert follow().now().settings.batch == 5
    assert follow().now().version == version


def test_a_process_that_never_saw_the_store_goes_by_what_it_was_told(store: Store, follow: Follow) -> None:
    store.away = True
    live = follow()
    assert live.now().settings == TOLD
    store.away = False
    assert comes_to(live, store.put({"batch": 5})).settings.batch == 5


def test_a_store_that_lost_its_last_changes_is_not_followed_back(store: Store, disk: Disk, follow: Follow) -> None:
    disk.kept = Revision(version=7, values={"batch": 7})
    store.put({"batch": 1})
    with capture_logs() as logs:
        live = follow()
        store.put({"batch": 2})
        until(lambda: any("lost versions" in log["event"] for log in logs))
    assert (live.now().version, live.now().settings.batch) == (7, 7)
    assert disk.kept == Revision(version=7, values={"batch": 7})


def test_a_running_process_is_not_taken_back_either_until_the_store_is_ahead_again(
    store: Store, follow: Follow
) -> None:
    for number in range(3):
        store.put({"batch": number + 1})
    live, told = follow(), list[int]()
    live.on_change(lambda now: told.append(now.version))
    with capture_logs() as logs:
        store.lose()
        until(lambda: any("lost versions" in log["event"] for log in logs))
    for number in range(4):
        store.put({"batch": 10 + number})
    assert comes_to(live, 4).settings.batch == 13
    assert told == [3, 4]


@pytest.mark.parametrize("values", [{"batch": 0}, {"from_the_future": 1}])
def test_what_this_version_does_not_understand_is_refused_and_the_last_good_one_stays(
    store: Store, disk: Disk, follow: Follow, values: Any
) -> None:
    store.put({"batch": 5})
    live = follow()
    with capture_logs() as logs:
        store.put(values)
        until(lambda: any("refused" in log["event"] for log in logs))
    assert (live.now().version, live.now().settings.batch) == (1, 5)
    assert disk.kept == Revision(version=1, values={"batch": 5})
    assert next(iter(values)) in next(log["reason"] for log in logs if "refused" in log["event"])
    assert comes_to(live, store.put({"batch": 6})).settings.batch == 6


def test_who_starts_with_a_version_that_is_refused_goes_by_the_last_good_one(store: Store, follow: Follow) -> None:
    store.put({"batch": 5})
    follow().stop()
    store.put({"from_the_future": 1})
    assert follow().now().settings.batch == 5


def test_an_error_of_ours_does_not_end_the_following(store: Store, follow: Follow) -> None:
    live = follow()
    failing = [True]

    def listener(now: Effective) -> None:
        if now.version and failing.pop():
            raise ValueError("a defect")

    live.on_change(listener)
    store.put({"batch": 5})
    until(lambda: not failing)
    failing.append(False)
    assert comes_to(live, store.put({"batch": 6})).settings.batch == 6
