"""`orderwright work`: the work list, which follows from the events."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED
from workers.cli.progress import progress

if TYPE_CHECKING:
    from domain.work import RunRow

app = group("work", "The work list: what is wanted, due, running or dead.")

COLUMNS = ["order_id", "step", "part", "ordinal", "state", "attempts", "due_at", "last_error"]


@command(app, "list", data=True)
def list_runs(
    cli: Cli,
    order: Annotated[str | None, typer.Option(help="only of this order")] = None,
    state: Annotated[str | None, typer.Option(help="only ready, running or dead")] = None,
    limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 200,
) -> None:
    """List runs."""
    with cli.runtime() as runtime:
        runs = [run for run in runtime.store().runs(order) if state in (None, run.state)]
    cli.rows([run_row(run) for run in runs[:limit]], COLUMNS, empty="nothing is wanted")
    if len(runs) > limit:
        cli.say(f"{limit} of {len(runs)}; --limit shows more")


def run_row(run: "RunRow") -> dict[str, Any]:
    """A run as plain data."""
    key = run.key
    identity = {"order_id": key.order_id, "step": key.step.value, "part": key.part, "ordinal": key.ordinal}
    return {**identity, **{name: value for name, value in run._asdict().items() if name != "key"}}


@command(app, "rebuild", data=True)
def rebuild(cli: Cli) -> None:
    """Derive every run from the events and insert what is missing; safe while everything runs."""
    from dataclasses import asdict

    from workers.rebuild import rebuild as derive

    with cli.runtime() as runtime, progress("reading events") as show:
        done = derive(runtime.store(), runtime.policy(), on_progress=show)
    cli.object(asdict(done))


@command(app, "audit", data=True)
def audit(cli: Cli) -> int:
    """List open orders that nothing will ever move; exit code 1 if there are any."""
    from dataclasses import asdict

    from workers.rebuild import audit as look

    with cli.runtime() as runtime, progress("reading events") as show:
        diagnosis = runtime.diagnosis()
        found = list(look(runtime.store(), runtime.policy(), diagnosis.missing, on_progress=show))
    cli.rows([asdict(one) for one in found], ["order_id", "why"], empty="every open order has something that moves it")
    return FAILED if found else 0
