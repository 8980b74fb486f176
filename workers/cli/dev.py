"""`orderwright dev`: a whole installation as one tree of processes, until Ctrl-C."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.app import app
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED
from workers.cli.myself import program
from workers.cli.signals import Stopper, stopping

if TYPE_CHECKING:
    from workers.bootstrap import Runtime
    from workers.tree import Tree

START_S = 60.0
LINE_EVERY_S = 5.0


@command(app, "dev")
def dev(
    cli: Cli,
    workers: Annotated[int, typer.Option(help="worker processes", min=1, max=64)] = 2,
    seed: Annotated[int, typer.Option(help="decides every chance of the simulated outside world")] = 0,
    behaviour: Annotated[str, typer.Option(help="how the outside world behaves, as JSON")] = "{}",
    *,
    headless: Annotated[bool, typer.Option("--headless", help="logs only, no status lines")] = False,
) -> int:
    """Run PostgreSQL, workers, relay, projector, intake, keeper and a simulated outside world until Ctrl-C.

    A process that dies is started again. With a gateway_url of your own in the settings no outside world is simulated.
    """
    from workers.demo.folder import alone_in
    from workers.tree import Tree, children

    with stopping() as stopper, alone_in(cli.settings.data_dir), cli.runtime() as runtime:
        tree = Tree(_environment(cli), heal=runtime.revive, tell=cli.say, grace_s=cli.settings.grace_s)
        try:
            runtime.migrated()
            url = cli.settings.gateway_url or _simulator(
                cli, tree, stopper, ["--seed", str(seed), "--behaviour", behaviour]
            )
            tree.environment["ORDERWRIGHT_GATEWAY_URL"] = url
            for child in children(workers):
                if not stopper.is_set():
                    tree.start(child)
            if not headless:
                cli.say(_welcome(cli, url, len(tree.pids())))
            _watch(cli, runtime, stopper, headless=headless)
        finally:
            ended = tree.close()
    return 0 if ended else FAILED


def _simulator(cli: Cli, tree: "Tree", stopper: Stopper, behaviour: list[str]) -> str:
    """Start it, and wait until it listens."""
    import time

    from domain.errors import Unavailable
    from workers.tree import Child, free_port

    port_file = cli.settings.data_dir / "simulator.port"
    port_file.unlink(missing_ok=True)
    arguments = ["simulator", "--port-file", str(port_file), "--port", str(free_port()), *behaviour]
    tree.start(Child(name="simulator", arguments=arguments, stage=2))
    deadline = time.monotonic() + START_S
    while not port_file.exists():
        if stopper.wait(0.05) or time.monotonic() > deadline:
            raise Unavailable("the simulator did not start")
    return f"http://127.0.0.1:{port_file.read_text().strip()}"


def _environment(cli: Cli) -> dict[str, str]:
    """Ours, with what was given as options."""
    given = {f"ORDERWRIGHT_{name.upper()}": value for name, value in cli.flags.items()}
    if cli.config:
        given["ORDERWRIGHT_CONFIG"] = str(cli.config)
    return {**os.environ, **given}


def _welcome(cli: Cli, url: str, processes: int) -> str:
    where = f" --data-dir {cli.flags['data_dir']}" if "data_dir" in cli.flags else ""
    return (
        f"{processes} processes run; the outside world is at {url}. In another terminal:\n"
        f"  {program()} stock receive MAIN TEA-500 100 --delivery D-1{where}\n"
        f"  {program()} submit orders.jsonl{where}\n"
        f"  {program()} orders list{where}\n"
        "Ctrl-C ends all of it."
    )


def _watch(cli: Cli, runtime: "Runtime", stopper: Stopper, *, headless: bool) -> None:
    """A line whenever the picture has changed."""
    from domain.errors import StoreUnavailable

    last = ""
    while not stopper.wait(LINE_EVERY_S):
        if headless:
            continue
        with suppress(StoreUnavailable):
            counts = runtime.queries().counts()
            line = ", ".join(f"{count} {stage}" for stage, count in counts.items() if count)
            if line and line != last:
                cli.say(line)
            last = line
