"""Starts many short processes of one copy of the packages quickly: imports once, then forks for every command.

As a program it reads lines of JSON from its standard input (`id`, `args`, `env`, `log`, `skew_s`), forks a child that runs that command
of `orderwright`, and writes what becomes of it: `{"id", "pid"}`, later `{"id", "code"}`. When its standard input ends, it kills what is left.
A child's wall clock may be wrong by `skew_s`, as `time.time` tells it.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any


def main() -> None:
    import workers.bootstrap  # noqa: F401 - what every command needs, before the fork
    from workers.cli import commands  # noqa: F401 - as above

    running: dict[int, str] = {}
    rest = b""
    while True:
        if select.select([0], [], [], 0.01)[0]:
            read = os.read(0, 1 << 20)
            if not read:
                _end(running)
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork() or _child(order)
                running[pid] = order["id"]
                _tell({"id": order["id"], "pid": pid})
        _reap(running)


def _reap(running: dict[int, str]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _tell({"id": running.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _end(running: dict[int, str]) -> None:
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)
    for pid in running:
        os.waitpid(pid, 0)


def _tell(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def _child(order: dict[str, Any]) -> int:
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number, end in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(end, number)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["orderwright", *order["args"]]
    if skew_s := order.get("skew_s"):
        true_time = time.time
        time.time = lambda: true_time() + skew_s
    code = 1
    try:
        from workers.cli import main as command

        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
