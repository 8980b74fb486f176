"""A process that appends as fast as it can from four threads, until its standard input ends or somebody kills it.

It prints a line for each fate it knows of: `appended <text>` once the store has said so, `undone <text>` once a transaction with that
event was rolled back. What is in no line may or may not have happened.
"""

import random
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress

from domain.ports import Unit
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import meta, note

THREADS = 4
STREAMS = [f"{kind}-{n}" for kind in ("order", "payment", "stock") for n in range(30)]


class _Undo(Exception):
    """Raised to roll back."""


class Writer:
    """One thread's view of the streams; it learns their versions from its appends and its conflicts."""

    def __init__(self, store: PostgresStore, name: str, say: Callable[[str, Unit], None]) -> None:
        self._store = store
        self._name = name
        self._say = say
        self._random = random.Random(name)
        self._versions: defaultdict[str, int] = defaultdict(int)
        self._count = 0

    def write(self, stop: threading.Event) -> None:
        while not stop.is_set():
            units = [self._draw() for _ in range(self._random.randint(1, 3))]
            if self._random.random() < 0.2:
                self._undo(units)
            else:
                self._append(units)

    def _draw(self) -> Unit:
        written = self._random.choices(STREAMS, k=self._random.randint(1, 4))
        looked_at = {*written, *self._random.choices(STREAMS, k=self._random.randint(0, 1))}
        events = []
        for stream in written:
            self._count += 1
            events.append((stream, note(f"{self._name}:{self._count}")))
        command = meta(f"{self._name}:{self._count}")
        expected = {stream: self._versions[stream] for stream in looked_at}
        return Unit(lock=self._random.choice(STREAMS), expected=expected, events=events, meta=command)

    def _append(self, units: list[Unit]) -> None:
        for unit, verdict in zip(units, self._store.append(units), strict=True):
            if verdict.outcome == "appended":
                for stream, _ in unit.events:
                    self._versions[stream] += 1
                self._say("appended", unit)
            elif verdict.stream:
                self._versions[verdict.stream] = verdict.current

    def _undo(self, units: list[Unit]) -> None:
        with suppress(_Undo), self._store.transaction() as transaction:
            transaction.append(units)
            raise _Undo
        for unit in units:
            self._say("undone", unit)


def main(dsn: str, name: str) -> None:
    stop, lock = threading.Event(), threading.Lock()

    def say(fate: str, unit: Unit) -> None:
        with lock:
            sys.stdout.write("".join(f"{fate} {event.note}\n" for _, event in unit.events))
            sys.stdout.flush()

    with closing(PostgresStore(dsn, size=THREADS)) as store:
        writers = [Writer(store, f"{name}-{n}", say) for n in range(THREADS)]
        threads = [threading.Thread(target=writer.write, args=(stop,)) for writer in writers]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
