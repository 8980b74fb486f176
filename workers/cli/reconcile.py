"""`orderwright reconcile`: our events against the gateway's books and the stock."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.app import app
from workers.cli.command import GATEWAY, Cli, command
from workers.cli.failures import FAILED
from workers.cli.progress import progress

if TYPE_CHECKING:
    from domain.reconciliation import Difference
    from workers.bootstrap import Runtime

COLUMNS = ["kind", "order_id", "subject", "here", "there"]


@command(app, "reconcile", data=True, settings=GATEWAY)
def reconcile(
    cli: Cli,
    statement: Annotated[
        Path | None, typer.Option(help="the gateway's books as a JSONL file instead of over HTTP", exists=True)
    ] = None,
    count: Annotated[
        Path | None, typer.Option(help="counted stock to compare with: CSV of warehouse,sku,on_hand", exists=True)
    ] = None,
    patience: Annotated[
        float, typer.Option(help="seconds that an operation may be under way before it is a difference", min=0)
    ] = 300,
    limit: Annotated[int, typer.Option(help="list at most so many", min=1)] = 1000,
) -> int:
    """Compare money with the payment gateway and allocations with the orders. Exit code 1 if anything differs."""
    with cli.runtime() as runtime:
        found = [*_money(cli, runtime, statement, timedelta(seconds=patience)), *_goods(runtime, count)]
    cli.rows([asdict(one) for one in found[:limit]], COLUMNS, empty="no differences")
    if len(found) > limit:
        cli.say(f"{limit} of {len(found)}; --limit shows more")
    return FAILED if found else 0


def _money(cli: Cli, runtime: "Runtime", statement: Path | None, patience: timedelta) -> "list[Difference]":
    from workers.reconcile import Money

    with progress("reading payments") as show:
        money = Money(runtime.store(), runtime.gateway_books(statement), patience=patience, on_progress=show)
        found = list(money.compare())
    for operation, currency in sorted({*money.here, *money.there}):
        here, there = money.here[operation, currency], money.there[operation, currency]
        cli.say(
            f"{operation}: here {runtime.money(here, currency)}, at the gateway {runtime.money(there, currency)}"
            + ("" if here == there else f", difference {runtime.money(there - here, currency)}")
        )
    return found


def _goods(runtime: "Runtime", count: Path | None) -> "list[Difference]":
    from workers.reconcile import compare_goods, read_count

    counted = read_count(count) if count else None
    with progress("reading events") as show:
        return compare_goods(runtime.store(), counted, on_progress=show)
