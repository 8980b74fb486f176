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
    if sys.argv[1:2] == ["health"] and sys.argv[2:3] in (["live"], ["ready"]):
        sys.exit(_health())  # asked every few seconds: nothing else is imported for it
    _arm_fail_points()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        from workers.cli.commands import app

        app(prog_name="orderwright")
    except KeyboardInterrupt:
        sys.exit(130)


def _health() -> int:
    from workers.health import main as answer

    return answer(sys.argv[2:])


def _arm_fail_points() -> None:
    """In a process that was started as a test, and in no other; see `infrastructure.failpoints`."""
    if "--test-mode" in sys.argv:
        sys.argv.remove("--test-mode")
        os.environ["ORDERWRIGHT_TEST_MODE"] = "1"
    if os.environ.get("ORDERWRIGHT_TEST_MODE") == "1":
        from domain.errors import Misconfigured
        from infrastructure import failpoints

        try:
            failpoints.arm(os.environ)
        except Misconfigured as error:
            sys.exit(f"orderwright: {error}")


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


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
