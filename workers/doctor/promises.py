"""Promises that a few rows of a live system can show broken, or soon to be."""

from collections.abc import Iterator

from workers.bootstrap import Runtime, Strain
from workers.doctor.findings import Finding

LONG_TRANSACTION_S = 60.0
SHARE = 0.9
NOTIFY_SHARE = 0.1


def examine(runtime: Runtime) -> Iterator[Finding]:
    """The append-only log, the readers' mark, the bounds."""
    diagnosis = runtime.diagnosis()
    yield _append_only(guarded=diagnosis.is_append_only())
    strain = diagnosis.strain()
    yield _mark(strain)
    yield _transactions(strain)
    yield _connections(strain)
    if strain.notify_queue > NOTIFY_SHARE:
        why = f"the server's notification queue is {strain.notify_queue:.0%} full; a full one fails commits"
        fix = "end the session that listens and does not read (pg_stat_activity)"
        yield Finding(check="notifications", state="warn", why=why, fix=fix)


def _append_only(*, guarded: bool) -> Finding:
    if guarded:
        why = "the events table refuses UPDATE, DELETE and TRUNCATE"
        return Finding(check="append-only", state="ok", why=why, promise="P41")
    return Finding(
        check="append-only",
        state="fail",
        why="the trigger that keeps events from being changed is gone or switched off",
        fix="ALTER TABLE events ENABLE TRIGGER events_are_for_ever;",
        promise="P41",
    )


def _mark(strain: Strain) -> Finding:
    """A transaction that was prepared and forgotten holds back every reader of the global order."""
    if strain.prepared:
        why = f"{strain.prepared} prepared transactions are left open; they may hold back every projection"
        fix = "SELECT gid FROM pg_prepared_xacts; then COMMIT or ROLLBACK PREPARED"
        return Finding(check="prepared transactions", state="warn", why=why, fix=fix, promise="P16")
    return Finding(check="prepared transactions", state="ok", why="none", promise="P16")


def _transactions(strain: Strain) -> Finding:
    if strain.oldest_transaction_s > LONG_TRANSACTION_S:
        why = f"a transaction has been open for {strain.oldest_transaction_s:.0f} s ({strain.oldest_application}); dead rows pile up"
        fix = f"SELECT pg_terminate_backend({strain.oldest_pid});"
        return Finding(check="long transactions", state="warn", why=why, fix=fix)
    return Finding(check="long transactions", state="ok", why=f"the oldest is {strain.oldest_transaction_s:.0f} s old")


def _connections(strain: Strain) -> Finding:
    why = f"{strain.connections} of {strain.max_connections}"
    if strain.connections > SHARE * strain.max_connections:
        fix = "raise max_connections, or run fewer processes"
        return Finding(check="connections", state="warn", why=why, fix=fix)
    return Finding(check="connections", state="ok", why=why)
