"""`orderwright doctor`: says whether this installation is well."""

from dataclasses import asdict
from typing import Annotated

import typer

from workers.cli.app import app
from workers.cli.command import GATEWAY, Cli, command
from workers.cli.failures import FAILED
from workers.cli.progress import progress


@command(app, "doctor", data=True, settings=GATEWAY)
def doctor(
    cli: Cli,
    *,
    verify_all: Annotated[
        bool, typer.Option("--verify-all", help="read every event as well, and compare all books with each other")
    ] = False,
) -> int:
    """Check the installation; each finding comes with the promise it is about and the command that mends it.

    Exit code 1 if a check fails.
    """
    from workers.doctor import examine

    with cli.runtime() as runtime, progress("reading events") as show:
        findings = list(examine(runtime, verify_all=verify_all, on_progress=show))
    cli.rows([asdict(finding) for finding in findings], ["state", "check", "promise", "why", "fix"])
    return FAILED if any(finding.state == "fail" for finding in findings) else 0
