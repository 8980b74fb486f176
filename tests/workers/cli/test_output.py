"""Data is data for programs and harmless for terminals."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from workers.cli.output import ago, cell, emit_object, emit_rows, to_json

NASTY = "a\x1b[31m\x07\x9b31m\u202egpj.exe\r\n[bold]\u2066\u200fé"
ROWS = [{"id": 1, "name": NASTY, "tags": ["x", "y"], "none": None}]


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200f", "\r"])
@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_no_character_from_outside_can_do_anything_to_a_terminal(
    form: str, character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emit_rows(ROWS, ["id", "name"], form)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert character not in out
    assert "é" in out


def test_json_gives_back_what_went_in(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows(ROWS, ["id"], "json")
    assert json.loads(capsys.readouterr().out) == ROWS


def test_json_lines_are_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows(ROWS * 3, ["id"], "jsonl")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS * 3


def test_markup_in_data_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows([{"name": "[bold]x[/bold] :smile:"}], ["name"], "table")
    assert "[bold]x[/bold] :smile:" in capsys.readouterr().out


def test_nothing_is_cut_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows([{"name": "x" * 500}], ["name"], "table")
    assert "x" * 500 in capsys.readouterr().out


def test_an_empty_table_says_so_apart_from_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows([], ["name"], "table", empty="no orders")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no orders\n")


def test_no_rows_are_an_empty_list_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows([], ["name"], "json")
    assert json.loads(capsys.readouterr().out) == []


def test_an_object_is_a_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    emit_object({"a": 1, "long": None}, "table")
    assert capsys.readouterr().out == "a     1\nlong  -\n"


def test_times_are_utc_in_json() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert to_json({"at": moment}) == '{"at":"2026-01-02T03:04:05Z"}'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (-5, "in 5 s"), (125, "2 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago")],
)
def test_people_read_relative_times(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == text


def test_lists_and_nothing_are_shown_as_words() -> None:
    assert (cell(["A", "B"]), cell([]), cell(None), cell(True)) == ("A, B", "-", "-", "yes")
