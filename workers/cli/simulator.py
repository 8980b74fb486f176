"""`orderwright simulator`: the outside world, played."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Misconfigured
from workers.cli.app import app
from workers.cli.command import Cli, command
from workers.cli.failures import Usage
from workers.cli.roles import WithParent
from workers.cli.signals import stop_with_parent

if TYPE_CHECKING:
    from workers.health import Heartbeat, Silent
    from workers.simulator import Behaviour


@command(app, "simulator")
def simulator(  # noqa: PLR0913, PLR0917 - one option each
    cli: Cli,
    ledger: Annotated[
        Path | None, typer.Option(help="SQLite file with the books (default: ledger.db in --data-dir)")
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen at; whoever reaches it rules this world")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port there; 0 takes any free one", min=0, max=65535)] = 0,
    port_file: Annotated[Path | None, typer.Option(help="where to write the port once it listens")] = None,
    seed: Annotated[int, typer.Option(help="decides every chance")] = 0,
    latency_ms: Annotated[int | None, typer.Option(help="fixed delay of every answer", min=0)] = None,
    behaviour: Annotated[str, typer.Option(help="behaviour as JSON; GET /control shows all its fields")] = "{}",
    *,
    exposed: Annotated[
        bool, typer.Option("--exposed", help="yes, other machines may reach it (it has no lock)")
    ] = False,
    with_parent: WithParent = False,
) -> None:
    """Play payment gateway, carrier, mail and risk service over HTTP, with books of their own."""
    cli.start_logging()
    _refuse_exposure(host, exposed=exposed)
    _need_httptools()
    from workers.simulator import SimulatorConfig, serve
    from workers.simulator.ledger import LedgerInUse

    books = ledger or cli.settings.data_dir / "ledger.db"
    books.parent.mkdir(parents=True, exist_ok=True)
    wanted = _behaviour(behaviour, latency_ms)
    pulse = _pulse(cli)
    if with_parent:
        stop_with_parent()
    try:
        serve(
            SimulatorConfig(
                ledger=books, host=host, port=port, port_file=port_file, seed=seed, behaviour=wanted, pulse=pulse
            )
        )
    except LedgerInUse as error:
        raise Misconfigured(str(error)) from None
    finally:
        pulse.close()


def _refuse_exposure(host: str, *, exposed: bool) -> None:
    from workers.bootstrap import is_this_machine

    if not exposed and not is_this_machine(host):
        raise Usage(
            f"{host}: other machines could reach it, and it asks nobody who they are; say --exposed if that is meant"
        )


def _pulse(cli: Cli) -> "Heartbeat | Silent":
    from workers.health import Heartbeat, Silent

    folder = cli.settings.runtime_dir
    return Silent() if folder is None else Heartbeat(folder, "simulator", live_s=cli.settings.stuck_s)


def _behaviour(text: str, latency_ms: int | None) -> "Behaviour":
    import json

    from pydantic import ValidationError

    from workers.simulator import Behaviour

    try:
        wanted = json.loads(text)
        if latency_ms is not None:
            wanted["latency"] = {"fixed_ms": latency_ms}
        return Behaviour.model_validate_json(json.dumps(wanted))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Usage(f"--behaviour: {'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}") from None
    except (ValueError, TypeError) as error:
        raise Usage(f"--behaviour is no JSON object: {error}") from None


def _need_httptools() -> None:
    try:
        import httptools  # noqa: F401 - only whether it is there
    except ImportError:
        raise Misconfigured("the simulator needs httptools: pip install 'orderwright[simulator]'") from None
