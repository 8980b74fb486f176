"""`python -m workers.simulator`: the simulator without the rest of the program, for tests and benchmarks."""

import argparse
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from workers.simulator.behaviour import Behaviour
from workers.simulator.ledger import LedgerInUse
from workers.simulator.server import SimulatorConfig, serve


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        behaviour = _behaviour(options.config, options.latency_ms)
    except (ValueError, ValidationError) as error:
        parser.error(f"--config: {error}")
    config = SimulatorConfig(
        ledger=options.ledger,
        port=options.port,
        port_file=options.port_file,
        seed=options.seed,
        behaviour=behaviour,
    )
    try:
        serve(config)
    except (LedgerInUse, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulator", description="Plays payment gateway, carrier, mail and risk service."
    )
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file with the books; created if missing")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it listens")
    parser.add_argument("--seed", type=int, default=0, help="decides every chance")
    parser.add_argument("--latency-ms", type=int, help="fixed delay of every answer (short for a --config)")
    parser.add_argument("--config", default="{}", help="behaviour as JSON; GET /control shows all its fields")
    return parser


def _behaviour(text: str, latency_ms: int | None) -> Behaviour:
    wanted = json.loads(text)
    if latency_ms is not None:
        wanted["latency"] = {"fixed_ms": latency_ms}
    return Behaviour.model_validate_json(json.dumps(wanted))


if __name__ == "__main__":
    sys.exit(main())
