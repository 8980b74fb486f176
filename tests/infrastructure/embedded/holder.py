"""A process that starts the embedded server of a folder, says whether it owns it, and holds it until its input ends."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[3]


@contextmanager
def holding(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run such a process; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.infrastructure.embedded.holder", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answer_of(process: "subprocess.Popen[str]") -> str:
    """Wait for its first line: `owns` or `attached`."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def main() -> None:
    server = EmbeddedPostgres(Path(sys.argv[1]))
    server.start()
    print("owns" if server.owns else "attached", flush=True)  # noqa: T201 - the test reads it
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
