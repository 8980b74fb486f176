"""Data on standard output: tables for people, JSON for programs.

What comes from outside (names, notes, reasons of refusals) is shown with its control and text-direction characters written out: it can
neither move the cursor nor forge a line. Where the output is no terminal, tables have neither frames nor a width.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "json", "jsonl"]
Row = Mapping[str, Any]

_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_WIDE = 10_000


def stdout() -> "Console":
    """Standard output for tables; wide where nobody looks."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)


def emit_rows(rows: Iterable[Row], columns: Sequence[str], form: Format, *, empty: str = "nothing there") -> None:
    """A table of these columns, or all keys of every row as JSON."""
    if form == "jsonl":
        for row in rows:
            _write(to_json(row))
    elif form == "json":
        _write(to_json(list(rows)))
    else:
        _table(list(rows), columns, empty)


def emit_object(value: Row, form: Format) -> None:
    """One object: key and value a line, or JSON."""
    if form == "table":
        width = max((len(key) for key in value), default=0)
        for key, item in value.items():
            _write(f"{key.ljust(width)}  {cell(item)}")
    else:
        _write(to_json(value))


def to_json(value: object) -> str:
    """One line of JSON that does nothing to a terminal."""
    import orjson

    text = orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cell(value: object) -> str:
    """One value for people."""
    from infrastructure.logs import printable

    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return ago(value)
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(cell, value)) or "-"
        case Mapping():
            return printable(to_json(value))
        case _:
            return printable(str(value))


def ago(at: datetime, now: datetime | None = None) -> str:
    """`3 min ago`, `in 2 h`."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if abs(seconds) >= size:
            text = f"{int(abs(seconds) // size)} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "now"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def _table(rows: Sequence[Row], columns: Sequence[str], empty: str) -> None:
    if not rows:
        sys.stderr.write(empty + "\n")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for column in columns:
        numeric = all(isinstance(row.get(column), (int, float)) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    stdout().print(table)
