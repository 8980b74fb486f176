"""The long-running roles: worker, relay, projector, intake, keeper.

Each takes SIGTERM or SIGINT as the wish to finish what it has begun and to leave; a second one ends it at once.
"""

from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from workers.cli.app import app
from workers.cli.command import GATEWAY, Cli, command, setting
from workers.cli.failures import FAILED, Usage
from workers.cli.signals import stop_with_parent, stopping
from workers.cli.threads import all_or_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.work import Step
    from workers.bootstrap import Runtime

WORKER = {
    **GATEWAY,
    "call_threads": setting("--threads", int, "calls at once to each dependency", "ORDERWRIGHT_CALL_THREADS"),
    "batch": setting("--batch", int, "orders in one append", "ORDERWRIGHT_BATCH"),
    "grace_s": setting("--drain-timeout", float, "seconds to finish after SIGTERM", "ORDERWRIGHT_GRACE_S"),
}
Partitions = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, help="share the work out in so many parts from now on; every process of the role follows"
    ),
]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="stop when the standard input ends")]


class Role(Protocol):
    """`run` works until `stop`; False means that it did not finish in time."""

    def run(self) -> bool | None: ...

    def stop(self) -> None: ...


def serve(cli: Cli, make: "Callable[[Runtime], Role]", *, with_parent: bool) -> int:
    """Run one role to its end."""
    with stopping() as stopper:
        if with_parent:
            stop_with_parent()
        with cli.runtime() as runtime:
            role = make(runtime)
            stopper.on_stop(runtime.heart.drain)
            stopper.on_stop(role.stop)
            with all_or_nothing():
                finished = role.run()
    return FAILED if finished is False else 0


@command(app, "worker", settings=WORKER)
def worker(
    cli: Cli,
    steps: Annotated[str, typer.Option(help="only these, with commas between")] = "",
    name: Annotated[str | None, typer.Option(help="how it is called in logs and in the work list")] = None,
    *,
    with_parent: WithParent = False,
) -> int:
    """Move orders: claim due work, decide, call the outside world, append."""
    wanted = _steps(steps)
    return serve(cli, lambda runtime: runtime.step_worker(wanted, name=name), with_parent=with_parent)


@command(app, "relay")
def relay(cli: Cli, partitions: Partitions = None, *, with_parent: WithParent = False) -> int:
    """Announce what is due, and what nobody came for; the clock of retries and timers."""
    return serve(cli, lambda runtime: runtime.relay(partitions=partitions), with_parent=with_parent)


@command(app, "projector")
def projector(cli: Cli, partitions: Partitions = None, *, with_parent: WithParent = False) -> int:
    """Keep the read models up to date."""
    return serve(cli, lambda runtime: runtime.projector(partitions=partitions), with_parent=with_parent)


@command(app, "intake")
def intake(cli: Cli, *, with_parent: WithParent = False) -> int:
    """Accept orders that come over the broker's queue `ow_orders`."""
    return serve(cli, lambda runtime: runtime.intake_consumer(), with_parent=with_parent)


@command(app, "keeper")
def keeper(cli: Cli, *, with_parent: WithParent = False) -> int:
    """Store the broker's dead letters in the database."""
    return serve(cli, lambda runtime: runtime.keeper(), with_parent=with_parent)


def _steps(text: str) -> "list[Step]":
    from domain.work import Step

    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {step.value: step for step in Step}
    for name in names:
        if name not in known:
            raise Usage(f"there is no step {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(Step)
