"""What a decision about a message writes: its event on the letter's own stream, and perhaps the message itself.

A message goes back to the queue that it came from, which its letter remembers; nobody types a queue. One whose queue is none of ours (a
stranger may write any name into a label), or of which only the beginning was kept, cannot be sent as it is.
"""

import ast
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from domain.errors import CommandRefused
from domain.messaging import Inbound, Outbound
from domain.ports import Unit
from domain.review import (
    Letter,
    LetterState,
    MessageDiscarded,
    MessageEdited,
    MessageRestored,
    MessageRetried,
    letter_stream,
)
from workers.review.plan import Person, Plan, Sight, meta

Judge = Callable[[Inbound], str]
"""Reads a message as its consumer would, without doing anything. Returns what would happen; raises `CommandRefused` if it would be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Decisions about messages of these queues."""

    queues: Collection[str]
    judge: Judge

    def retried(self, letter: Letter, sight: Sight, person: Person) -> Plan:
        """Send it to where it came from."""
        try:
            message = self.again(letter)
        except CommandRefused as refused:
            return Plan(refused=refused.reason)
        event = MessageRetried(queue=letter.origin, by=person.by, note=person.reason, at=sight.now)
        unit = on_letter(letter, event, "retry", sight, person)
        return Plan(unit=unit, state=LetterState.RETRIED, message=message, words=f"sent to {letter.origin}")

    def again(self, letter: Letter) -> Outbound:
        """The message as it will be sent. Raises `CommandRefused`."""
        if letter.body is None or not letter.is_whole:
            kept = len(letter.body or b"")
            raise CommandRefused(f"only {kept} of its {letter.size} bytes were kept; edit it, or discard it")
        if letter.origin not in self.queues:
            raise CommandRefused(f"it came from {letter.origin!a}, which is no queue of ours")
        return Outbound(
            queue=letter.origin,
            body=letter.body,
            content_type=_content_type(letter),
            message_id=letter.message_id or None,
            correlation_id=_label(letter, "correlation-id"),
            reply_to=_label(letter, "reply-to"),
        )

    def judged(self, letter: Letter) -> str:
        """What its consumer would say. Raises `CommandRefused` if it would be refused again."""
        message = self.again(letter)
        return self.judge(Inbound(queue=message.queue, body=message.body, content_type=message.content_type))


def discarded(letter: Letter, sight: Sight, person: Person) -> Plan:
    """Nobody will look at it any more."""
    unit = on_letter(letter, MessageDiscarded(by=person.by, note=person.reason, at=sight.now), "discard", sight, person)
    return Plan(unit=unit, state=LetterState.DISCARDED, words="discarded; `restore` takes it back")


def restored(letter: Letter, sight: Sight, person: Person) -> Plan:
    """The discard is taken back."""
    unit = on_letter(letter, MessageRestored(by=person.by, note=person.reason, at=sight.now), "restore", sight, person)
    return Plan(unit=unit, state=LetterState.OPEN, words="open again")


def edited(letter: Letter, copy: int, sight: Sight, person: Person) -> Unit:
    """The original is done with; the copy goes on."""
    event = MessageEdited(copy=copy, by=person.by, note=person.reason, at=sight.now)
    return on_letter(letter, event, "edit", sight, person)


def on_letter(letter: Letter, event: Any, verb: str, sight: Sight, person: Person) -> Unit:  # noqa: ANN401 - one of four
    """The unit with one event on the letter's stream."""
    stream = letter_stream(letter.id)
    return Unit(
        lock=stream,
        expected={stream: sight.versions.get(stream, 0)},
        events=[(stream, event)],
        meta=meta(letter, verb, person),
    )


def _content_type(letter: Letter) -> str:
    """An edited copy is JSON; anything else goes as it came."""
    if letter.original_of is not None:
        return "application/json"
    told = letter.headers.get("ow-content-type")
    try:
        told = ast.literal_eval(told) if isinstance(told, str) else letter.headers.get("content-type")
    except (ValueError, SyntaxError):
        told = None
    return told if isinstance(told, str) else "application/octet-stream"


def _label(letter: Letter, name: str) -> str | None:
    value = letter.headers.get(name)
    return value if isinstance(value, str) else None
