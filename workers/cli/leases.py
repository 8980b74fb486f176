"""`orderwright leases`: who has which named work to itself, and for how long."""

from dataclasses import asdict

from workers.cli.app import group
from workers.cli.command import Cli, command

app = group("leases", "Leases: which process has which named work to itself.")

COLUMNS = ["name", "state", "holder", "epoch", "since", "expires_at", "beacon"]


@command(app, "list", data=True)
def list_leases(cli: Cli) -> None:
    """List every lease that somebody has or had and did not give back; `free` ones can be taken at once."""
    with cli.runtime() as runtime:
        found = runtime.held_leases()
    rows = [{**asdict(one), "state": "held" if one.held else "free"} for one in found]
    cli.rows(rows, COLUMNS, empty="nobody holds a lease")
