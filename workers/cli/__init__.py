"""The command line: `orderwright`, or `python -m workers`.

Standard output carries data only, standard error messages. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused (a precondition or a
confirmation is missing), 4 partial, 5 a dependency is unreachable, 130 interrupted. Modules here import little at their top, so
that `--help` and completion are quick; each command imports what it needs when it runs.
"""

import os
import signal
import sys


def main() -> None:
    """Run one command and exit with its code."""
    _fill_closed_streams()
    signal.signal(signal.SIGTERM, _terminate)
    code: object = 1
    try:
        from workers.cli.app import app

        app(prog_name="orderwright")
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 0
    except SystemExit as ended:
        code = ended.code
    sys.exit(_flushed(code))


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _flushed(code: object) -> int | str | None:
    """The code; a reader that has seen enough (`| head`) is no failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if code is None or isinstance(code, int) else str(code)


def _fill_closed_streams() -> None:
    """A closed standard stream would give its number to the next file or socket that is opened, and get its data."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as above
