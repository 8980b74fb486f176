"""More than it can carry, and processes that run out of something."""

import fcntl
import os
import resource
from typing import TYPE_CHECKING

from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import signals
from tests.servers.simulator import await_that

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "capacity"


@row(
    "F6", "a worker runs out of memory", group=GROUP, level="N", errors=("MemoryError", "Traceback", "memory", "thread")
)
def out_of_memory(run: Run) -> None:
    with run.load(100, seconds=3):
        run.await_begun(5)
        for name in ("worker-1", "worker-2"):
            pid = run.shop.role(name).pid
            resource.prlimit(pid, resource.RLIMIT_AS, (signals.address_space(pid), resource.RLIM_INFINITY))
            run.struck()
            run.last(2)
            if signals.state(pid):
                run.kill(name)


@row("F89", "nobody reads the log: the pipe is full", group=GROUP, level="N")
def log_is_full(run: Run) -> None:
    role, pipe = run.shop.role("worker-1"), run.shop.folder / "full.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    role.kill()
    log, role.log = role.log, pipe
    role.start()
    run.struck()
    run.submit(150, seconds=3)
    run.await_closed(1)
    role.kill()
    os.close(reader)
    role.log = log
    role.start()


@row("F94", "more orders than can be carried, for a while", group=GROUP, level="N", outage_s=30)
def overload(run: Run) -> None:
    with run.load(2000, seconds=4):
        run.struck(2000)
    await_that(lambda: run.closed() == 2000, within_s=120)


@row("F95", "a backlog of two thousand orders, then start", group=GROUP, level="N", outage_s=60)
def backlog(run: Run) -> None:
    for role in run.shop.workers():
        role.kill()
    run.submit(2000, seconds=1)
    run.struck(2000)
    before = 0.0
    for role in run.shop.workers():
        role.start()
    await_that(lambda: run.closed() >= 200, within_s=60)
    before = max(signals.resident_mb(role.pid) for role in run.shop.workers())
    await_that(lambda: run.closed() == 2000, within_s=150)
    after = max(signals.resident_mb(role.pid) for role in run.shop.workers())
    run.notes.append(f"resident {before:.0f} MB at the beginning, {after:.0f} MB at the end")


def swarm(run: Run) -> None:
    cluster, shop = run.shop.cluster, run.shop
    shop.behave(faults={"drop_after": 0.05, "error_after": 0.03, "garbage": 0.02})

    def freeze() -> None:
        with signals.frozen([shop.role("worker-2").pid]):
            run.last(4)

    def restart() -> None:
        cluster.kill()
        cluster.start()

    faults: dict[str, Callable[[], object]] = {
        "kill worker": lambda: run.kill(run.chance.choice(["worker-1", "worker-2"])),
        "kill relay": lambda: run.kill("relay"),
        "kill projector": lambda: run.kill("projector"),
        "kill simulator": lambda: signals.kill(shop.simulator.pid),
        "terminate sessions": cluster.terminate_backends,
        "freeze worker": freeze,
        "restart database": restart,
    }
    chosen = [run.chance.choice(list(faults)) for _ in range(12)]
    run.notes.append(", ".join(sorted(set(chosen))))
    with run.load(200, seconds=15):
        for name in chosen:
            run.last(run.chance.uniform(0.3, 1.5))
            faults[name]()
            run.struck()
    run.await_closed(0.9)


for letter in ("", "b", "c", "d", "e"):  # chance depends on the number of the row
    row(f"F100{letter}", "several faults at once, by chance", group=GROUP, level="N", outage_s=60)(swarm)
