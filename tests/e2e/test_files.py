"""`submit` with every kind of file that a person or a script may name."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.program import COMMAND, Ended, Program, checked, order_file, order_line
from tests.servers.simulator import await_that

pytestmark = pytest.mark.e2e


def test_a_file_that_does_not_exist_is_a_usage_error(program: Program) -> None:
    ended = program.call("submit", "nowhere.jsonl")
    assert (ended.code, ended.out) == (2, "")
    assert "nowhere.jsonl cannot be read" in ended.err


def test_a_folder_is_a_usage_error(program: Program, tmp_path: Path) -> None:
    assert program.call("submit", tmp_path).code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_usage_error(program: Program, tmp_path: Path) -> None:
    order_file(tmp_path / "o.jsonl", 1).chmod(0)
    ended = program.call("submit", "o.jsonl")
    assert ended.code == 2
    assert "Permission denied" in ended.err


def test_an_endless_device_is_given_up_with_a_sentence(program: Program) -> None:
    ended = program.call("submit", "/dev/zero")
    assert ended.code == 1
    assert "does not end" in ended.err


def test_a_fifo_is_read_to_its_end(program: Program, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["sh", "-c", 'printf "%s\\n" "$0" > "$1"', order_line(1), fifo]):
        ended = program.call("submit", fifo, "--json")
    assert ended.json()["accepted"] == 1


def test_binary_data_is_refused_line_by_line(program: Program, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 20)
    ended = program.call("submit", "binary", "--json")
    assert ended.code == 1
    assert ended.json()["accepted"] == 0


def test_windows_line_ends_and_a_last_line_without_end_are_read(program: Program, tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_bytes(order_line(1) + b"\r\n\r\n" + order_line(2))
    ended = program.call("submit", "o.jsonl", "--json")
    assert (ended.code, ended.json()["accepted"]) == (0, 2)


def test_one_broken_line_holds_up_nobody_and_is_named(program: Program, tmp_path: Path) -> None:
    lines = [order_line(number) for number in range(2_000)]
    lines[1_234] = order_line(1_234, total=1)
    (tmp_path / "o.jsonl").write_bytes(b"\n".join(lines))
    ended = program.call("submit", "o.jsonl", "--rejects", "bad.jsonl", "--json")
    assert ended.code == 4
    assert ended.json() == {"read": 2_000, "accepted": 1_999, "already_known": 0, "refused": 1, "unknown": 0}
    assert "line 1235 (A-1234): total" in ended.err
    assert json.loads((tmp_path / "bad.jsonl").read_text())["line"] == 1_235


def test_the_rejects_may_not_overwrite_the_orders(program: Program, tmp_path: Path) -> None:
    path = order_file(tmp_path / "o.jsonl", 1)
    assert program.call("submit", "o.jsonl", "--rejects", "./o.jsonl").code == 2
    assert path.stat().st_size > 0


def test_a_second_submission_changes_nothing_and_is_well(program: Program, tmp_path: Path) -> None:
    order_file(tmp_path / "o.jsonl", 3)
    program.call("submit", "o.jsonl")
    ended = program.call("submit", "o.jsonl", "--json")
    assert (ended.code, ended.json()["already_known"]) == (0, 3)


def test_the_standard_input_is_read(program: Program) -> None:
    ended = program.call("submit", "-", "--output", "jsonl", stdin=order_line(1) + b"\n")
    assert ended.json()["accepted"] == 1


def test_a_closed_standard_input_is_told(program: Program) -> None:
    shell = subprocess.run(
        ["sh", "-c", 'exec "$@" 0<&-', "sh", *COMMAND, "submit", "-"],
        cwd=program.folder,
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    ended = checked(Ended(shell.returncode, shell.stdout.decode(), shell.stderr.decode()))
    assert ended.code != 0
    assert "standard input" in ended.err


def test_a_reader_that_leaves_early_is_no_failure(program: Program, tmp_path: Path) -> None:
    order_file(tmp_path / "o.jsonl", 200)
    program.call("submit", "o.jsonl")
    shell = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *COMMAND, "work", "list", "--output", "jsonl"],
        cwd=program.folder,
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (shell.returncode, shell.stderr) == (0, b"")
    assert json.loads(shell.stdout)["step"] == "risk"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_submission_says_how_many_were_accepted(
    program: Program, tmp_path: Path, number: signal.Signals
) -> None:
    order_file(tmp_path / "o.jsonl", 5_000)
    with program.running("submit", "o.jsonl", "--rate", "20", "--json") as submit:
        await_that(lambda: bool(program.call("work", "list", "--json").json()))
        ended = submit.end(number)
    assert ended.code == 130
    report = json.loads(ended.err.strip().splitlines()[-1])
    assert 0 < report["accepted"] < 5_000
    assert f"interrupted: {report['accepted']} orders were accepted" in ended.err


def test_a_database_that_is_away_is_exit_code_5(alone: Program, tmp_path: Path) -> None:
    order_file(tmp_path / "o.jsonl", 1)
    ended = alone.call("submit", "o.jsonl", DATABASE_URL="host=127.0.0.1 port=9 dbname=x connect_timeout=2")
    assert ended.code == 5
    assert "doctor" in ended.err


def test_a_file_name_that_is_no_text_is_named_harmlessly(program: Program) -> None:
    ended = program.call("submit", b"\xff\x1b[31m.jsonl")
    assert ended.code == 2
    assert "\x1b" not in ended.err
