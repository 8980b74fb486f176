"""What every store of settings promises: `domain.configuration.SettingsStore`.

Fixtures of an adapter: `store`, and `other`, which leads to the same place by connections of its own. A place may have a history
already, so every test counts from the version that it finds.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from domain.configuration import DOCUMENT_LIMIT, Revision, SettingsStore, StaleVersion, Value
from domain.errors import CommandRefused
from tests.checker.configuration import wrongs
from tests.contracts.recording import Recorded

SOON_S = 10.0
CLIENTS = 8
CHANGES_EACH = 6


def put(store: SettingsStore, values: Mapping[str, Value], *, who: str = "cli:ada", why: str = "a test") -> Revision:
    """Change the settings from whatever is in force."""
    while True:
        try:
            return store.change(store.read().version, values, who=who, why=why, request=uuid4().hex)
        except StaleVersion:
            continue


class ChangingContract:
    """One version after the other."""

    def test_what_was_set_is_read(self, store: SettingsStore, other: SettingsStore) -> None:
        version = store.read().version
        values: dict[str, Value] = {
            "batch": 5,
            "share": 0.5,
            "open": False,
            "none": None,
            "steps": ["a"],
            "deep": {"é\0\ud800": [1.0]},
        }
        assert store.change(version, values, who="cli:ada", why="why", request=uuid4().hex).version == version + 1
        assert other.read() == Revision(version=version + 1, values=values)

    def test_an_empty_document_is_a_version_as_well(self, store: SettingsStore) -> None:
        version = put(store, {"batch": 5}).version
        assert put(store, {}) == Revision(version=version + 1, values={})
        assert store.read() == Revision(version=version + 1, values={})

    def test_a_change_of_what_is_not_in_force_any_more_is_refused_and_changes_nothing(
        self, store: SettingsStore
    ) -> None:
        before = put(store, {"batch": 5})
        for expected in (before.version - 1, before.version + 1, -1):
            with pytest.raises(StaleVersion) as stale:
                store.change(expected, {"batch": 6}, who="cli:ada", why="why", request=uuid4().hex)
            assert (stale.value.expected, stale.value.found) == (expected, before.version)
        assert store.read() == before

    def test_a_change_that_is_repeated_is_made_once(self, store: SettingsStore, other: SettingsStore) -> None:
        version, request = store.read().version, uuid4().hex
        made = store.change(version, {"batch": 5}, who="cli:ada", why="why", request=request)
        later = put(store, {"batch": 6})
        assert other.change(version, {"batch": 5}, who="cli:ada", why="why", request=request) == made
        assert store.read() == later

    def test_what_was_returned_is_the_callers_own(self, store: SettingsStore) -> None:
        revision = put(store, {"steps": ["a"]})
        steps: Any = store.read().values["steps"]
        steps.append("b")
        assert store.read().values == revision.values == {"steps": ["a"]}

    def test_a_document_has_a_bound(self, store: SettingsStore) -> None:
        overhead = len('{"text":""}')
        fits: dict[str, Value] = {"text": "x" * (DOCUMENT_LIMIT - overhead)}
        assert put(store, fits).values == fits
        with pytest.raises(CommandRefused, match="values: has 65537 bytes, 65536 are allowed"):
            put(store, {"text": "x" * (DOCUMENT_LIMIT - overhead + 1)})
        assert store.read().values == fits

    @pytest.mark.parametrize(
        ("field", "values", "words"),
        [
            ("values", {"a": float("nan")}, {}),
            ("values", {"a": ("b",)}, {}),
            ("values", {1: "a"}, {}),
            ("values", {"a": {"b"}}, {}),
            ("who", {}, {"who": " "}),
            ("why", {}, {"why": ""}),
            ("why", {}, {"why": "a\nforged line"}),
            ("request", {}, {"request": "x" * 501}),
        ],
    )
    def test_what_cannot_be_kept_as_it_is_is_refused(
        self, store: SettingsStore, field: str, values: Any, words: Mapping[str, str]
    ) -> None:
        before = store.read()
        with pytest.raises(CommandRefused) as refused:
            store.change(before.version, values, **{"who": "cli:ada", "why": "why", "request": uuid4().hex, **words})
        assert refused.value.field == field
        assert store.read() == before


class HistoryContract:
    """Who did what, and why."""

    def test_the_history_is_complete_with_the_newest_first(self, store: SettingsStore) -> None:
        first = store.read().version + 1
        for number in range(5):
            put(store, {"batch": number + 1}, who=f"cli:{number}", why=f"because {number}")
        found = store.history(limit=5)
        assert [(one.version, one.values, one.who, one.why) for one in found] == [
            (first + number, {"batch": number + 1}, f"cli:{number}", f"because {number}") for number in (4, 3, 2, 1, 0)
        ]
        assert all(later.at >= earlier.at and later.at.tzinfo for later, earlier in pairwise(found))

    def test_the_history_comes_in_pages(self, store: SettingsStore) -> None:
        last = [put(store, {"batch": number + 1}).version for number in range(5)][-1]
        assert [one.version for one in store.history(limit=2)] == [last, last - 1]
        assert [one.version for one in store.history(limit=2, before=last - 1)] == [last - 2, last - 3]
        assert list(store.history(before=1)) == []

    def test_a_refused_or_repeated_change_leaves_no_trace(self, store: SettingsStore) -> None:
        request = uuid4().hex
        made = store.change(store.read().version, {"batch": 5}, who="cli:ada", why="why", request=request)
        store.change(made.version - 1, {"batch": 5}, who="cli:ada", why="why", request=request)
        with pytest.raises(StaleVersion):
            store.change(made.version - 1, {"batch": 7}, who="cli:ada", why="why", request=uuid4().hex)
        assert store.history(limit=1)[0].version == made.version


class WaitingContract:
    """Who waits hears of the newest version, and of nothing older than he knows."""

    def test_nobody_waits_for_what_is_there_already(self, store: SettingsStore) -> None:
        version = put(store, {"batch": 5}).version
        revision = put(store, {"batch": 6})
        assert store.wait(version, 0.0) == revision
        assert store.wait(version - 1, SOON_S) == revision

    def test_a_wait_without_news_ends_at_its_time(self, store: SettingsStore) -> None:
        version = put(store, {"batch": 5}).version
        assert store.wait(version, 0.05) is None
        assert store.wait(version + 3, 0.0) is None

    def test_a_wait_ends_with_the_change_of_another(self, store: SettingsStore, other: SettingsStore) -> None:
        version = store.read().version
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(store.wait, version, SOON_S)
            made = put(other, {"batch": 7})
            assert waiting.result(SOON_S) == made

    def test_a_follower_comes_to_the_newest_version_and_never_goes_back(
        self, store: SettingsStore, other: SettingsStore
    ) -> None:
        version = store.read().version
        last = version + 20
        seen = [version]

        def follow() -> None:
            until = monotonic() + 2 * SOON_S
            while seen[-1] < last and monotonic() < until:
                revision = store.wait(seen[-1], SOON_S)
                if revision is not None:
                    assert revision.values == {"batch": revision.version}
                    seen.append(revision.version)

        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(follow)
            for number in range(version, last):
                other.change(number, {"batch": number + 1}, who="cli:ada", why="why", request=uuid4().hex)
            following.result(2 * SOON_S)
        assert seen[-1] == last
        assert all(earlier < later for earlier, later in pairwise(seen))

    def test_closing_ends_a_wait(self, store: SettingsStore, other: SettingsStore) -> None:
        version = store.read().version
        began = threading.Event()

        def wait() -> Revision | None:
            began.set()
            return other.wait(version, 3 * SOON_S)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait)
            assert began.wait(SOON_S)
            other.close()
            assert ended(waiting.result, SOON_S)


def ended(result: Callable[[float], Revision | None], within_s: float) -> bool:
    """In time and without news; that the store is closed is an answer as well."""
    from domain.errors import StoreUnavailable

    try:
        return result(within_s) is None
    except StoreUnavailable:
        return True


class ConcurrencyContract:
    """Many at once are as if one by one (K29)."""

    def test_changes_at_once_are_made_one_after_the_other(self, store: SettingsStore, other: SettingsStore) -> None:
        first, calls = store.read(), list[dict[str, Any]]()
        calls.append({"client": "-", "call": "start", "version": first.version, "values": dict(first.values)})
        barrier = threading.Barrier(CLIENTS)

        def change(client: int) -> None:
            mine = Recorded(other if client % 2 else store, calls, client=f"client {client}")
            barrier.wait(SOON_S)
            for number in range(CHANGES_EACH):
                until_made(mine, {"who": client, "count": number})

        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(change, client) for client in range(CLIENTS)]:
                done.result(6 * SOON_S)
        assert store.read().version == first.version + CLIENTS * CHANGES_EACH
        assert wrongs(calls) == []

    def test_one_request_of_many_at_once_is_made_once(self, store: SettingsStore, other: SettingsStore) -> None:
        version, request = store.read().version, uuid4().hex
        barrier = threading.Barrier(CLIENTS)

        def change(client: int) -> Revision:
            mine = other if client % 2 else store
            barrier.wait(SOON_S)
            return mine.change(version, {"batch": 5}, who="cli:ada", why="why", request=request)

        with ThreadPoolExecutor(CLIENTS) as pool:
            made = [done.result(SOON_S) for done in [pool.submit(change, client) for client in range(CLIENTS)]]
        assert made == [Revision(version=version + 1, values={"batch": 5})] * CLIENTS
        assert store.read().version == version + 1


def until_made(store: SettingsStore, values: Mapping[str, Value]) -> None:
    """Read and change, again and again, as people do."""
    while True:
        try:
            store.change(store.read().version, values, who="cli:ada", why="why", request=uuid4().hex)
        except StaleVersion:
            continue
        return
