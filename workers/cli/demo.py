"""`orderwright demo`: real orders carried to their end by several processes, and the books compared."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.app import app
from workers.cli.command import Cli, command
from workers.cli.failures import FAILED, INTERRUPTED, Usage
from workers.cli.myself import program
from workers.cli.signals import stopping

if TYPE_CHECKING:
    from workers.demo.summary import Summary

SEED = 20  # NW-10248, the first order of all, is held, released, declined, tried again and delivered
FOLDER = Path(".orderwright/demo")
OF_ITS_OWN = ("database_url", "broker_url")


@command(app, "demo", data=True)
def demo(
    cli: Cli,
    workers: Annotated[int, typer.Option(help="worker processes", min=1, max=32)] = 3,
    seed: Annotated[int, typer.Option(help="decides every chance of the outside world")] = SEED,
    rate: Annotated[float, typer.Option(help="orders submitted a second", min=1)] = 200.0,
    patience: Annotated[float, typer.Option(help="seconds until it is given up", min=5)] = 120.0,
) -> int:
    """Carry the 830 orders of the Northwind sample to their end, with declines, holds, lost answers and empty shelves.

    Exit code 0 only if every order ended and the sums of money are the same in our events and in the outside world's books.
    """
    if (given := [name for name in OF_ITS_OWN if name in cli.flags]) or cli.config:
        raise Usage(
            f"the demo has a database and settings of its own: leave out --{(given or ['config'])[0].replace('_', '-')}"
        )
    from workers.demo.folder import fresh_folder
    from workers.demo.run import Interrupted, Options, Run
    from workers.demo.show import show_for

    cli.log_quietly()
    folder = Path(cli.flags.get("data_dir", FOLDER))
    options = Options(workers=workers, seed=seed, rate=rate, patience_s=patience)
    with stopping() as stopper, fresh_folder(folder), show_for(sys.stderr.isatty()) as show:
        run = Run(folder, options, show, stopper)
        try:
            summary = run.play()
        except Interrupted:
            cli.say("stopping every process ...")
            return INTERRUPTED
        finally:
            run.close()
    _tell(cli, summary, folder)
    return FAILED if summary.problems() else 0


def _tell(cli: Cli, summary: "Summary", folder: Path) -> None:
    if cli.form != "table":
        cli.object(summary.as_json())
    else:
        _print(summary)
    for problem in summary.problems():
        cli.say(f"NOT AS IT MUST BE: {problem}")
    cli.say(_next_steps(folder))


def _print(summary: "Summary") -> None:
    rows = [("ORDER", "PAYMENT", "FULFILLMENT", "ORDERS")]
    rows += [(*axes, str(count)) for axes, count in sorted(summary.axes.items(), key=lambda item: -item[1])]
    for order, payment, fulfillment, count in rows:
        print(f"{order:21}{payment:16}{fulfillment:14}{count:>7}")
    print(f"\n{'MONEY':21}{'our events':>18}{'outside world':>18}")
    for kind, sums in summary.ours.items():
        for currency, amount in sums.items():
            theirs = summary.theirs.get(kind, {}).get(currency, 0)
            same = "equal" if amount == theirs else "DIFFERENT"
            print(f"{kind + ' ' + currency:21}{amount / 100:>18,.2f}{theirs / 100:>18,.2f}  {same}")
    stock = summary.stock
    print(
        f"\nstock     {stock['received']:,} units received = {stock['on hand']:,} on hand + {stock['shipped']:,} shipped"
    )
    print("people    " + ", ".join(f"{count} {what}" for what, count in summary.people.items()))
    print(f"outside   {sum(summary.faults.values())} injected faults (lost answers, errors), all healed")
    print(f"events    {summary.events:,}")
    print(
        f"speed     {summary.ended} orders in {summary.seconds:.1f} s, {summary.ended / summary.seconds:.0f} a second"
    )


def _next_steps(folder: Path) -> str:
    called = program()
    where = f"--data-dir {shlex.quote(str(folder))}"
    return (
        "\nLook further (the database starts by itself):\n"
        f"  {called} orders show NW-10248 {where}\n"
        f"  {called} orders list --stage cancelled {where}\n"
        f"  {called} stock show {where}\n"
        f"  {called} doctor {where}"
    )
