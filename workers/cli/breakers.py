"""`orderwright breakers`: which outside services are called now, and deciding about it."""

import re
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import Usage
from workers.cli.person import person

if TYPE_CHECKING:
    from domain.breaker import State
    from workers.breaker_control import BreakerView

app = group("breakers", "Which outside services are called now, and deciding about it.")

LISTED = ["dependency", "state", "since", "why", "failure_rate", "permits_out", "waiting", "next_probe", "held_until"]
RECORDED = ["at", "dependency", "before", "after", "why", "who", "process"]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = timedelta(days=365)

Name = Annotated[str, typer.Argument(metavar="NAME", help="risk, payment, carrier or mail")]
Reason = Annotated[str, typer.Option("--reason", help="why, for those who come after you; it is recorded")]
Lasting = Annotated[
    str | None,
    typer.Option("--for", help="for so long, like 90s, 10m or 2h (default: until `auto`)", show_default=False),
]


@command(app, "list", data=True)
def list_breakers(cli: Cli) -> None:
    """List every breaker: its state, since when and why, and what waits for it."""
    with cli.runtime() as runtime:
        found = runtime.breaker_control().view()
    cli.rows([_in_words(one) if cli.form == "table" else asdict(one) for one in found], LISTED)


@command(app, "history", data=True)
def history(
    cli: Cli,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="only of this service")] = None,
    limit: Annotated[int, typer.Option(help="at most so many", min=1, max=100_000)] = 50,
) -> None:
    """List the recorded changes, the latest first: when, why, and who wanted them."""
    with cli.runtime() as runtime:
        rows = [asdict(one) for one in runtime.breaker_control().history(name, limit)]
    cli.rows(rows, RECORDED, empty="no breaker has ever changed")


@command(app, "open")
def open_breaker(cli: Cli, name: Name, reason: Reason, lasting: Lasting = None) -> None:
    """Stop all calls to a service; what needs it waits and loses no attempt."""
    from domain.breaker import State

    _force(cli, name, State.OPEN, reason, lasting)


@command(app, "close")
def close_breaker(cli: Cli, name: Name, reason: Reason, lasting: Lasting = None) -> None:
    """Let all calls to a service through, whatever comes of them."""
    from domain.breaker import State

    _force(cli, name, State.CLOSED, reason, lasting)


@command(app, "auto")
def auto(cli: Cli, name: Name, reason: Reason) -> None:
    """Let the breaker decide by itself again; what was open is probed at once."""
    _force(cli, name, None, reason, None)


def _force(cli: Cli, name: str, to: "State | None", reason: str, lasting: str | None) -> None:
    if not reason.strip():
        raise Usage("--reason: say why")
    duration = _duration(lasting) if lasting else None
    with cli.runtime() as runtime:
        changes = runtime.breaker_control().force(name, to, lasting=duration, who=person(), why=reason.strip())
    if not changes:
        cli.say(f"{name}: it decides by itself already")
    elif to is None:
        cli.say(f"{name}: decides by itself again, now {_state(changes[-1].after)}")
    else:
        cli.say(f"{name}: forced {_state(to)} {f'for {lasting}' if lasting else f'until `breakers auto {name}`'}")


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text.strip())
    duration = timedelta(seconds=int(found[1]) * UNITS[found[2]]) if found else timedelta(0)
    if not timedelta(0) < duration <= LONGEST:
        raise Usage("--for: a number and s, m, h or d, like 90s, 10m or 2h; a year at most")
    return duration


def _in_words(view: "BreakerView") -> dict[str, Any]:
    row = asdict(view)
    row["state"] = f"{_state(view.state)} (forced)" if view.forced else _state(view.state)
    row["failure_rate"] = None if view.failure_rate is None else f"{view.failure_rate:.0%}"
    row["why"] = view.why or None
    return row


def _state(state: "State") -> str:
    return state.value.replace("_", "-")
