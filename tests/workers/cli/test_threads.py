"""Threads that die: the process says so and ends, and does not go on as half of itself."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading
from workers.cli.threads import all_or_nothing

def die():
    raise {error}("in a thread")

def run():
    threading.Thread(target=die).start()
    threading.Event().wait({patience})
"""
DURING = PROGRAM + "\nwith all_or_nothing():\n    run()\n"
AFTER = PROGRAM + "\nwith all_or_nothing():\n    pass\nrun()\n"


def end_of(program: str, error: str, patience: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program.format(error=error, patience=patience)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("error", ["KeyError", "SystemExit"])
def test_a_thread_that_dies_takes_its_process_with_it(error: str) -> None:
    died = end_of(DURING, error, patience=50)
    assert died.returncode == 1
    assert "in a thread" in died.stdout + died.stderr


def test_a_thread_that_dies_when_the_role_is_over_changes_nothing() -> None:
    assert end_of(AFTER, "KeyError", patience=0.1).returncode == 0
