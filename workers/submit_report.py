"""What became of a submitted file: the counts, the refused lines, and the exit code that says it to a script."""

from dataclasses import dataclass, field
from typing import Protocol

import orjson

from infrastructure.intake import FieldError

OK, FAILED, PARTIAL, UNREACHABLE, INTERRUPTED = 0, 1, 4, 5, 130

KEPT_REFUSALS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line that is no order we take. It repeats nothing of the line but its key."""

    line: int
    order_id: str | None
    errors: tuple[FieldError, ...]

    def to_json(self) -> bytes:
        """One JSON line: `{"line":3,"order_id":"A-1","errors":[{"field":"total","reason":"..."}]}`."""
        named = {"order_id": self.order_id} if self.order_id else {}
        return orjson.dumps({"line": self.line, **named, "errors": self.errors}, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReport:
    """`read` counts lines that are not blank; `unknown` those whose answer did not come: submit them again.

    `stopped` says why the rest of the source was not read.
    """

    read: int = 0
    accepted: int = 0
    already_known: int = 0
    refused: int = 0
    unknown: int = 0
    bytes_read: int = 0
    first_refused: tuple[RefusedLine, ...] = ()
    stopped: str | None = None
    unreachable: bool = False
    interrupted: bool = False


class Writer(Protocol):
    """Where refused lines go, as JSON lines."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counts while they grow."""

    rejects: Writer | None = None
    read: int = 0
    accepted: int = 0
    already_known: int = 0
    refused: int = 0
    unknown: int = 0
    bytes_read: int = 0
    first_refused: list[RefusedLine] = field(default_factory=list)
    stopped: str | None = None
    unreachable: bool = False
    interrupted: bool = False

    def refuse(self, refused: RefusedLine) -> None:
        self.refused += 1
        if len(self.first_refused) < KEPT_REFUSALS:
            self.first_refused.append(refused)
        if self.rejects is not None:
            self.rejects.write(refused.to_json())

    def report(self) -> SubmitReport:
        return SubmitReport(
            read=self.read,
            accepted=self.accepted,
            already_known=self.already_known,
            refused=self.refused,
            unknown=self.unknown,
            bytes_read=self.bytes_read,
            first_refused=tuple(self.first_refused),
            stopped=self.stopped,
            unreachable=self.unreachable,
            interrupted=self.interrupted,
        )


def exit_code(report: SubmitReport) -> int:
    """0 all accepted, 1 none, 4 some, 5 the database could not be reached, 130 interrupted."""
    if report.interrupted:
        return INTERRUPTED
    if report.unreachable:
        return UNREACHABLE
    if report.refused == 0 and report.stopped is None:
        return OK
    return PARTIAL if report.accepted + report.already_known else FAILED
