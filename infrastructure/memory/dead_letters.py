"""Dead letters in memory, with the same promises as those on Postgres; the store's one lock makes every decision alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from domain.ports import Holder, RecordedEvent, Unit, Verdict
from domain.review import Filter, Group, Letter, Message, Note, matches
from infrastructure.memory.store import MemoryStore


class MemoryDeadLetters:
    """`domain.review.Letters`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._table = store.letters

    def keep(self, message: Message) -> int:
        """See `domain.review.Letters.keep`."""
        with self._store.transaction():
            return self._table.keep(message)

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 100, newest: bool = False) -> Sequence[Letter]:
        """See `domain.review.Letters.page`."""
        found = sorted(self._matching(wanted), key=lambda letter: letter.id, reverse=newest)
        beyond = [one for one in found if (one.id < after if newest and after else one.id > after)]
        return [_without_body(one) for one in beyond[:limit]]

    def count(self, wanted: Filter) -> int:
        """See `domain.review.Letters.count`."""
        return len(list(self._matching(wanted)))

    def groups(self, wanted: Filter, *, limit: int = 100) -> Sequence[Group]:
        """See `domain.review.Letters.groups`."""
        members: dict[str, list[Letter]] = {}
        for letter in self._matching(wanted):
            members.setdefault(letter.group, []).append(letter)
        groups = [_group(letters) for letters in members.values()]
        return sorted(groups, key=lambda one: (-one.letters, one.group))[:limit]

    def get(self, ids: Sequence[int]) -> Sequence[Letter]:
        """See `domain.review.Letters.get`."""
        with self._store.transaction():
            return self._table.get(ids)

    @contextmanager
    def deciding(self) -> Iterator["MemoryDecision"]:
        """See `domain.review.Letters.deciding`."""
        with self._store.transaction():
            yield MemoryDecision(self._store)

    def _matching(self, wanted: Filter) -> Iterable[Letter]:
        with self._store.transaction():
            return [letter for letter in self._table.all() if matches(wanted, letter)]


class MemoryDecision:
    """`domain.review.Decision`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def lock(self, keys: Sequence[str]) -> None:
        """Nothing to do: nobody else is in."""

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Transaction.read`."""
        return self._store.read(streams)

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """See `domain.ports.Transaction.append`."""
        return self._store.append(units, holder=holder)

    def take(self, ids: Sequence[int]) -> Mapping[int, Letter]:
        """See `domain.review.Decision.take`."""
        return {letter.id: _without_body(letter) for letter in self._store.letters.get(ids)}

    def note(self, notes: Sequence[Note]) -> None:
        """See `domain.review.Decision.note`."""
        self._store.letters.note(notes)

    def copy(self, original: Letter, body: bytes, sha256: str, note: Note) -> int:
        """See `domain.review.Decision.copy`."""
        return self._store.letters.copy(original, body, sha256, note)


def _without_body(letter: Letter) -> Letter:
    return replace(letter, body=None)


def _group(letters: Sequence[Letter]) -> Group:
    newest = max(letters, key=lambda letter: letter.id)
    return Group(
        group=newest.group,
        place=newest.place,
        cause=newest.cause,
        example=newest.reason,
        letters=len(letters),
        first_died_at=min(letter.first_died_at for letter in letters),
        died_at=max(letter.died_at for letter in letters),
    )
