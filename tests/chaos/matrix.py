"""The fault matrix: one row a fault, registered where its injection is written.

@row("F14", "kill -9 of one PostgreSQL backend", group="database")
def a_backend_dies(run: Run) -> None: ...

A row is `live` (real processes, a real fault, the checker's verdict), `proven` (by tests that are named and run), or `untested`, with the
reason. Rows of one group share an installation and follow each other in it. Level C runs on every commit, N at night.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tests.chaos.run import Run

Level = Literal["C", "N", "R"]
Inject = Callable[["Run"], None]
MODULES = (
    "workers",
    "poison",
    "database",
    "network",
    "broker",
    "gateway",
    "reading",
    "doors",
    "capacity",
    "machine",
    "coordination",
    "proven",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`errors`: log lines that this fault may cause (see `tests.checker.expect`); `outage_s`: the longest time without any progress."""

    number: str
    fault: str
    level: Level
    group: str = ""
    inject: Inject | None = None
    tests: tuple[str, ...] = ()
    untested: str = ""
    errors: tuple[str, ...] = ()
    outage_s: float = 30.0
    letters: bool = False
    doubled_numbers: bool = False
    name: str = ""


class NotHere(Exception):
    """This machine cannot run the group, or the row; it says why."""


MATRIX: dict[str, Row] = {}


@dataclass(slots=True)
class Outcome:
    """What became of a row. `verdict` is the checker's: valid, broken, unknown; of a proof: passed or failed."""

    row: Row
    verdict: str = "not run"
    green: bool = False
    tested: bool = True
    injected: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    outage_s: float = 0.0
    took_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    evidence: str = ""


def row(number: str, fault: str, *, group: str, level: Level = "C", **more: Any) -> Callable[[Inject], Inject]:
    """Register a live row."""

    def register(inject: Inject) -> Inject:
        _add(Row(number=number, fault=fault, level=level, group=group, inject=inject, name=inject.__name__, **more))
        return inject

    return register


def proven(number: str, fault: str, *tests: str, level: Level = "C") -> None:
    """Register a row that tests prove; `path::name` of each, without parameters."""
    _add(Row(number=number, fault=fault, level=level, tests=tests))


def untested(number: str, fault: str, why: str, *, level: Level) -> None:
    """Register a row that nothing tests yet."""
    _add(Row(number=number, fault=fault, level=level, untested=why))


def load_rows() -> dict[str, Row]:
    """All rows, in the order of their numbers."""
    for name in MODULES:
        importlib.import_module(f"tests.chaos.rows.{name}")
    return {number: MATRIX[number] for number in sorted(MATRIX, key=place)}


def place(number: str) -> tuple[int, str]:
    """F2 before F10, F31 before F31b."""
    digits = number[1:].rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits), number


def select(rows: Sequence[Row], numbers: Sequence[str], levels: Sequence[Level]) -> list[Row]:
    """The rows that are named, or else those of the levels."""
    if numbers:
        return [one for one in rows if one.number in numbers or one.number.rstrip("abcdefgh") in numbers]
    return [one for one in rows if one.level in levels]


def _add(one: Row) -> None:
    assert one.number not in MATRIX, f"{one.number} is there already"
    MATRIX[one.number] = one
