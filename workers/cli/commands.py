"""All commands, registered by importing their modules, and their places in `--help`."""

from workers.cli import (
    breakers,
    broker,
    demo,
    dev,
    dlq,
    dlq_decide,
    doctor,
    health,
    leases,
    look,
    migrate,
    orders,
    projections,
    reconcile,
    replay,
    roles,
    settings,
    simulator,
    stock,
    submit,
    work,
)
from workers.cli.app import app

__all__ = ["app"]

MODULES = (
    breakers,
    broker,
    demo,
    dev,
    dlq,
    dlq_decide,
    doctor,
    health,
    leases,
    look,
    migrate,
    orders,
    projections,
    reconcile,
    replay,
    roles,
    settings,
    simulator,
    stock,
    submit,
    work,
)
PANELS = {
    "Try it": ("demo", "dev"),
    "Orders": ("submit", "orders", "stock"),
    "Roles": ("worker", "relay", "projector", "intake", "keeper", "simulator"),
    "Operate": (
        "migrate",
        "doctor",
        "health",
        "reconcile",
        "work",
        "leases",
        "breakers",
        "broker",
        "projections",
        "replay",
        "dlq",
        "settings",
        "config",
        "schemas",
    ),
}
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}

for _command in app.registered_commands:
    _command.rich_help_panel = _PANEL_OF[str(_command.name)]
for _group in app.registered_groups:
    _group.rich_help_panel = _PANEL_OF[str(_group.name)]
