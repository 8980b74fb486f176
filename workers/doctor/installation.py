"""What this installation is made of: the interpreter, the gateway, the server, the schema, the broker, the read models, the work."""

import platform
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from domain.errors import StoreUnavailable
from workers.bootstrap import DEAD_QUEUE, QUEUES, Runtime
from workers.doctor.findings import Finding, State
from workers.rebuild import audit

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 140_000
LONG_DUE_S = 60.0
LONG_LAG_S = 30.0
FULL_QUEUE = 10_000
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


def python() -> Finding:
    """The interpreter."""
    good = sys.version_info[:2] >= OLDEST_PYTHON
    return Finding(check="python", state="ok" if good else "fail", why=platform.python_version())


def gateway(runtime: Runtime) -> Finding:
    """The outside world answers."""
    url = runtime.settings.gateway_url
    if not url:
        return Finding(
            check="gateway",
            state="warn",
            why="gateway_url is not set, so no worker can start here",
            fix="set ORDERWRIGHT_GATEWAY_URL; `orderwright simulator` plays one",
        )
    trouble = runtime.gateway_trouble()
    if trouble:
        return Finding(check="gateway", state="fail", why=trouble, fix=f"start what listens at {url}")
    return Finding(check="gateway", state="ok", why=url)


def database(runtime: Runtime) -> Iterator[Finding]:
    """The server, and whether a commit survives a crash."""
    server = runtime.diagnosis().server()
    embedded = "embedded" if runtime.settings.database_url is None else "yours"
    supported = server.version_number >= OLDEST_POSTGRES
    yield Finding(
        check="database",
        state="ok" if supported else "fail",
        why=f"PostgreSQL {server.version} ({embedded})",
        fix="" if supported else "upgrade to PostgreSQL 14 or newer",
    )
    if server.is_standby:
        yield Finding(check="database", state="fail", why="it is a standby and takes no writes", fix="name the primary")
    yield from _pooler(runtime)
    yield from _replica(runtime)
    for name in DURABLE:
        value = getattr(server, name)
        state: State = "fail" if value == "off" else "ok"
        fix = f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();" if value == "off" else ""
        yield Finding(check=name, state=state, why=value, fix=fix, promise="P5")


def _replica(runtime: Runtime) -> Iterator[Finding]:
    """How far behind the replica is, if there is one."""
    fix = "look at pg_stat_replication on the primary; until then read models are read there"
    try:
        found = runtime.replica_lag()
    except StoreUnavailable as error:
        yield Finding(check="replica", state="warn", why=str(error), fix=fix)
        return
    if found is None:
        return
    is_standby, lag_s = found
    if not is_standby:
        why = "replica_url leads to a server that is no standby"
        yield Finding(check="replica", state="warn", why=why, fix="name a standby, or unset ORDERWRIGHT_REPLICA_URL")
    elif lag_s is None or lag_s > runtime.settings.replica_lag_s:
        why = "never replayed anything" if lag_s is None else f"{lag_s:.1f} s behind"
        yield Finding(check="replica", state="warn", why=why, fix=fix)
    else:
        yield Finding(check="replica", state="ok", why=f"{lag_s:.1f} s behind")


def _pooler(runtime: Runtime) -> Iterator[Finding]:
    match runtime.pooler():
        case "in the way":
            why = "a connection pooler is in the way: leases end by expiry only, wake-ups are polled for, no migrations or replays"
            yield Finding(check="pooler", state="warn", why=why, fix="set ORDERWRIGHT_DIRECT_URL to the way past it")
        case "passed by":
            yield Finding(check="pooler", state="ok", why="direct_url leads past it")
        case "none":
            pass


def migrations(runtime: Runtime) -> Iterator[Finding]:
    """The schema is up to date."""
    pending = runtime.migrations().check()
    if pending:
        yield Finding(
            check="migrations", state="fail", why=f"pending: {', '.join(pending)}", fix="orderwright migrate up"
        )
        return
    yield Finding(check="migrations", state="ok", why="up to date")
    yield Finding(check="pgmq", state="ok", why=runtime.diagnosis().pgmq())


