"""`orderwright replay`: read models made anew from the events."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.app import app
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED, INTERRUPTED, PARTIAL
from workers.cli.progress import progress
from workers.cli.signals import stopping

if TYPE_CHECKING:
    from workers.bootstrap import Projections


@command(app, "replay", data=True)
def replay(
    cli: Cli,
    names: Annotated[
        list[str] | None, typer.Argument(help="which projections; without a name all", metavar="NAME")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be read and written")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="only compare what is stored with a fresh fold")] = False,
) -> int:
    """Rebuild read models from the first event, beside the old ones, and switch when they have caught up.

    Nothing that anybody reads changes before the switch, and no side effect is repeated: read models have none.
    """
    with cli.runtime() as runtime:
        projections = runtime.projections()
        if dry_run:
            return _dry_run(cli, projections, names)
        return _verify(cli, projections, names) if verify else _replay(cli, projections, names)


def _dry_run(cli: Cli, projections: "Projections", names: list[str] | None) -> int:
    cli.rows([asdict(one) for one in projections.status(names)], ["name", "position", "head", "state", "rebuilds"])
    cli.say("nothing was done; a replay reads every event up to the head and writes these read models anew")
    return 0


def _verify(cli: Cli, projections: "Projections", names: list[str] | None) -> int:
    with progress("folding events") as show:
        found = projections.verify(names, on_progress=show)
    rows = [asdict(difference) for difference in found]
    cli.rows(rows, ["projection", "table", "side", "row"], empty="every row is what the events say")
    return FAILED if found else 0


def _replay(cli: Cli, projections: "Projections", names: list[str] | None) -> int:
    with stopping() as stopper, progress("replaying events") as show:
        outcomes = projections.replay(names, on_progress=show, stopping=stopper.is_set).run()
    if outcomes is None:
        cli.say("interrupted: nothing was switched, the old read models are in place")
        return INTERRUPTED
    cli.rows([asdict(one) for one in outcomes], ["name", "position", "rows", "reason"])
    failed = [one for one in outcomes if one.reason]
    return 0 if not failed else (FAILED if len(failed) == len(outcomes) else PARTIAL)
