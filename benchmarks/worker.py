"""A step worker for measuring: as `orderwright worker`, but its outside world may live in its own process.

Prints `ready` when it listens, and on SIGTERM its processor time in seconds before it ends.
"""

import argparse
import resource
import signal
import sys

from infrastructure import logs
from infrastructure.gateways.inprocess import InProcessWorld
from infrastructure.settings import load
from workers.bootstrap import Runtime


def main() -> None:
    """Run one worker until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--gateway", default="", help="URL of the simulator; empty: in this process")
    parser.add_argument("--broker", default="pgmq://", help="its URL")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--threads", type=int, default=16)
    options = parser.parse_args()
    logs.configure(pretty=False, level="warning")
    flags = {
        "database_url": options.dsn,
        "broker_url": options.broker,
        "gateway_url": options.gateway or None,
        "batch": options.batch,
        "call_threads": options.threads,
        "in_flight": max(1000, 4 * options.threads),
    }
    settings, _ = load(flags, environment={})
    with Runtime(settings) as runtime:
        world = None if options.gateway else InProcessWorld().outside()
        role = runtime.step_worker(world=world)
        signal.signal(signal.SIGTERM, lambda *_: role.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        role.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{used.ru_utime + used.ru_stime:.3f}\n")


if __name__ == "__main__":
    main()
