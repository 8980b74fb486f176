"""What cannot be meant is refused before anything is connected."""

from datetime import timedelta

import pytest
from typer.testing import CliRunner

from workers.cli.breakers import _duration
from workers.cli.commands import app
from workers.cli.failures import USAGE, Usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["open", "payment"],
        ["open", "payment", "--reason", " "],
        ["close", "payment", "--reason", "x", "--for", "soon"],
        ["auto", "payment"],
    ],
    ids=" ".join,
)
def test_a_decision_needs_a_reason_and_a_time_that_can_be_understood(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["breakers", *arguments]).exit_code == USAGE


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), (" 1d", 86_400)], ids=["s", "m", "h", "d"]
)
def test_times_are_written_as_people_write_them(text: str, seconds: int) -> None:
    assert _duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0s", "-5m", "10", "m", "1.5h", "400d", "99999999s", "5 m", "1w"])
def test_no_other_time_is_guessed_at(text: str) -> None:
    with pytest.raises(Usage):
        _duration(text)
