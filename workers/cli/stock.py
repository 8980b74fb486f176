"""`orderwright stock`: goods that come in, and what is where."""

from dataclasses import asdict
from typing import Annotated

import typer

from workers.cli.app import group
from workers.cli.command import AtLeast, Cli, command
from workers.cli.failures import Usage

app = group("stock", "Goods that come in, and what is where.")

COLUMNS = ["warehouse", "sku", "on_hand", "allocated", "backordered", "available", "received", "shipped"]


@command(app, "receive")
def receive(
    cli: Cli,
    warehouse: Annotated[str, typer.Argument()],
    sku: Annotated[str, typer.Argument()],
    quantity: Annotated[int, typer.Argument(min=1, max=1_000_000_000)],
    delivery: Annotated[str, typer.Option(help="the delivery's own id: the same one is counted once")],
) -> None:
    """Record that goods have arrived. Repeating it with the same delivery changes nothing."""
    from domain.stock import Receive

    _check(warehouse, sku, delivery)
    with cli.runtime() as runtime:
        if warehouse not in (known := [place.id for place in runtime.settings.warehouses]):
            cli.say(f"warehouse {warehouse} is not in the settings ({', '.join(known)}): nothing is sent from it yet")
        receipt = Receive(quantity=quantity, delivery=delivery, at=runtime.store().now())
        command_id = f"receive:{delivery}:{warehouse}:{sku}"
        done = runtime.handler().on_stock(warehouse, sku, receipt, command_id=command_id, actor="cli")
    cli.say(
        f"received {quantity} of {sku} at {warehouse}" if done.events else f"delivery {delivery} was counted before"
    )


@command(app, "show", data=True)
def show(
    cli: Cli,
    sku: Annotated[str | None, typer.Option(help="only this article")] = None,
    warehouse: Annotated[str | None, typer.Option(help="only this warehouse")] = None,
    at_least: AtLeast = 0,
) -> None:
    """Show what is where, and how much of it is promised."""
    with cli.runtime() as runtime:
        rows = runtime.stock(sku=sku, warehouse=warehouse, at_least=at_least)
    cli.rows([asdict(row) for row in rows], COLUMNS, empty="no stock (or the projector has not seen it yet)")


def _check(warehouse: str, sku: str, delivery: str) -> None:
    """The names that streams are made of, and the id that makes a repeat harmless."""
    import re

    from domain.values import ORDER_ID

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]{0,31}", warehouse):
        raise Usage("WAREHOUSE: 1 to 32 letters, digits, dots and underscores")
    if not ORDER_ID.fullmatch(sku):
        raise Usage("SKU: 1 to 64 letters, digits, dots, underscores and hyphens")
    if not ORDER_ID.fullmatch(delivery):
        raise Usage("--delivery: 1 to 64 letters, digits, dots, underscores and hyphens")
