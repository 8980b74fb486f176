"""`orderwright orders`: look at orders, and decide about them."""

import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.order_events import CancelReason, HoldReason
from workers.cli.app import group
from workers.cli.command import AtLeast, Cli, command
from workers.cli.failures import REFUSED, Usage
from workers.cli.output import cell
from workers.cli.person import person
from workers.cli.work import run_row

if TYPE_CHECKING:
    from domain.ports import RecordedEvent
    from workers.bootstrap import Runtime

app = group("orders", "Look at orders, and decide about them.")

LISTED = ["order_id", "stage", "payment", "fulfillment", "holds", "total", "parcels", "placed_at"]
OrderId = Annotated[str, typer.Argument(metavar="ORDER")]
Note = Annotated[str, typer.Option(help="why, for those who come after you")]
CommandId = Annotated[str, typer.Option(help="makes a repeat harmless (default: a fresh one)", show_default=False)]


@command(app, "list", data=True)
def list_orders(  # noqa: PLR0913, PLR0917 - one option each
    cli: Cli,
    stage: Annotated[str | None, typer.Option(help="only orders in this stage")] = None,
    payment: Annotated[str | None, typer.Option(help="only with this payment status")] = None,
    fulfillment: Annotated[str | None, typer.Option(help="only with this fulfillment status")] = None,
    hold: Annotated[HoldReason | None, typer.Option(help="only held for this reason")] = None,
    prefix: Annotated[str | None, typer.Option(help="only ids that begin like this")] = None,
    limit: Annotated[int, typer.Option(help="at most so many", min=1, max=100_000)] = 50,
    at_least: AtLeast = 0,
) -> None:
    """List orders, the newest first."""
    with cli.runtime() as runtime:
        wanted = {"stage": stage, "payment": payment, "fulfillment": fulfillment, "hold": hold, "prefix": prefix}
        found = runtime.orders(wanted, limit=limit, at_least=at_least)
        rows = [asdict(row) if cli.form != "table" else _in_words(runtime, asdict(row)) for row in found]
    cli.rows(rows, LISTED, empty="no such orders (or the projector has not seen them yet)")
    if len(found) == limit:
        cli.say(f"the newest {limit}; --limit shows more")


@command(app, "show", data=True)
def show(cli: Cli, order_id: OrderId) -> None:
    """Show all about one order: its status, every event in order, and what will move it next."""
    with cli.runtime() as runtime:
        order = _order(runtime, order_id)
        shown = _in_words(runtime, order)
    if cli.form != "table":
        cli.object(order)
        return
    cli.object({key: shown[key] for key in ("order_id", *_AXES, *_MONEY, "placed_at")})
    for title, key, columns in _PARTS:
        if shown[key]:
            print(f"\n{title}")
            cli.rows(shown[key], columns)


_AXES = ("outcome", "payment", "fulfillment", "holds")
_MONEY = ("total", "authorized", "captured", "voided")
_PARTS = (
    ("LINES", "lines", ["number", "sku", "quantity", "amount", "name"]),
    ("PARCELS", "parcels", ["number", "warehouse", "units", "state", "carrier", "tracking"]),
    ("EVENTS", "events", ["position", "at", "stream", "type", "summary"]),
    ("WHAT WILL MOVE IT", "runs", ["step", "part", "ordinal", "state", "attempts", "due_at", "last_error"]),
)


def _order(runtime: "Runtime", order_id: str) -> dict[str, Any]:
    """From the events themselves, so it is never behind."""
    summary, events = runtime.order(order_id)
    placed = events[0].event
    return {
        **asdict(summary),
        "lines": [asdict(line) for line in placed.lines],
        "parcels": summary.parcel_details,
        "events": [_event(event, runtime.words(event.event)) for event in events],
        "runs": [run_row(run) for run in runtime.store().runs(order_id)],
    }


def _in_words(runtime: "Runtime", order: dict[str, Any]) -> dict[str, Any]:
    """The same with money as people write it."""
    currency = order["currency"]
    lines = (
        [{**line, "amount": runtime.money(line["amount"], currency)} for line in order["lines"]]
        if isinstance(order["lines"], list)
        else order["lines"]
    )
    return {**order, "lines": lines, **{name: runtime.money(order[name], currency) for name in _MONEY}}


def _event(recorded: "RecordedEvent", summary: str) -> dict[str, Any]:
    meta = recorded.meta
    return {
        "position": recorded.position,
        "at": f"{recorded.recorded_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "stream": recorded.stream,
        "version": recorded.version,
        "type": type(recorded.event).__name__,
        "summary": summary,
        "actor": meta.actor,
        "causation_id": meta.causation_id,
    }


@command(app, "timeline", data=True)
def timeline(cli: Cli, order_id: OrderId) -> None:
    """List every event of one order in order."""
    with cli.runtime() as runtime:
        events = _order(runtime, order_id)["events"]
    cli.rows(events, ["position", "at", "stream", "version", "type", "summary", "actor"])


@command(app, "cancel")
def cancel(
    cli: Cli,
    order_id: OrderId,
    reason: Annotated[CancelReason, typer.Option(help="who wants it, or why")] = CancelReason.STAFF,
    note: Note = "",
    command_id: CommandId = "",
) -> int:
    """Cancel what is not handed over yet. Too late is an answer (exit code 3), not an error."""
    from workers import handle as commands

    return _change(cli, order_id, commands.cancel(reason, note, person()), command_id)


@command(app, "hold")
def hold(
    cli: Cli,
    order_id: OrderId,
    reason: Annotated[HoldReason, typer.Option(help="what it waits for")] = HoldReason.OTHER,
    note: Note = "",
    until: Annotated[
        datetime | None,
        typer.Option(help="cancel it then if nobody has released it (UTC)", formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    ] = None,
    command_id: CommandId = "",
) -> int:
    """Stop everything before the hand-over until the hold is released."""
    from workers import handle as commands

    moment = until.replace(tzinfo=UTC) if until else None
    return _change(cli, order_id, commands.hold(reason, note, person(), moment), command_id)


@command(app, "release")
def release(
    cli: Cli,
    order_id: OrderId,
    reason: Annotated[HoldReason | None, typer.Option(help="only this hold; without it all of them")] = None,
    note: Note = "",
    command_id: CommandId = "",
) -> int:
    """Release a hold; the order goes on."""
    from workers import handle as commands

    return _change(cli, order_id, commands.release(reason, note, person()), command_id)


def _change(cli: Cli, order_id: str, order_command: Callable[..., Any], command_id: str) -> int:
    _check(order_id)
    with cli.runtime() as runtime:
        done = runtime.handler().on_order(
            order_id, order_command, command_id=command_id or f"cli:{uuid.uuid4()}", actor=person()
        )
    if "CancellationRefused" in done.events:
        cli.say(f"{order_id}: too late, the carrier has everything; a return is offered (CancellationRefused)")
        return REFUSED
    waits = f"; waits for the outcome of {', '.join(done.awaited)}" if done.awaited else ""
    cli.say(f"{order_id}: {', '.join(done.events) or 'nothing to do'}{waits}")
    return 0


def _check(order_id: str) -> None:
    from domain.values import ORDER_ID

    if not ORDER_ID.fullmatch(order_id):
        raise Usage(f"{cell(order_id)[:80]!r} is no order id")
