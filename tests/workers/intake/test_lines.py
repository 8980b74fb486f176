"""Lines come out as they are in the source, with bounded memory, whatever the source."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import lines as reading
from workers.lines import EndlessLineError, NumberedLine, UnreadableSourceError, number_lines, open_source, read_lines


def reader(data: bytes, size: int) -> Callable[[int], bytes]:
    """Gives at most `size` bytes at once, as a pipe does."""
    stream = io.BytesIO(data)
    return lambda _: stream.read(size)


def all_lines(data: bytes, *, piece: int = 7, limit: int = 100) -> list[NumberedLine]:
    return [line for lines in read_lines(reader(data, piece), limit=limit) for line in lines]


@given(st.lists(st.binary(max_size=30).filter(lambda raw: b"\n" not in raw)), st.integers(1, 40), st.booleans())
def test_lines_are_the_same_however_the_source_is_cut(lines: list[bytes], piece: int, ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert all_lines(data, piece=piece) == [NumberedLine(number, raw) for number, raw in enumerate(expected, start=1)]


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(1, 40))
def test_a_line_that_is_too_long_is_passed_over_and_the_others_are_not(lengths: list[int], piece: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    read = all_lines(data, piece=piece, limit=20)
    assert [line.number for line in read] == list(range(1, len(lengths) + 1))
    assert [line.raw is None for line in read] == [length > 21 for length in lengths]


def test_a_too_long_last_line_without_end_is_reported() -> None:
    assert all_lines(b"a\n" + b"x" * 200, limit=20) == [NumberedLine(1, b"a"), NumberedLine(2, None)]


def test_a_source_without_any_line_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GIVE_UP", 10_000)
    with pytest.raises(EndlessLineError, match="line 1 does not end"):
        for _ in read_lines(lambda size: bytes(min(size, 1_000)), limit=100):
            pass


def test_lines_at_hand_come_in_handfuls() -> None:
    handfuls = list(number_lines([b"a", b"b", b"x" * 50], limit=10, at_once=2))
    assert handfuls == [[NumberedLine(1, b"a"), NumberedLine(2, b"b")], [NumberedLine(3, None)]]


@pytest.mark.parametrize(("name", "why"), [("none.jsonl", "No such file"), ("", "directory"), ("a\0b", "no name")])
def test_a_source_that_cannot_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UnreadableSourceError, match=why):
        open_source(f"{tmp_path}/{name}")


def test_a_fifo_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"a\nb\n"))
    writer.start()
    with open_source(str(path)) as source:
        assert [line.raw for lines in read_lines(source.read, limit=10) for line in lines] == [b"a", b"b"]
    writer.join()
