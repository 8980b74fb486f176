"""Is this installation well? Checks that change no data, each with the command that mends what it finds.

A check that cannot be made because an earlier one failed is left out: one cause is told once. The quick ones read a few rows; the
thorough ones (`--verify-all`) read every event.
"""

from collections.abc import Callable, Iterable, Iterator

from domain.errors import OrderwrightError
from workers.bootstrap import Runtime
from workers.doctor import coordination, installation, live, promises, thorough
from workers.doctor.findings import Finding

__all__ = ["Finding", "examine"]

Progress = Callable[[int, int], object]


def examine(
    runtime: Runtime, *, verify_all: bool = False, on_progress: Progress = lambda _done, _total: None
) -> Iterator[Finding]:
    """All checks, in an order in which the first trouble is the cause."""
    yield installation.python()
    yield installation.gateway(runtime)
    cluster = list(_tried("etcd", lambda: coordination.examine(runtime), "check ORDERWRIGHT_COORDINATION_URL"))
    yield from cluster
    agreed = not any(finding.state == "fail" and finding.check == coordination.CHECK for finding in cluster)
    server = list(_tried("database", lambda: installation.database(runtime), "start PostgreSQL, or check DATABASE_URL"))
    yield from server
    if any(finding.state == "fail" and finding.check == "database" for finding in server):
        return
    schema = list(_tried("migrations", lambda: installation.migrations(runtime), "orderwright migrate up"))
    yield from schema
    yield from _tried(
        "broker", lambda: installation.broker(runtime), "start the broker, or check ORDERWRIGHT_BROKER_URL"
    )
    if any(finding.state == "fail" for finding in schema):
        return
    if agreed:
        yield from _tried("etcd epochs", lambda: coordination.epochs(runtime), "see the log")
        yield from _tried("settings", lambda: live.examine(runtime), "see the log")
    for name, check in _on_a_whole_schema(runtime, verify_all=verify_all, on_progress=on_progress):
        yield from _tried(name, check, "see the log")


def _on_a_whole_schema(
    runtime: Runtime, *, verify_all: bool, on_progress: Progress
) -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    yield "projections", lambda: installation.projections(runtime)
    yield "work", lambda: installation.work(runtime)
    yield "promises", lambda: promises.examine(runtime)
    yield "audit", lambda: installation.orders(runtime)
    if verify_all:
        yield "events", lambda: thorough.examine(runtime, on_progress)


def _tried(name: str, check: Callable[[], Iterable[Finding]], fix: str) -> Iterator[Finding]:
    try:
        yield from check()
    except OrderwrightError as error:
        yield Finding(check=name, state="fail", why=str(error), fix=fix)
