"""The root that commands are registered at; `workers.cli.commands` brings them all in."""

import typer

HELP = "Takes orders from acceptance to delivery: event sourced on PostgreSQL, safe against a kill at any instruction."

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def group(name: str, about: str) -> typer.Typer:
    """A command with commands of its own."""
    made = typer.Typer(help=about, no_args_is_help=True)
    app.add_typer(made, name=name)
    return made
