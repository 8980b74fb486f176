"""Every signal is heard: the first asks the role to stop whatever the log or a callback does, the second ends the process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workers.cli.signals import Stopper

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
HEAD = """
import os, signal, sys
from workers.cli.signals import stopping
def ready():
    sys.stderr.write("ready\\n")
    sys.stderr.flush()
"""
FULL_LOG = """
os.set_blocking(1, False)
try:
    while os.write(1, b"x" * 65536): pass
except BlockingIOError:
    os.set_blocking(1, True)
with stopping() as stopper:
    ready()
    os._exit(0 if stopper.wait(20) else 1)
"""
HANGS = """
import threading
with stopping() as stopper:
    stopper.on_stop(lambda: (ready(), threading.Event().wait(20)))
    ready()
    threading.Event().wait(20)
"""
AT_ONCE = """
install = signal.signal
def interrupted(number, handler):
    before = install(number, handler)
    if number == signal.SIGTERM:
        os.kill(os.getpid(), number)
    return before
signal.signal = interrupted
with stopping() as stopper:
    ready()
    os._exit(0 if stopper.wait(20) else 1)
"""


@contextmanager
def running(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", HEAD + script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            await_ready(process)
            yield process
        finally:
            process.kill()


def await_ready(process: "subprocess.Popen[bytes]") -> None:
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"


def test_a_role_hears_of_the_signal_though_nobody_reads_its_log() -> None:
    with running(FULL_LOG) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


def test_the_second_signal_ends_a_process_that_hangs_over_the_first() -> None:
    with running(HANGS) as process:
        process.send_signal(signal.SIGTERM)
        await_ready(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 128 + signal.SIGTERM


def test_a_signal_that_comes_while_the_handlers_are_set_is_not_lost() -> None:
    with running(AT_ONCE) as process:
        assert process.wait(LIMIT_S) == 0


def test_an_error_in_one_callback_keeps_no_other_from_being_called() -> None:
    called: list[str] = []
    stopper = Stopper()
    stopper.on_stop(lambda: called.append("first"))
    stopper.on_stop(lambda: 1 / 0)
    stopper.on_stop(lambda: called.append("last"))
    with pytest.raises(ZeroDivisionError):
        stopper.stop()
    assert called == ["first", "last"]
