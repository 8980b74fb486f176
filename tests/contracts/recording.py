"""Writing down what is asked of a settings store and what it answers, for the checker (K29).

    calls: list[dict] = []
    store = Recorded(store, calls, client="reader 3")
    ...
    assert wrongs(calls) == []           # tests.checker.configuration; or {"settings": call} as lines of a history

Appending to a list is atomic, so threads may share one. Times are those of the machine's monotonic clock, so processes may be put together.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from domain.configuration import Change, Revision, SettingsStore, StaleVersion, Value
from domain.errors import StoreUnavailable


class Recorded:
    """A `SettingsStore` that keeps a record. What `wait` returns is written down as read while it waited."""

    def __init__(self, store: SettingsStore, calls: list[dict[str, Any]], client: str) -> None:
        self._store = store
        self._calls = calls
        self._client = client

    def read(self) -> Revision:
        began = time.monotonic()
        revision = self._store.read()
        self._read(began, revision)
        return revision

    def change(self, expected: int, values: Mapping[str, Value], *, who: str, why: str, request: str) -> Revision:
        told = {"expected": expected, "values": dict(values), "began": time.monotonic()}
        try:
            revision = self._store.change(expected, values, who=who, why=why, request=request)
        except StaleVersion as stale:
            self._note("change", **told, ended=time.monotonic(), outcome="refused", version=stale.found)
            raise
        except StoreUnavailable:
            self._note("change", **told, outcome="unknown")
            raise
        self._note("change", **told, ended=time.monotonic(), outcome="done", version=revision.version)
        return revision

    def history(self, *, limit: int = 50, before: int | None = None) -> Sequence[Change]:
        return self._store.history(limit=limit, before=before)

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        began = time.monotonic()
        revision = self._store.wait(after, timeout_s)
        if revision is not None:
            self._read(began, revision)
        return revision

    def close(self) -> None:
        self._store.close()

    def seen(self, revision: Revision) -> None:
        """From now on the client goes by this."""
        self._note("seen", at=time.monotonic(), version=revision.version, values=dict(revision.values))

    def _read(self, began: float, revision: Revision) -> None:
        told = {"version": revision.version, "values": dict(revision.values)}
        self._note("read", began=began, ended=time.monotonic(), **told)

    def _note(self, call: str, **told: Any) -> None:
        self._calls.append({"client": self._client, "call": call, **told})
