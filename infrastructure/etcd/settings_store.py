"""The settings that change while the program runs, in etcd: `domain.configuration.SettingsStore`.

    <prefix>/settings/current               the version in force, with who, why and when
    <prefix>/settings/changes/<number>      every version
    <prefix>/settings/requests/<request>    which version a request made

One transaction writes all three if `current` is as it was read: so whoever was slower changes nothing, a change that is sent twice is
made once, and what it made is found by its request whatever came after. A watch only wakes: what is returned is read again, by
consensus, so a member that is behind can delay news by `SILENCE_S`, and never tells old ones.

A cluster that was wiped or set back has lost versions that processes go by, and nobody follows it back. `restore` puts what a host has kept
in force again, far beyond whatever version anybody may have seen.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain.configuration import Change, Revision, StaleVersion, Value, document
from domain.errors import CommandRefused, StoreUnavailable
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.wire import Answer, Kept, absent, put, read, unchanged

SILENCE_S = 1.0
BREATH_S = 0.05
BEYOND = 1000
NOTHING = Change(version=0, values={}, who="", why="", at=datetime.min.replace(tzinfo=UTC))


class EtcdSettings:
    """Thread-safe. The client is closed with it."""

    def __init__(self, client: Etcd) -> None:
        self._client = client
        self._current = client.key("settings", "current")
        self._closed = threading.Event()

    def read(self) -> Revision:
        """See `domain.configuration.SettingsStore.read`."""
        return _revision(self._newest(self._look()))

    def change(self, expected: int, values: Mapping[str, Value], *, who: str, why: str, request: str) -> Revision:
        """See `domain.configuration.SettingsStore.change`."""
        text = document(values, who=who, why=why, request=request)
        found = self._look()
        newest = self._newest(found)
        if newest.version != expected:
            return self._by_request(request) or _stale(expected, newest.version)
        at = max(newest.at, found.at)  # the members' clocks may differ
        change = Change(version=expected + 1, values=json.loads(text), who=who, why=why, at=at)
        done = self._put(found, change, text, request)
        if done.held:
            return _revision(change)
        return self._by_request(request) or _stale(expected, self._newest(done).version)

    def restore(self, kept: Revision, *, who: str, why: str, request: str) -> Revision:
        """Put in force again what the cluster has lost. Raises `CommandRefused` if it has lost nothing of that, `StaleVersion` as a change."""
        text = document(kept.values, who=who, why=why, request=request)
        found = self._look()
        newest = self._newest(found)
        if newest.version >= kept.version:
            raise CommandRefused(f"nothing is lost: version {newest.version} is in force, {kept.version} was kept here")
        version = kept.version + BEYOND
        change = Change(version=version, values=json.loads(text), who=who, why=why, at=max(newest.at, found.at))
        done = self._put(found, change, text, request)
        if done.held:
            return _revision(change)
        return self._by_request(request) or _stale(newest.version, self._newest(done).version)

    def history(self, *, limit: int = 50, before: int | None = None) -> Sequence[Change]:
        """See `domain.configuration.SettingsStore.history`."""
        if limit <= 0 or (before is not None and before <= 1):
            return []
        end = self._key_of(before) if before is not None else self._client.key("settings", "changes0")
        found = self._client.below(self._client.key("settings", "changes/"), limit=limit, newest_before=end)
        return [_change(kept) for kept in found.kept]

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        """See `domain.configuration.SettingsStore.wait`."""
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            found = self._look()
            newest = self._newest(found)
            left_s = until - time.monotonic()
            if newest.version > after:
                return _revision(newest)
            if left_s <= 0:
                return None
            self._watch(found.revision, min(left_s, SILENCE_S))
        return None

    def close(self) -> None:
        """See `domain.configuration.SettingsStore.close`."""
        self._closed.set()
        self._client.close()

    def _watch(self, revision: int, silence_s: float) -> None:
        """Until somebody changed the settings, or it cannot be told whether."""
        began = time.monotonic()
        for _ in self._client.changes(self._current, revision, silence_s=silence_s):
            return
        if time.monotonic() - began < min(BREATH_S, silence_s):
            self._closed.wait(min(BREATH_S, silence_s))

    def _look(self) -> Answer:
        if self._closed.is_set():
            raise StoreUnavailable("the settings store is closed")
        return self._client.get(self._current)

    def _newest(self, found: Answer) -> Change:
        return next((_change(kept) for kept in found.kept if kept.key == self._current), NOTHING)

    def _put(self, found: Answer, change: Change, text: str, request: str) -> Answer:
        written = {"version": change.version, "document": text, "who": change.who, "why": change.why}
        value = json.dumps({**written, "at": change.at.isoformat()}).encode()
        by_request = self._key_of_request(request)
        before = next((kept.changed for kept in found.kept), 0)
        return self._client.transact(
            [unchanged(self._current, before), absent(by_request)],
            [
                put(self._current, value),
                put(self._key_of(change.version), value),
                put(by_request, str(change.version).encode()),
            ],
            [read(self._current)],
        )

    def _by_request(self, request: str) -> Revision | None:
        """What an earlier attempt of the same change made."""
        for made in self._client.get(self._key_of_request(request)).kept:
            for kept in self._client.get(self._key_of(int(made.value))).kept:
                return _revision(_change(kept))
        return None

    def _key_of(self, version: int) -> str:
        return self._client.key("settings", "changes", f"{version:020}")

    def _key_of_request(self, request: str) -> str:
        return self._client.key("settings", "requests", request)


def _stale(expected: int, found: int) -> Revision:
    raise StaleVersion(expected, found)


def _change(kept: Kept) -> Change:
    told = json.loads(kept.value)
    values = json.loads(told.pop("document"))
    return Change(values=values, **{**told, "at": datetime.fromisoformat(told["at"])})


def _revision(change: Change) -> Revision:
    return Revision(version=change.version, values=change.values)
