"""`orderwright broker`: the queues themselves."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED

app = group("broker", "The broker: make its queues, check them, print definitions for RabbitMQ.")


@command(app, "setup", data=True)
def setup(
    cli: Cli,
    *,
    wait: Annotated[
        float, typer.Option("--wait", min=0.0, help="seconds to wait for a broker that is not there yet")
    ] = 0,
) -> None:
    """Make the queues that are missing. What is there stays as it is, so it can be run as often as one likes."""
    with cli.runtime() as runtime:
        made = runtime.broker_setup(wait)
    cli.rows([{"queue": queue, "was": "made" if new else "there"} for queue, new in made], ["queue", "was"])


@command(app, "check", data=True)
def check(cli: Cli) -> int:
    """Check nodes, queues and their arguments, and send a message the way of a dead letter.

    On RabbitMQ, use a user who may declare the queues. Exit code 1 if something is wrong.
    """
    with cli.runtime() as runtime:
        found = list(runtime.broker_check())
    cli.rows([asdict(one) for one in found], ["state", "what", "why", "fix"])
    return FAILED if any(one.state == "fail" for one in found) else 0


@command(app, "definitions")
def definitions(
    _cli: Cli,
    *,
    vhost: Annotated[str, typer.Option("--vhost", help="the virtual host that is ours")] = "orderwright",
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=9, help="how many nodes keep every message")] = 3,
    max_length: Annotated[int, typer.Option("--max-length", min=100, help="messages until a queue refuses")] = 100_000,
    passwords: Annotated[
        Path | None,
        typer.Option("--passwords", exists=True, dir_okay=False, help="`role password` a line; none: no users"),
    ] = None,
) -> None:
    """Print what `rabbitmqctl import_definitions` needs: virtual host, queues, policies and a user a role with its rights.

    The management plugin is not needed. Only hashes of the passwords are printed.
    """
    from workers.bootstrap import Runtime
    from workers.cli.output import emit_object

    emit_object(
        Runtime.broker_definitions(vhost=vhost, nodes=nodes, max_length=max_length, passwords=passwords), "json"
    )
