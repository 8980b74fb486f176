"""A process that holds a lease and writes under it as fast as it can, until its standard input ends or somebody kills it.

Every write is one guarded transaction: it counts and notes its epoch and pid. It prints `holds <epoch>` when it has the lease, `refused <epoch>`
when a guard refused a write, `ended <epoch>` when the server ended the session in which it was frozen, and begins anew. The leases
are in Postgres, or in etcd. Usage: lease_holder.py DSN SECONDS [COORDINATION_URL PREFIX]
"""

import os
import sys
import threading
from contextlib import closing
from datetime import timedelta

import psycopg
import structlog

from domain.errors import StoreUnavailable
from domain.lease import LeaseLost, LeaseTable, LeaseTaken
from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.leases import EtcdLeases
from infrastructure.postgres.database import Connection, connect
from infrastructure.postgres.fences import Fences
from infrastructure.postgres.leases import PostgresLeases
from workers.leases import Lease, Leases

NAME = "the counter"
PREPARE = (
    "CREATE TABLE counter (n bigint NOT NULL)",
    "INSERT INTO counter VALUES (0)",
    "CREATE TABLE written (n bigint PRIMARY KEY, epoch bigint NOT NULL, pid integer NOT NULL)",
)
COUNT = "WITH c AS (UPDATE counter SET n = n + 1 RETURNING n) INSERT INTO written SELECT c.n, %s, %s FROM c"


def prepare(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for statement in PREPARE:
            connection.execute(statement)


def write(connection: Connection, lease: Lease) -> None:
    with connection.transaction():
        lease.guard(connection)
        connection.execute(COUNT, [lease.epoch, os.getpid()])


def say(word: str, epoch: int) -> None:
    sys.stdout.write(f"{word} {epoch}\n")
    sys.stdout.flush()


def hold(leases: Leases, connection: Connection, stop: threading.Event) -> None:
    with leases.hold(NAME, wait_s=1.0) as lease:
        say("holds", lease.epoch)
        while not stop.is_set():
            try:
                write(connection, lease)
            except LeaseLost:
                say("refused", lease.epoch)
                return
            except (psycopg.OperationalError, psycopg.InternalError):
                say("ended", lease.epoch)
                raise


def table(dsn: str, url: str, prefix: str) -> LeaseTable:
    if not url:
        return PostgresLeases(dsn)
    return EtcdLeases(Etcd(access(url, prefix=prefix)), Fences(dsn))


def work(dsn: str, leases: Leases, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with closing(connect(dsn, application="lease holder")) as connection:
                while not stop.is_set():
                    hold(leases, connection, stop)
        except (LeaseTaken, StoreUnavailable, psycopg.OperationalError, psycopg.InternalError):
            continue
    leases.close()


def main(dsn: str, seconds: str, url: str = "", prefix: str = "") -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    stop = threading.Event()
    leases = Leases(table(dsn, url, prefix), "holder", timedelta(seconds=float(seconds)))
    thread = threading.Thread(target=work, args=(dsn, leases, stop))
    thread.start()
    sys.stdin.read()
    stop.set()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
