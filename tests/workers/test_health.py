"""The heartbeat: what it says of a loop that turns, hangs, cannot reach what it needs, drains, or is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.simulator import await_that
from workers.health import VARIABLE, Heartbeat, main

ROOT = Path(__file__).parents[2]


class Clock:
    """Time as it is told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def heart(clock: Clock, tmp_path: Path) -> Heartbeat:
    return Heartbeat(tmp_path, "worker", live_s=60.0)


def ask(question: str, folder: Path) -> int:
    return main([question], {VARIABLE: str(folder)})


def both(folder: Path) -> tuple[int, int]:
    return ask("live", folder), ask("ready", folder)


def test_nobody_is_healthy_who_has_not_begun(heart: Heartbeat, tmp_path: Path) -> None:
    assert both(tmp_path) == (1, 1)


def test_a_loop_that_turns_and_reaches_its_database_is_live_and_ready(heart: Heartbeat, tmp_path: Path) -> None:
    heart.beat(reached=True)
    assert both(tmp_path) == (0, 0)


def test_a_loop_that_hangs_is_neither(
    heart: Heartbeat, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heart.beat(reached=True)
    clock.now += 61.0
    assert both(tmp_path) == (1, 1)
    assert "has not turned for 61 s (at most 60)" in capsys.readouterr().err


def test_a_database_that_is_away_ends_readiness_and_no_life(heart: Heartbeat, clock: Clock, tmp_path: Path) -> None:
    heart.beat(reached=True)
    for _ in range(40):
        clock.now += 1.0
        heart.beat(reached=False)
    assert both(tmp_path) == (0, 1)
    heart.beat(reached=True)
    assert both(tmp_path) == (0, 0)


def test_a_short_outage_does_not_end_readiness(heart: Heartbeat, clock: Clock, tmp_path: Path) -> None:
    heart.beat(reached=True)
    clock.now += 10.0
    heart.beat(reached=False)
    assert both(tmp_path) == (0, 0)


def test_who_drains_is_live_and_not_ready_whatever_is_reached(heart: Heartbeat, tmp_path: Path) -> None:
    heart.beat(reached=True)
    heart.drain()
    heart.beat(reached=True)
    assert both(tmp_path) == (0, 1)


def test_a_part_that_hangs_makes_the_whole_role_stale(heart: Heartbeat, clock: Clock, tmp_path: Path) -> None:
    hangs_since = clock.now
    clock.now += 61.0
    heart.beat(reached=True, at=hangs_since)
    assert both(tmp_path) == (1, 1)


def test_the_file_is_gone_with_the_role(heart: Heartbeat, tmp_path: Path) -> None:
    heart.beat(reached=True)
    heart.close()
    assert both(tmp_path) == (1, 1)
    assert not list(tmp_path.iterdir())


def test_a_successor_does_not_live_on_its_predecessors_heartbeat(heart: Heartbeat, tmp_path: Path) -> None:
    heart.beat(reached=True)
    Heartbeat(tmp_path, "worker", live_s=60.0)
    assert both(tmp_path) == (1, 1)


def test_a_heartbeat_from_before_a_restart_of_the_machine_is_stale(
    heart: Heartbeat, clock: Clock, tmp_path: Path
) -> None:
    heart.beat(reached=True)
    clock.now = 5.0
    assert both(tmp_path) == (1, 1)


def test_a_full_disk_does_not_stop_the_loop(heart: Heartbeat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    heart.beat(reached=True)
    assert both(tmp_path) == (1, 1)


def test_a_file_that_is_no_heartbeat_is_an_answer_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "worker.heartbeat").write_bytes(b"\xff\x00 nonsense")
    assert both(tmp_path) == (1, 1)
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["well"], ["live", "now"], ["live", "--runtime-dir"], ["live"]], ids=" ".join)
def test_a_question_asked_in_a_wrong_way_is_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words, {}) == 2
    assert VARIABLE in capsys.readouterr().err


def test_the_probe_imports_nothing_but_the_standard_library(tmp_path: Path) -> None:
    Heartbeat(tmp_path, "relay", live_s=60.0).beat(reached=True)
    code = (
        "import sys; sys.argv = ['orderwright', 'health', 'ready', '--runtime-dir', sys.argv[1]]\n"
        "from workers.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "strangers = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names) - {'workers', '__main__'}\n"
        "assert not {'typer', 'rich', 'pydantic', 'psycopg', 'kombu', 'domain', 'infrastructure'} & strangers, strangers"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "relay" in done.stdout


def test_a_frozen_simulator_goes_stale_and_a_stopped_one_leaves_nothing_behind(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "simulator", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: str(runtime), "ORDERWRIGHT_STUCK_S": "2"},
        stderr=subprocess.DEVNULL,
    )
    try:
        await_that(lambda: both(runtime) == (0, 0))
        process.send_signal(signal.SIGSTOP)
        await_that(lambda: both(runtime) == (1, 1))
        process.send_signal(signal.SIGCONT)
        await_that(lambda: both(runtime) == (0, 0))
        process.terminate()
        assert process.wait(30) == 0
        assert not list(runtime.iterdir())
    finally:
        process.kill()
        process.wait(30)
