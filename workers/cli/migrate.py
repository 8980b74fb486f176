"""`orderwright migrate`: the schema of the database."""

from dataclasses import asdict
from typing import Annotated

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED

app = group("migrate", "Bring the database to the schema of this version, or see where it stands.")


@command(app, "up")
def up(cli: Cli) -> None:
    """Apply what is pending. Two at once are safe; a second run finds nothing to do."""
    with cli.runtime() as runtime:
        done = runtime.migrations().up(on_progress=lambda name: cli.say(f"applied {name}"))
    cli.say(f"{len(done)} applied" if done else "nothing to do: the database is up to date")


@command(app, "status", data=True)
def status(cli: Cli) -> None:
    """List what is applied and what is pending."""
    with cli.runtime() as runtime:
        lines = runtime.migrations().status()
    cli.rows([asdict(line) for line in lines], ["version", "name", "state", "applied_at"])


@command(app, "check")
def check(cli: Cli) -> int:
    """Exit with 0 if nothing is pending, else with 1; for scripts."""
    with cli.runtime() as runtime:
        pending = runtime.migrations().check()
    for name in pending:
        cli.say(f"pending: {name}")
    return FAILED if pending else 0


@command(app, "wait")
def wait(cli: Cli, timeout: Annotated[float, typer.Option(help="seconds until it is given up", min=0)] = 60.0) -> None:
    """Wait until the database answers and nothing is pending; for containers that start together."""
    with cli.runtime() as runtime:
        runtime.migrations().wait(timeout_s=timeout)


@command(app, "sql")
def sql(_cli: Cli) -> None:
    """Print the SQL of all migrations, without connecting to anything."""
    from workers.bootstrap import migration_sql

    for name, text in migration_sql():
        print(f"-- {name}\n{text}")
