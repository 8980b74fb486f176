"""Submits a file of JSON lines: streaming, bounded, repeatable.

One thread reads and parses ahead while this one waits for the database. A refused line holds up nobody: it is reported with its number,
field and reason, and the rest goes on. Since orders are known by their own keys, a run that was cut off is simply run again.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, cast

from domain.errors import IntakeClosed, StoreUnavailable
from infrastructure.chance import chance
from infrastructure.intake import MAX_BYTES, FieldError, OrderSubmission, Refusal, parse_order
from workers.ahead import Ahead
from workers.intake import Accepted, AlreadyKnown, Outcome
from workers.lines import EndlessLineError, NumberedLine, number_lines, read_lines
from workers.submit_report import RefusedLine, SubmitReport, Tally, Writer

_TOO_LONG = (FieldError(field="order", reason=f"is longer than {MAX_BYTES} bytes"),)


class Acceptor(Protocol):
    """What submitting needs of the intake."""

    def accept(self, batch: Sequence[OrderSubmission]) -> Sequence[Outcome]: ...


class Source(Protocol):
    """An open file; unbuffered for pipes and terminals (see `workers.lines.open_source`)."""

    def read(self, size: int, /) -> bytes | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSettings:
    """`rate` in orders a second; `patience_s`: for how long a database that is away is asked again."""

    batch: int = 500
    rate: float | None = None
    patience_s: float = 30.0


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A batch of lines, judged."""

    orders: list[tuple[int, OrderSubmission]]
    refused: list[RefusedLine]
    size: int


def submit_lines(
    source: Source | Iterable[bytes],
    intake: Acceptor,
    settings: SubmitSettings | None = None,
    *,
    rejects: Writer | None = None,
    on_progress: Callable[[SubmitReport], None] | None = None,
    stop: threading.Event | None = None,
) -> SubmitReport:
    """Submit every line. Ends early, with a report of what was done, when `stop` is set or on Ctrl-C."""
    tally = Tally(rejects=rejects)
    run = _Submitting(intake, settings or SubmitSettings(), tally, stop or threading.Event())
    try:
        with closing(Ahead(_parse(_lines(source, run.batch), run.batch))) as batches:
            for parsed in batches:
                if run.is_stopped():
                    break
                if parsed is not None:
                    run.submit(parsed)
                    if on_progress is not None:
                        on_progress(tally.report())
    except KeyboardInterrupt:
        tally.interrupted = True
    except EndlessLineError as endless:
        tally.stopped = str(endless)
    return tally.report()


class _Submitting:
    """One run over one source."""

    def __init__(self, intake: Acceptor, settings: SubmitSettings, tally: Tally, stop: threading.Event) -> None:
        self._intake = intake
        self._settings = settings
        self._tally = tally
        self._stop = stop
        self._next_at = time.monotonic()
        self.batch = min(settings.batch, max(1, int(settings.rate))) if settings.rate else settings.batch

    def is_stopped(self) -> bool:
        """Nothing more is to be done."""
        self._tally.interrupted = self._stop.is_set()
        return self._tally.interrupted or self._tally.unreachable

    def submit(self, parsed: _Parsed) -> None:
        tally = self._tally
        tally.read += len(parsed.orders) + len(parsed.refused)
        tally.bytes_read += parsed.size
        for refused in parsed.refused:
            tally.refuse(refused)
        if parsed.orders:
            self._keep_the_rate(len(parsed.orders))
            self._count(parsed.orders, self._accept([order for _, order in parsed.orders]))

    def _accept(self, orders: Sequence[OrderSubmission]) -> Sequence[Outcome]:
        """Nothing, with the reason in the tally, if the database stays away."""
        self._tally.unknown += len(orders)
        until = time.monotonic() + self._settings.patience_s
        pause_s = 0.1
        while True:
            try:
                outcomes = self._intake.accept(orders)
            except IntakeClosed as error:
                self._tally.stopped, self._tally.unreachable = error.reason, True
                return ()
            except StoreUnavailable as error:
                if self._stop.wait(chance.uniform(0.0, pause_s)):
                    return ()
                if time.monotonic() > until:
                    self._tally.stopped, self._tally.unreachable = error.reason, True
                    return ()
                pause_s = min(2.0, 2 * pause_s)
            else:
                self._tally.unknown -= len(orders)
                return outcomes

    def _count(self, orders: Sequence[tuple[int, OrderSubmission]], outcomes: Sequence[Outcome]) -> None:
        for (number, _), outcome in zip(orders, outcomes, strict=False):
            match outcome:
                case Accepted():
                    self._tally.accepted += 1
                case AlreadyKnown():
                    self._tally.already_known += 1
                case _:
                    self._tally.refuse(RefusedLine(line=number, order_id=outcome.order_id, errors=outcome.errors))

    def _keep_the_rate(self, orders: int) -> None:
        if self._settings.rate is None:
            return
        now = time.monotonic()
        self._stop.wait(max(0.0, self._next_at - now))
        self._next_at = max(self._next_at, now) + orders / self._settings.rate


def _lines(source: Source | Iterable[bytes], batch: int) -> Iterator[list[NumberedLine]]:
    read = getattr(source, "read", None)
    if read is not None:
        return read_lines(read, limit=MAX_BYTES)
    return number_lines(cast("Iterable[bytes]", source), limit=MAX_BYTES, at_once=batch)


def _parse(pieces: Iterable[list[NumberedLine]], size: int) -> Iterator[_Parsed]:
    """Judged batches of at most `size`; what a slow source has sent so far waits for nothing but the next piece of it."""
    for lines in pieces:
        for start in range(0, len(lines), size):
            yield _judge(lines[start : start + size])


def _judge(lines: Sequence[NumberedLine]) -> _Parsed:
    parsed = _Parsed([], [], sum(len(line.raw or b"") + 1 for line in lines))
    for line in lines:
        if line.raw is None:
            parsed.refused.append(RefusedLine(line=line.number, order_id=None, errors=_TOO_LONG))
        elif not line.raw.isspace() and line.raw:
            _judge_one(parsed, line.number, line.raw)
    return parsed


def _judge_one(parsed: _Parsed, number: int, raw: bytes) -> None:
    try:
        parsed.orders.append((number, parse_order(raw)))
    except Refusal as refusal:
        parsed.refused.append(RefusedLine(line=number, order_id=refusal.order_id, errors=refusal.errors))
