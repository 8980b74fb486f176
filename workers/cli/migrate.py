"""`orderwright migrate`: the schema of the database."""

from dataclasses import asdict
from typing import Annotated

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED, Usage

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


@command(app, "grants")
def grants(
    cli: Cli,
    *,
    writer: Annotated[str | None, typer.Option(help="role of intake, workers, relay, keeper")] = None,
    projector: Annotated[str | None, typer.Option(help="role of the projectors")] = None,
    reader: Annotated[str | None, typer.Option(help="role that only reads")] = None,
    broker: Annotated[str | None, typer.Option(help="role of the queues behind pgmq://")] = None,
    sql_only: Annotated[bool, typer.Option("--sql", help="print the statements instead of executing them")] = False,
) -> int:
    """Give existing database roles the least rights they need, and take away others. Run it as the owner, after each `migrate up`."""
    given = {"writer": writer, "projector": projector, "reader": reader, "broker": broker}
    names = {kind: name for kind, name in given.items() if name}
    if not names:
        raise Usage("name at least one role: --writer, --projector, --reader, --broker")
    with cli.runtime() as runtime:
        migrations = runtime.migrations()
        if sql_only:
            print(migrations.grants_script(names), end="")
            return 0
        left = migrations.grant(names)
    cli.say(f"granted to {', '.join(names.values())}")
    for statement in left:
        cli.say(f"not ours to do, ask an administrator: {statement}")
    return 0
