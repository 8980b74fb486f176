"""The database dies, is restarted, is full of others, or is held up by them."""

import signal
from contextlib import ExitStack

from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import signals
from tests.servers.simulator import await_that

GROUP = "database"
DYING = ("error response during SSL exchange",)  # libpq of a server that is going down or coming up
LAG = "SELECT coalesce(max(position), 0) - (SELECT coalesce(min(position), 0) FROM checkpoints) FROM events"


@row("F14", "kill -9 of one PostgreSQL backend", group=GROUP)
def a_backend_dies(run: Run) -> None:
    with run.load(60, seconds=2):
        for _ in range(3):
            run.last(run.chance.uniform(0.2, 0.6))
            await_that(lambda: bool(run.ask("SELECT 1")), within_s=20)
            run.struck(run.shop.cluster.kill_backend())


@row("F15", "stop -m immediate, and start", group=GROUP, errors=DYING)
def stopped_immediately(run: Run) -> None:
    with run.load(60, seconds=2):
        for _ in range(2):
            run.await_begun(5)
            run.shop.cluster.stop(immediate=True)
            run.struck()
            run.shop.cluster.start()


@row("F15b", "stop -m fast, and start", group=GROUP)
def stopped_fast(run: Run) -> None:
    with run.load(40):
        run.await_begun(5)
        run.shop.cluster.stop()
        run.struck()
        run.last(1)
        run.shop.cluster.start()


@row("F16", "kill -9 of the postmaster, restarted among its orphans", group=GROUP, errors=DYING)
def the_postmaster_dies(run: Run) -> None:
    with run.load(60, seconds=2):
        for _ in range(2):
            run.await_begun(5)
            run.shop.cluster.kill()
            run.struck()
            run.shop.cluster.start()


@row("F9", "SIGTERM while the database is down", group=GROUP, errors=("drain",))
def asked_to_leave_without_a_database(run: Run) -> None:
    with run.load(30):
        run.await_begun(5)
        run.shop.cluster.stop(immediate=True)
        for name in ("worker-1", "relay", "projector"):
            role = run.shop.role(name)
            role.ask(signal.SIGTERM)
            run.struck()
            code = role.wait(14)  # the time of grace is 10 s
            assert code in {0, 1}, f"{name} ended with {code}"
        run.shop.cluster.start()
        for name in ("worker-1", "relay", "projector"):
            run.shop.role(name).start()


@row("F21", "others have taken every connection", group=GROUP, errors=("too many", "FATAL"))
def crowded_out(run: Run) -> None:
    run.shop.role("worker-1").kill()
    with run.load(30), run.shop.cluster.crowded() as taken:
        run.shop.role("worker-1").start()
        run.struck(taken)
        run.last(2)
    run.notes.append("a worker started among them")


@row("F22", "every connection of the pools is taken for a second at a time", group=GROUP)
def pools_are_exhausted(run: Run) -> None:
    run.arm(f"holding_connection:sleep(1)@15%;seed={run.seed}")
    run.submit(30)
    run.await_closed(0.9)


@row("F31", "a stranger writes and does not commit, in this database and in another", group=GROUP)
def a_stranger_holds_its_transaction(run: Run) -> None:
    cluster = run.shop.cluster
    with ExitStack() as stack:
        for database in ("orderwright", "postgres"):
            stack.enter_context(cluster.idle_writer(database))
            run.struck()
        run.submit(30)
        await_that(run.shop.observer.is_quiet, within_s=20)
        rows = run.ask(LAG)
        assert rows, "the database did not answer"
        assert rows[0][0] == 0, f"the read models are {rows[0][0]} positions behind"
    with cluster.ask() as connection:
        connection.execute("DROP TABLE a_strangers")


@row("F31b", "one of ours holds the lock of the global order, and is cut off by a time-out", group=GROUP)
def one_of_ours_hangs(run: Run) -> None:
    run.arm("before_stock_commit:hang@1", "worker-1")
    run.shop.role("worker-2").kill()
    with run.load(30):
        run.await_fired(1)
    run.shop.role("worker-2").start()
    run.last(2)
    run.kill("worker-1")