def broker(runtime: Runtime) -> Iterator[Finding]:
    """The queues are there and are not growing."""
    kind = runtime.settings.broker_url.get_secret_value().partition(":")[0]
    yield from _wire(runtime)
    with runtime.broker().publisher() as publisher:
        depths = {queue: publisher.depth(queue) for queue in (*QUEUES, DEAD_QUEUE)}
    missing = [queue for queue, depth in depths.items() if depth is None]
    full = [f"{queue} holds {depth}" for queue, depth in depths.items() if (depth or 0) > FULL_QUEUE]
    waiting = sum(depth or 0 for depth in depths.values())
    if full:
        yield Finding(check="broker", state="warn", why=f"{kind}: {', '.join(full)}", fix="start more workers")
    elif missing:
        why = f"{kind}: {len(missing)} queues are not there yet; whoever starts first makes them"
        yield Finding(check="broker", state="warn", why=why, fix="orderwright relay")
    else:
        yield Finding(check="broker", state="ok", why=f"{kind}: {len(depths)} queues, {waiting} messages")
    if depths[DEAD_QUEUE]:
        why = f"{depths[DEAD_QUEUE]} messages that could not be read wait to be stored"
        yield Finding(check="dead messages", state="warn", why=why, fix="orderwright keeper")


def _wire(runtime: Runtime) -> Iterator[Finding]:
    """Who could read along, or log in as we do."""
    settings = runtime.broker().settings
    if settings.exposed:
        why = f"orders and the password travel in the clear to {', '.join(settings.exposed)}"
        yield Finding(check="broker transport", state="warn", why=why, fix="use amqps:// (docs/operations/rabbitmq.md)")
    if settings.guests:
        why = f"logs in as guest, whose password everybody knows, at {', '.join(settings.guests)}"
        yield Finding(
            check="broker user", state="warn", why=why, fix="a user a role: orderwright broker definitions --passwords"
        )


def projections(runtime: Runtime) -> Iterator[Finding]:
    """The read models keep up."""
    for one in runtime.projections().status():
        name = f"projection {one.name}"
        if one.state == "stopped":
            yield Finding(check=name, state="fail", why=one.reason, fix=f"orderwright replay {one.name}")
        elif one.lag_s > LONG_LAG_S and one.wanted is not None:
            why = f"{one.lag_s:.0f} s behind while its {one.partitions} partitions are to become {one.wanted}, at {one.barrier}"
            fix = (
                f"orderwright projector, or orderwright projections partition {one.partitions} {one.name} to give it up"
            )
            yield Finding(check=name, state="warn", why=why, fix=fix)
        elif one.lag_s > LONG_LAG_S:
            why = f"{one.lag_events} events and {one.lag_s:.0f} s behind"
            yield Finding(check=name, state="warn", why=why, fix="orderwright projector")
        else:
            yield Finding(check=name, state="ok", why=f"at {one.position} of {one.head}{_parts(one.partitions)}")


def _parts(partitions: int) -> str:
    return f", in {partitions} partitions" if partitions > 1 else ""


def work(runtime: Runtime) -> Iterator[Finding]:
    """What is due is done."""
    diagnosis = runtime.diagnosis()
    work, letters = diagnosis.work(), diagnosis.dead_letters()
    why = f"{work.due} due, {work.later} later, {work.running} running, {work.dead} dead"
    yield Finding(check="work list", state="ok", why=why)
    if work.oldest_due_s > LONG_DUE_S:
        why = f"the oldest run has been due for {work.oldest_due_s:.0f} s"
        yield Finding(check="oldest run", state="warn", why=why, fix="orderwright worker")
    if work.orphans:
        why = f"{work.orphans} runs belong to workers that are gone"
        yield Finding(check="orphans", state="warn", why=why, fix="orderwright relay")
    state: State = "warn" if letters else "ok"
    fix = "orderwright dlq list" if letters else ""
    yield Finding(check="dead letters", state=state, why=str(letters), fix=fix)


def orders(runtime: Runtime) -> Iterator[Finding]:
    """Every open order has something that will move it."""
    found: list[Any] = list(islice(audit(runtime.store(), runtime.policy(), runtime.diagnosis().missing), 5))
    if found:
        why = "nothing will move " + ", ".join(one.order_id for one in found)
        fix = "orderwright work audit, then orderwright work rebuild"
        yield Finding(check="audit", state="fail", why=why, fix=fix, promise="P3")
    else:
        why = "every open order has something that moves it"
        yield Finding(check="audit", state="ok", why=why, promise="P3")
