"""`orderwright projections`: how far the read models are, and in how many partitions they are kept up to date."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED

if TYPE_CHECKING:
    from workers.bootstrap import Projections

app = group("projections", "Read models: how far they are, and in how many partitions.")

COLUMNS = ["name", "state", "partitions", "wanted", "position", "head", "lag_events", "lag_s", "reason"]
LOOK_S = 0.1
Names = Annotated[list[str] | None, typer.Argument(help="which projections; without a name all", metavar="NAME")]


@command(app, "status", data=True)
def status(cli: Cli, names: Names = None) -> None:
    """Show how far each read model is: the position of the last of its partitions, and what that one has yet to apply."""
    with cli.runtime() as runtime:
        rows = [asdict(one) | {"lag_s": round(one.lag_s, 1)} for one in runtime.projections().status(names)]
    cli.rows(rows, COLUMNS)


@command(app, "partition", data=True)
def partition(
    cli: Cli,
    partitions: Annotated[int, typer.Argument(min=1, max=64)],
    names: Names = None,
    *,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=3600, help="seconds to wait until it is done")] = 0.0,
) -> int:
    """Keep read models up to date in so many partitions, which as many projectors can share; while all goes on.

    The partitions first come to one position, so with projectors that are far behind it takes as long as they do. Repeating it changes
    nothing, and asking for the present number gives up a change that is under way.
    """
    with cli.runtime() as runtime:
        projections = runtime.projections()
        asked = projections.partition(partitions, names)
        done = all(one.done for one in asked) or _waited(projections, names, wait_s)
        rows = [asdict(one) for one in projections.status(names)]
    cli.rows(rows, ["name", "state", "partitions", "wanted", "position", "barrier"])
    if done:
        return 0
    cli.say("the number changes once every partition is at the barrier: projectors bring them there")
    for row in rows:
        if row["wanted"] and row["state"] == "stopped":
            cli.say(f"{row['name']} never gets there, and its other partitions wait at the barrier: {row['reason']}")
            cli.say(
                f"mend that, or give the change up: orderwright projections partition {row['partitions']} {row['name']}"
            )
    return FAILED if wait_s else 0


def _waited(projections: "Projections", names: list[str] | None, wait_s: float) -> bool:
    from time import monotonic, sleep

    until = monotonic() + wait_s
    while monotonic() < until:
        if all(one.wanted is None for one in projections.status(names)):
            return True
        sleep(LOOK_S)
    return False
