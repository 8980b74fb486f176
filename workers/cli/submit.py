"""`orderwright submit`: a file of orders, streamed in."""

import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from workers.cli.app import app
from workers.cli.command import Cli, command
from workers.cli.failures import Usage
from workers.cli.signals import stopping

if TYPE_CHECKING:
    from io import FileIO

    from workers.submit_report import RefusedLine, SubmitReport

LINE_EVERY_S = 5.0

Show = Callable[["SubmitReport"], None]


@command(app, "submit", data=True)
def submit(
    cli: Cli,
    file: Annotated[
        str, typer.Argument(help="JSON lines, one order a line; - reads the standard input", metavar="FILE|-")
    ],
    rate: Annotated[float | None, typer.Option(help="at most so many orders a second", min=0.01)] = None,
    rejects: Annotated[Path | None, typer.Option(help="where refused lines go, as JSON lines")] = None,
    batch: Annotated[int, typer.Option(help="orders in one transaction", min=1, max=5000)] = 500,
) -> int:
    """Submit orders. Running it again is safe: orders are known by their own keys.

    Exit code 0: all accepted, 4: some, 1: none, 5: the database cannot be reached, 130: interrupted.
    """
    from workers.submit import SubmitSettings, submit_lines
    from workers.submit_report import exit_code

    with _opened(file) as source, cli.runtime() as runtime, _rejects(rejects, file) as refused:
        intake = runtime.intake(actor="cli")
        stop = threading.Event()
        with stopping() as stopper, _progress(source) as show:
            stopper.on_stop(stop.set)
            settings = SubmitSettings(batch=batch, rate=rate)
            report = submit_lines(source, intake, settings, rejects=refused, on_progress=show, stop=stop)
        if report.accepted and runtime.settings.replica_url:
            cli.say(f"to see them in lists of the replica: --at-least {runtime.store().head()}")
    _tell(cli, report, rejects)
    return exit_code(report)


@contextmanager
def _opened(name: str) -> "Iterator[FileIO]":
    from workers.lines import UnreadableSourceError, open_source

    if name == "-" and fcntl.fcntl(0, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:  # see `workers.cli`
        raise Usage("the standard input is closed; name a file")
    try:
        source = open_source(name)
    except UnreadableSourceError as error:
        raise Usage(str(error)) from None
    with source:
        yield source


@contextmanager
def _rejects(path: Path | None, source: str) -> "Iterator[BinaryIO | None]":
    if path is None:
        yield None
        return
    if source != "-" and path.exists() and path.samefile(source):
        raise Usage("--rejects names the very file that is read; give another one")
    with path.open("wb") as file:
        yield file


def _tell(cli: Cli, report: "SubmitReport", rejects: Path | None) -> None:
    for line in report.first_refused:
        cli.say(_sentence(line))
    if report.refused > len(report.first_refused):
        rest = "all of them are in " + str(rejects) if rejects else "--rejects FILE keeps them all"
        cli.say(f"... and {report.refused - len(report.first_refused)} more refused lines; {rest}")
    if report.unknown:
        cli.say(f"{report.unknown} orders got no answer: submit the file again, what was accepted is known")
    if report.stopped:
        cli.say(f"stopped: {report.stopped}")
    if report.interrupted:
        cli.say(f"interrupted: {report.accepted} orders were accepted; submit the file again to go on")
    names = ("read", "accepted", "already_known", "refused", "unknown")
    cli.object({name: getattr(report, name) for name in names})


def _sentence(line: "RefusedLine") -> str:
    order = f" ({line.order_id})" if line.order_id else ""
    return f"line {line.line}{order}: " + "; ".join(f"{error.field} {error.reason}" for error in line.errors)


def _progress(source: "FileIO") -> "nullcontext[Show] | _Bar":
    return _Bar(source) if sys.stderr.isatty() else nullcontext(_Lines().show)


class _Lines:
    """A plain line every few seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_EVERY_S

    def show(self, report: "SubmitReport") -> None:
        if time.monotonic() >= self._next:
            self._next += LINE_EVERY_S
            Cli.say(f"{report.accepted} accepted, {report.already_known} known, {report.refused} refused")


class _Bar:
    """A bar on a terminal; log lines appear above it."""

    def __init__(self, source: "FileIO") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True, markup=False), transient=True)
        self._task = self._bar.add_task("reading", total=_size(source))
        self._begun = time.monotonic()

    def __enter__(self) -> Show:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, report: "SubmitReport") -> None:
        rate = (report.accepted + report.already_known) / max(0.001, time.monotonic() - self._begun)
        text = f"{report.accepted:,} accepted  {report.refused:,} refused  {rate:,.0f}/s"
        self._bar.update(self._task, completed=report.bytes_read, description=text)


def _size(source: "FileIO") -> int | None:
    state = os.fstat(source.fileno())
    return state.st_size if stat.S_ISREG(state.st_mode) else None
