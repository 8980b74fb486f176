"""Reads lines of any source with bounded memory: a file of any size, a pipe, a terminal, or something that never ends.

A line that is too long is passed over without being kept. A source whose line does not end at all (a device, a file of another
kind) is given up. Bytes are read unbuffered: a reader that is blocked in its thread then holds no lock that the end of the program
would wait for.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from itertools import islice

from domain.errors import OrderwrightError

CHUNK = 262_144
GIVE_UP = 64 * 1_048_576

Read = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A line and its place in the source, from 1. `raw` None: it was too long to be kept."""

    number: int
    raw: bytes | None


class EndlessLineError(OrderwrightError):
    """The source has no line end where one must be."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"line {number} does not end within {GIVE_UP // 1_048_576} MB: this is no file of JSON lines")


class UnreadableSourceError(OrderwrightError):
    """There is nothing to read lines from; the message says why."""


def open_source(name: str) -> FileIO:
    """A file, a FIFO, or `-` for the standard input."""
    place = "the standard input" if name == "-" else name.encode(errors="backslashreplace").decode()
    try:
        file = FileIO(os.dup(0)) if name == "-" else FileIO(name)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a file"
        raise UnreadableSourceError(f"{place} cannot be read: {why}") from error
    if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UnreadableSourceError(f"{place} is a folder; give a file of JSON lines")
    os.set_blocking(file.fileno(), True)  # or an empty pipe would look like the end
    return file


def read_lines(read: Read, *, limit: int) -> Iterator[list[NumberedLine]]:
    """The lines that each piece of the source completes; lines end with LF or CR LF, the last one may end with the source."""
    number, rest, passed_over = 0, b"", 0
    while chunk := read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        lines = [
            NumberedLine(place, raw if len(raw) <= limit + 1 else None) for place, raw in enumerate(whole, number + 1)
        ]
        if lines and passed_over:
            lines[0], passed_over = NumberedLine(number + 1, None), 0
        number += len(lines)
        if passed_over or len(rest) > limit + 1:
            passed_over, rest = passed_over + len(rest), b""
        yield lines
        if passed_over > GIVE_UP:
            raise EndlessLineError(number + 1)
    if rest or passed_over:
        yield [NumberedLine(number + 1, None if passed_over else rest)]


def number_lines(lines: Iterable[bytes], *, limit: int, at_once: int) -> Iterator[list[NumberedLine]]:
    """The same for lines that are at hand already."""
    numbered = (NumberedLine(place, raw if len(raw) <= limit + 1 else None) for place, raw in enumerate(lines, start=1))
    while piece := list(islice(numbered, at_once)):
        yield piece
