"""The dead letters in memory: the rows, and how a run or a message becomes one."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from domain.causes import cause_of, group_of
from domain.review import BODY_LIMIT, Letter, LetterState, Message, Note
from domain.work import RunKey, RunRow
from infrastructure.memory.changes import Changes


class LetterTable:
    """The caller holds the lock of the store. Every change notes how to undo it."""

    def __init__(self, changes: Changes, clock: Callable[[], datetime]) -> None:
        self._changes = changes
        self._clock = clock
        self._rows: dict[int, Letter] = {}
        self._copies: dict[int, str] = {}

    def all(self) -> list[Letter]:
        return list(self._rows.values())

    def get(self, ids: Iterable[int]) -> list[Letter]:
        return [self._rows[one] for one in sorted(set(ids)) if one in self._rows]

    def run_died(self, row: RunRow, reason: str, first_tried_at: datetime | None) -> None:
        """Like the INSERT of `change_work`: the letter of a run that dies again is opened again."""
        before = next((letter for letter in self._rows.values() if letter.run == row.key), None)
        if before is None:
            self._put(replace(self._new(reason, row.key), attempts=row.attempts, first_tried_at=first_tried_at))
            return
        self._die_again(before, reason, attempts=row.attempts)

    def run_is_not_wanted(self, key: RunKey) -> None:
        """The order went another way: nobody has to decide about its letter any more."""
        for letter in self.all():
            if letter.run == key and letter.state is LetterState.OPEN:
                self._put(replace(letter, state=LetterState.OBSOLETE))

    def keep(self, message: Message) -> int:
        identity = (message.origin, message.message_id, message.sha256)
        before = next((one for one in self._rows.values() if one.run is None and _identity(one) == identity), None)
        if before is None:
            letter = self._message(message)
            self._put(letter)
            self._copies[letter.id] = message.copy_id
            return letter.id
        if message.copy_id not in ("", self._copies.get(before.id, "")):
            self._die_again(before, message.reason, attempts=0)
            self._copies[before.id] = message.copy_id
        return before.id

    def note(self, notes: Sequence[Note]) -> None:
        for note in notes:
            letter = self._rows[note.letter_id]
            self._put(
                replace(letter, state=note.state, noted_by=note.by, noted_reason=note.reason, noted_at=self._clock())
            )

    def copy(self, original: Letter, body: bytes, sha256: str, note: Note) -> int:
        copy = replace(
            self._rows[original.id],
            id=self._next_id(),
            state=LetterState.OPEN,
            body=body,
            size=len(body),
            sha256=sha256,
            message_id=f"letter-{original.id}-{sha256[:8]}",
            original_of=original.id,
            first_died_at=self._clock(),
            died_at=self._clock(),
            deaths=1,
            noted_by=note.by,
            noted_reason=note.reason,
            noted_at=self._clock(),
        )
        known = next((one for one in self._rows.values() if _identity(one) == _identity(copy)), None)
        self._put(replace(known, state=LetterState.OPEN) if known else copy)
        return known.id if known else copy.id

    def _die_again(self, letter: Letter, reason: str, *, attempts: int) -> None:
        again = replace(
            letter,
            state=LetterState.OPEN,
            attempts=attempts,
            deaths=letter.deaths + 1,
            reason=reason,
            cause=cause_of(reason),
            group=group_of(letter.place, reason),
            died_at=self._clock(),
        )
        self._put(again)

    def _message(self, message: Message) -> Letter:
        return replace(
            self._new(message.reason[:2000], None, message.origin),
            message_id=message.message_id,
            body=message.body[:BODY_LIMIT],
            size=message.size,
            sha256=message.sha256 or hashlib.sha256(message.body).hexdigest(),
            headers=dict(message.headers),
        )

    def _new(self, reason: str, run: RunKey | None, origin: str = "") -> Letter:
        now = self._clock()
        return Letter(
            id=self._next_id(),
            state=LetterState.OPEN,
            run=run,
            attempts=0,
            deaths=1,
            reason=reason,
            cause=cause_of(reason),
            group=group_of(run.step.value if run else origin, reason),
            origin=origin,
            message_id="",
            size=0,
            sha256="",
            first_died_at=now,
            died_at=now,
        )

    def _next_id(self) -> int:
        return len(self._rows) + 1

    def _put(self, letter: Letter) -> None:
        before = self._rows.get(letter.id)
        if before is None:
            self._changes.note(lambda: self._rows.pop(letter.id))
        else:
            self._changes.note(lambda: self._rows.update({before.id: before}))
        self._rows[letter.id] = letter


def _identity(letter: Letter) -> tuple[str, str, str]:
    return letter.origin, letter.message_id, letter.sha256
