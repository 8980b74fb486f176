"""Run the compose installation and the tests by testcontainers for real, on a plain Debian machine, as root and without a registry.

    sudo python tools/containers/run.py                   # needs docker.io, docker-compose, debootstrap
    sudo python tools/containers/run.py --folder /var/tmp/ow-containers       # kept for the next time

It is no part of `make test`: it starts an engine of its own, and downloads Debian packages and wheels. The images of others are
stand-ins made here (see `images.py`). Exit code 0 means that every check below held; the figures are printed as they come.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import images
from engine import Engine, files_limit
from installation import ROOT, Installation

TESTS = (
    "tests/infrastructure/postgres",
    "tests/infrastructure/messaging/test_rabbitmq_broker.py",
    "tests/servers/test_servers.py",
)


def main() -> int:
    """Everything, in order."""
    options = _options()
    with ExitStack() as stack:
        folder = Path(
            options.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="ow-containers-", dir="/var/tmp"))
        )
        engine = stack.enter_context(Engine(folder))
        _measured("base image by debootstrap", lambda: images.make_base(folder, engine.environment))
        _measured("stand-ins", lambda: images.make_stand_ins(engine.environment))
        _measured("wheels", lambda: images.fetch_wheels(options.python, engine.environment))
        _measured("our image, without a network", lambda: images.make_ours(engine.environment))
        print(images.sizes(engine.environment), flush=True)
        _compose(engine.environment, options.orders)
        return 0 if options.no_tests else _tests(engine.environment, options.python, options.tests)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="for the engine and the Debian root; kept (default: a temporary one)")
    parser.add_argument("--python", default=sys.executable, help="has pip, and for the tests what `make test` installs")
    parser.add_argument("--orders", type=int, default=400, help="in each of two rounds")
    parser.add_argument("--no-tests", action="store_true", help="compose only")
    parser.add_argument("--tests", nargs="*", default=list(TESTS), help="what runs by testcontainers")
    return parser.parse_args()


def _compose(environment: Mapping[str, str], orders: int) -> None:
    one = Installation(
        {
            **environment,
            "POSTGRES_IMAGE": images.STAND_INS["postgres"],
            "RABBITMQ_IMAGE": images.STAND_INS["rabbitmq"],
            "ETCD_IMAGE": images.STAND_INS["etcd"],
            "RABBITMQ_NOFILE": str(files_limit()),
        }
    )
    try:
        _measured("compose up, four workers, all healthy", lambda: one.up(4))
        one.cli("stock", "receive", "MAIN", "CUP-BLUE", "1000000", "--delivery", "truck-1")
        _measured(f"submit {orders} orders", lambda: one.submit("A", orders))
        _measured("until all are finished", lambda: one.await_finished(orders))
        _measured("scale to two workers", lambda: one.up(2))
        _measured(f"submit {orders} more", lambda: one.submit("B", orders))
        _measured("until all are finished", lambda: one.await_finished(2 * orders))
        print("stages:", dict(one.stages()))
        print(one.cli("broker", "check"), one.cli("reconcile"), one.cli("doctor", "--verify-all"), sep="\n", flush=True)
        _measured("compose stop", lambda: one.compose("stop", "--timeout", "60"))
        codes = one.exit_codes()
        print("exit codes:", codes, flush=True)
        if any(codes.values()):
            raise SystemExit(f"containers: not every container ended in an orderly way: {codes}")
    finally:
        one.down()


def _tests(environment: Mapping[str, str], python: str, tests: list[str]) -> int:
    told = {
        **environment,
        "ORDERWRIGHT_TEST_SERVERS": "containers",
        "ORDERWRIGHT_TEST_POSTGRES_IMAGE": images.STAND_INS["postgres"],
        "ORDERWRIGHT_TEST_RABBITMQ_IMAGE": images.STAND_INS["rabbitmq"],
        "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
    }
    return subprocess.run([python, "-m", "pytest", "-q", "-n", "0", *tests], cwd=ROOT, env=told, check=False).returncode


def _measured(what: str, do: Callable[[], object]) -> None:
    started = time.monotonic()
    do()
    print(f"{time.monotonic() - started:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
