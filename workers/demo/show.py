"""How a run is shown while it goes on: a live picture on a terminal, a plain line every few seconds elsewhere. Messages stay visible."""

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_EVERY_S = 2.0
WIDTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One moment. Money in minor units of one currency."""

    seconds: float
    orders: int
    ended: int
    stages: Mapping[str, int] = field(default_factory=dict)
    captured: int = 0
    processes: int = 0

    def line(self) -> str:
        """All of it in a line."""
        busy = ", ".join(f"{count} {stage}" for stage, count in self.stages.items() if count) or "nothing yet"
        rate = self.ended / max(self.seconds, 0.001)
        money = f"USD {self.captured / 100:,.2f} captured"
        return f"{self.seconds:5.1f} s  {self.ended}/{self.orders} ended ({rate:.0f}/s)  {money}  {busy}"


class Show(AbstractContextManager["Show"], Protocol):
    """Where the run is shown."""

    def say(self, message: str) -> None: ...

    def update(self, picture: Picture) -> None: ...


class PlainShow:
    """Lines on standard error."""

    def __init__(self) -> None:
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()

    def say(self, message: str) -> None:
        """A message of its own."""
        sys.stderr.write(f"{message}\n")

    def update(self, picture: Picture) -> None:
        """Now and then."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_S
            self.say(picture.line())


class LiveShow:
    """A picture that is drawn again and again, with the messages above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._live = Live(console=self._console, refresh_per_second=5, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, message: str) -> None:
        """Above the picture."""
        self._console.print(message)

    def update(self, picture: Picture) -> None:
        """Draw it."""
        self._live.update(_drawn(picture))


def show_for(terminal: bool) -> Show:  # noqa: FBT001 - the one thing it decides by
    """The right one."""
    return LiveShow() if terminal else PlainShow()


def _drawn(picture: Picture) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column(justify="right")
    table.add_column()
    for stage, count in picture.stages.items():
        table.add_row(
            stage.replace("_", " "), str(count), ProgressBar(total=picture.orders, completed=count, width=WIDTH)
        )
    rate = picture.ended / max(picture.seconds, 0.001)
    table.add_row("", "", "")
    table.add_row("ended", f"{picture.ended}/{picture.orders}", f"{rate:.0f} orders/s, {picture.seconds:.0f} s")
    table.add_row("captured", "USD", f"{picture.captured / 100:,.2f}")
    table.add_row("processes", str(picture.processes), "")
    return table
