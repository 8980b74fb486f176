"""Commands that only look: `config show`, `schemas export`."""

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command

config = group("config", "The settings that are in force. Connects to nothing.")
schemas = group("schemas", "JSON Schemas of what goes in and what is stored. Connects to nothing.")


@command(config, "show", data=True)
def show(
    cli: Cli, *, origin: Annotated[bool, typer.Option("--origin", help="say where each value comes from")] = False
) -> None:
    """Show every setting; secrets are masked."""
    settings, origins = cli.loaded
    values = settings.model_dump(mode="json")
    if cli.form != "table" and not origin:
        cli.object(values)
        return
    rows = [{"setting": name, "value": value, "origin": origins[name]} for name, value in values.items()]
    cli.rows(rows, ["setting", "value", "origin"] if origin else ["setting", "value"])
    if cli.form == "table":
        cli.say("some of these may be overridden while the program runs: `orderwright settings get`")


@command(schemas, "export")
def export(cli: Cli, folder: Annotated[Path, typer.Argument(help="where to write them")] = Path("schemas")) -> None:
    """Write the schema of an order, and one of every event that is stored."""
    from workers.bootstrap import export_schemas

    for path in export_schemas(folder):
        cli.say(f"wrote {path}")
