"""The settings that change while the program runs, in memory: `domain.configuration.SettingsStore` for tests and whoever runs in one process."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from time import monotonic

from domain.configuration import Change, Revision, StaleVersion, Value, document


class MemorySettings:
    """Thread-safe. `clock` tells when a change was made."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._changes: list[Change] = []
        self._requests: dict[str, int] = {}
        self._closed = False

    def read(self) -> Revision:
        """See `domain.configuration.SettingsStore.read`."""
        with self._changed:
            return self._revision(len(self._changes))

    def change(self, expected: int, values: Mapping[str, Value], *, who: str, why: str, request: str) -> Revision:
        """See `domain.configuration.SettingsStore.change`."""
        copy = json.loads(document(values, who=who, why=why, request=request))
        with self._changed:
            if request in self._requests:
                return self._revision(self._requests[request])
            found = len(self._changes)
            if found != expected:
                raise StaleVersion(expected, found)
            self._changes.append(Change(version=found + 1, values=copy, who=who, why=why, at=self._clock()))
            self._requests[request] = found + 1
            self._changed.notify_all()
            return self._revision(found + 1)

    def history(self, *, limit: int = 50, before: int | None = None) -> Sequence[Change]:
        """See `domain.configuration.SettingsStore.history`."""
        with self._changed:
            older = self._changes if before is None else self._changes[: max(0, before - 1)]
            return deepcopy(older[::-1][:limit])

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        """See `domain.configuration.SettingsStore.wait`."""
        until = monotonic() + timeout_s
        with self._changed:
            while len(self._changes) <= after and not self._closed:
                if not self._changed.wait(max(0.0, until - monotonic())):
                    return None
            return self._revision(len(self._changes)) if len(self._changes) > after else None

    def close(self) -> None:
        """See `domain.configuration.SettingsStore.close`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _revision(self, version: int) -> Revision:
        return Revision(version=version, values=deepcopy(self._changes[version - 1].values)) if version else Revision()