@row("F85", "the sessions that listen for wake-ups are ended", group=GROUP)
def nobody_listens(run: Run) -> None:
    with run.load(40, seconds=2):
        for _ in range(4):
            run.last(0.4)
            run.struck(run.shop.cluster.terminate_backends("orderwright-messaging%"))
    assert run.injected, "no session of the broker was found"


@row("F17", "a restart every few seconds for a minute", group=GROUP, level="N", outage_s=30, errors=DYING)
def restarted_again_and_again(run: Run) -> None:
    cluster = run.shop.cluster
    with run.load(400, seconds=50):
        for number in range(10):
            run.last(run.chance.uniform(2, 7))
            (cluster.kill, lambda: cluster.stop(immediate=True), cluster.stop)[number % 3]()
            run.struck()
            cluster.start()


@row("F18", "a restart of the database in the midst of recovery", group=GROUP, level="N", errors=DYING)
def during_recovery(run: Run) -> None:
    with run.load(60, seconds=2):
        for point in ("before_orphans", "after_wake_before_publish", "before_register", "before_disown", "after_sweep"):
            run.await_begun(3)
            victim = "relay" if point in {"before_orphans", "after_wake_before_publish"} else "worker-1"
            run.arm(f"{point}:sleep(0.5)", victim)
            run.kill("worker-2")
            run.last(0.3)
            run.shop.cluster.kill()
            run.struck()
            run.shop.cluster.start()


@row("F20", "every session is terminated each second", group=GROUP, level="N")
def terminated_each_second(run: Run) -> None:
    with run.load(200, seconds=15):
        for _ in range(15):
            run.last(1)
            run.struck(run.shop.cluster.terminate_backends())


@row("F24", "the database is frozen for 15 s", group=GROUP, level="N", outage_s=40)
def frozen(run: Run) -> None:
    with run.load(60, seconds=2):
        run.await_begun(5)
        with run.shop.cluster.frozen():
            run.struck()
            run.last(15)


@row("F32", "a long read-only transaction under load", group=GROUP, level="N")
def a_long_reader(run: Run) -> None:
    with run.load(400, seconds=15), run.shop.cluster.long_reader():
        run.struck()
        run.await_closed(0.8)


@row(
    "F33",
    "VACUUM FULL and a new index under load",
    group=GROUP,
    level="N",
    errors=("deadlock detected", "lock timeout"),
    outage_s=30,
)
def rebuilt_under_load(run: Run) -> None:
    with run.load(200, seconds=8), run.shop.cluster.ask() as connection:
        run.await_begun(10)
        for statement in (
            "VACUUM FULL events",
            "VACUUM FULL step_runs",
            "REINDEX TABLE events",
            "CREATE INDEX a_strangers ON events (type)",
            "DROP INDEX a_strangers",
        ):
            connection.execute(statement.encode())
            run.struck()


@row("F57", "a stored event is damaged: the doctor names its position", group=GROUP, level="N")
def damaged(run: Run) -> None:
    run.submit(10)
    run.await_closed(1)
    with run.shop.cluster.ask() as connection:
        found = connection.execute(
            "SELECT position, data FROM events WHERE type = 'OrderPlaced' ORDER BY position DESC LIMIT 1"
        ).fetchone()
        assert found is not None
        position, data = found
        before = connection.execute("SELECT max(position) FROM events WHERE position < %s", [position]).fetchone()
        assert before is not None
        connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        try:
            connection.execute("UPDATE events SET data = data - 'lines' WHERE position = %s", [position])
            run.struck()
            said = run.shop.command_line.read("doctor", "--verify-all")
            assert f"after position {before[0]} " in said, f"the doctor does not name the place: {said[-500:]}"
        finally:
            from psycopg.types.json import Jsonb

            connection.execute("UPDATE events SET data = %s WHERE position = %s", [Jsonb(data), position])
            connection.execute("ALTER TABLE events ENABLE TRIGGER USER")


@row(
    "F88",
    "file descriptors are exhausted",
    group=GROUP,
    level="N",
    errors=("Too many open files", "Traceback", "EMFILE"),
)
def no_descriptors(run: Run) -> None:
    import resource

    with run.load(40, seconds=2):
        run.await_begun(3)
        pid = run.shop.role("worker-1").pid
        used = signals.open_files(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, used + 4096))
        run.struck()
        run.shop.cluster.terminate_backends()
        run.last(3)
        if signals.state(pid):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, used + 4096))
        run.last(1)
