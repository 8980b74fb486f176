"""Follows the settings that change while the program runs, and tells the parts of a role.

A process begins with what it kept on disk or, if that is newer, with what the store says. Then a thread waits on the store. A newer
version that this program understands is kept and applied; one that it does not understand is refused, and the last good one stays
until another comes. While the store is away nothing changes, and that is said once. A store that has an older version than was seen
here has lost something (a backup was restored): it is not followed back.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from domain.configuration import Revision, SettingsStore
from domain.errors import CommandRefused, StoreUnavailable
from infrastructure.live_settings import Effective

log = structlog.get_logger()

WAIT_S = 5.0
PAUSES_S = (0.1, 0.2, 0.4, 0.8)


class Kept(Protocol):
    """The last known good settings on disk."""

    def load(self) -> Revision | None: ...

    def save(self, revision: Revision) -> None: ...


class Live:
    """`now` is what holds. `on_change` tells of every change, in the thread that follows, and first of what holds already.

    `read` makes a revision out to be what holds; it raises `CommandRefused` for one that it does not understand.
    """

    def __init__(self, store: SettingsStore, read: Callable[[Revision], Effective], kept: Kept) -> None:
        self._store = store
        self._read = read
        self._kept = kept
        self._now = read(Revision())
        self._seen = 0
        self._is_away = False
        self._is_behind = False
        self._listeners: list[Callable[[Effective], object]] = []
        self._telling = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="settings", daemon=True)

    def now(self) -> Effective:
        """What holds."""
        return self._now

    def on_change(self, listener: Callable[[Effective], object]) -> None:
        """Tell it of what holds, and of everything that will."""
        with self._telling:
            self._listeners.append(listener)
            listener(self._now)

    def start(self) -> None:
        """Take up what was kept and what the store says, then follow."""
        if (kept := self._kept.load()) is not None:
            self._take(kept)
        try:
            self._look()
        except StoreUnavailable as error:
            self._note_away(error)
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._stop.set()
        self._store.close()
        if self._thread.is_alive():
            self._thread.join(WAIT_S)

    def _follow(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._await_change()
                failures = 0
            except StoreUnavailable as error:
                self._note_away(error)
                self._stop.wait(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
            except Exception:  # whatever it was, the last good settings hold and the next change must be heard of
                log.exception("the settings could not be followed")
                self._stop.wait(PAUSES_S[-1])

    def _await_change(self) -> None:
        revision = self._store.wait(self._seen, WAIT_S)
        if revision is not None:
            self._note_back()
            self._take(revision)
        elif not self._stop.is_set():
            self._look()

    def _look(self) -> None:
        revision = self._store.read()
        self._note_back()
        if revision.version > self._seen:
            self._take(revision)
        elif revision.version < self._seen and not self._is_behind:
            self._is_behind = True
            log.error(
                "the settings store has lost versions: it is not followed back", seen=self._seen, found=revision.version
            )

    def _take(self, revision: Revision) -> None:
        """A version newer than any that was seen."""
        self._seen, self._is_behind = revision.version, False
        try:
            now = self._read(revision)
        except CommandRefused as refused:
            log.error(  # noqa: TRY400 - the reason is all that there is to say
                "new settings refused, the last good ones stay",
                version=revision.version,
                kept=self._now.version,
                reason=refused.reason,
            )
            return
        self._kept.save(revision)
        with self._telling:
            self._now = now
            for listener in self._listeners:
                listener(now)
        log.info("settings in force", version=now.version, changed=sorted(revision.values))

    def _note_away(self, error: StoreUnavailable) -> None:
        if not self._is_away and not self._stop.is_set():
            self._is_away = True
            log.warning(
                "the settings store is away, the last good settings hold",
                version=self._now.version,
                reason=error.reason,
            )

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("the settings store is back")
