"""`orderwright doctor`: says whether this installation is well."""

from dataclasses import asdict

from workers.cli.app import app
from workers.cli.command import GATEWAY, Cli, command
from workers.cli.failures import FAILED


@command(app, "doctor", data=True, settings=GATEWAY)
def doctor(cli: Cli) -> int:
    """Check the installation; each finding comes with the command that mends it. Exit code 1 if a check fails."""
    from workers.doctor import examine

    with cli.runtime() as runtime:
        findings = list(examine(runtime))
    cli.rows([asdict(finding) for finding in findings], ["state", "check", "why", "fix"])
    return FAILED if any(finding.state == "fail" for finding in findings) else 0
