"""The tree of commands. Importing a command's module registers it; order here is the order in `--help`."""

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


from workers.cli import (  # noqa: E402 - they register themselves in the app above
    demo,
    dev,
    doctor,
    look,
    migrate,
    orders,
    replay,
    roles,
    simulator,
    stock,
    submit,
    work,
)

__all__ = ["app", "group"]
_COMMANDS = (demo, dev, submit, orders, stock, roles, simulator, migrate, replay, work, look, doctor)
