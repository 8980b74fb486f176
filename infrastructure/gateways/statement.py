"""The payment gateway's books, page by page: over HTTP, or from a file that somebody fetched from there.

Over HTTP it is `GET /payments/movements/{cursor}`, which answers `{"movements": [...], "next": cursor or null}`; the first cursor is
`start`. A file has one movement a line, as a JSON object. A movement is

    {"key": "A-1:auth:1", "operation": "authorize", "reference": "auth_1", "amount": 1999, "currency": "EUR", "at": "2026-11-23T10:00:00Z"}

with the operation `authorize`, `capture` or `void` and the amount in minor units.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from domain.errors import CommandRefused
from domain.reconciliation import Movement
from infrastructure.gateways import wire
from infrastructure.gateways.channel import Channel
from infrastructure.gateways.classify import parse

PAGE = 1000
LONGEST_LINE = 4096


def pages_over_http(base_url: str, *, deadline_s: float) -> Iterator[Sequence[Movement]]:
    """All pages. Raises what any call to a gateway raises."""
    with closing(Channel(base_url, threads=1, deadline_s=deadline_s)) as channel:
        cursor: str | None = "start"
        while cursor is not None:
            page = parse(channel.get(f"/payments/movements/{quote(cursor, safe='')}"), wire.MOVEMENTS)
            yield [moved.meaning() for moved in page.movements]
            cursor = page.next


def pages_of_file(path: Path) -> Iterator[Sequence[Movement]]:
    """All pages. Raises `CommandRefused` that names line and field."""
    with path.open("rb") as file:
        lines = enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1)
        movements = (_movement(path, number, line) for number, line in lines if line.strip())
        while page := list(islice(movements, PAGE)):
            yield page


def _movement(path: Path, number: int, line: bytes) -> Movement:
    place = f"{path} line {number}"
    if len(line) > LONGEST_LINE:
        raise CommandRefused(f"longer than {LONGEST_LINE} bytes", field=place)
    try:
        return wire.MOVED.validate_json(line).meaning()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandRefused(f"{where}: {first['msg']}" if where else first["msg"], field=place) from None
