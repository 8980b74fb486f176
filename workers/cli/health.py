"""`orderwright health`: for the probes of containers. `workers.cli.main` answers it before this module is even imported."""

from pathlib import Path
from typing import Annotated

import typer

from workers import health
from workers.cli.app import group

app = group(
    "health", "Ask the heartbeat of a role whether it is alive and ready; reads one file and connects to nothing."
)

Folder = Annotated[
    Path | None,
    typer.Option("--runtime-dir", help=f"where the heartbeat is (env {health.VARIABLE})", show_default=False),
]


@app.command("live")
def live(runtime_dir: Folder = None) -> None:
    """Exit with 0 while the role's loop turns, else with 1."""
    _ask("live", runtime_dir)


@app.command("ready")
def ready(runtime_dir: Folder = None) -> None:
    """Exit with 0 if the role has lately reached what it needs, else with 1."""
    _ask("ready", runtime_dir)


def _ask(question: str, folder: Path | None) -> None:
    raise typer.Exit(health.main([question, *(["--runtime-dir", str(folder)] if folder else [])]))
