"""Projectors die, meet each other, and are rebuilt under load: the read models are always a fold of the events."""

from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import signals
from tests.servers.simulator import await_that

GROUP = "reading"


@row("F61", "a projector dies in the midst of a page", group=GROUP)
def dies(run: Run) -> None:
    run.arm("before_checkpoint:kill@8,before_projector_commit:kill@2,projector_began:kill@5", "projector")
    run.submit(60, seconds=4)
    run.await_fired(1)
    run.await_closed(1)


@row("F62", "two projectors at once, and one of them is killed", group=GROUP)
def two(run: Run) -> None:
    second = run.shop.add("projector-2")
    second.start()
    with run.load(60, seconds=3):
        for name in ("projector", "projector-2", "projector"):
            run.last(0.7)
            run.kill(name)
    run.await_closed(1)
    assert second.stop() == 0
    run.shop.roles.remove(second)


@row(
    "F11b",
    "a projector is frozen past its lease, another goes on, and the first one wakes up",
    group=GROUP,
    errors=("lease", "projector"),
)
def frozen(run: Run) -> None:
    second = run.shop.add("projector-2")
    second.start()
    with run.load(40, seconds=2):
        run.await_begun(5)
        pid = run.shop.role("projector").pid
        signals.freeze([pid])
        run.struck()
        run.await_closed(1)
        behind = "SELECT max(position) - (SELECT min(position) FROM checkpoints) FROM events"
        await_that(lambda: run.ask(behind) == [(0,)], within_s=40)
        signals.thaw([pid])
    run.submit(20)
    run.await_closed(1)
    assert second.stop() == 0
    run.shop.roles.remove(second)


@row("F63", "a rebuild under load, killed half way and before its switch, then run to its end", group=GROUP)
def rebuilt(run: Run) -> None:
    with run.load(80, seconds=3):
        run.await_begun(10)
        for plan in ("filling:kill@2", "before_switch:kill", "before_switch_commit:kill@2"):
            code = run.shop.command_line.begin("replay", **run.fail_points(plan)).wait(60)
            assert code == -9, f"the rebuild ended with {code}"
        assert run.command("replay") == 0
    run.await_closed(1)
    assert run.command("replay", "--verify") == 0


@row("F65", "a read model is changed by hand: the check finds it, a rebuild mends it", group=GROUP, level="N")
def tampered(run: Run) -> None:
    run.submit(20)
    run.await_closed(1)
    await_that(run.shop.observer.is_quiet, within_s=20)
    with run.shop.cluster.ask() as connection:
        connection.execute("UPDATE order_summary_v1 SET stage = 'held' WHERE order_id LIKE 'F65-%'")
        run.struck()
    assert run.command("replay", "--verify") == 1
    assert run.command("replay", "order_summary") == 0
    assert run.command("replay", "--verify") == 0


@row(
    "F64",
    "an unknown event stops a rebuild, which names its position; the old read model serves",
    group=GROUP,
    level="N",
    errors=("projection.stopped",),
)
def unknown_event(run: Run) -> None:
    run.submit(10)
    run.await_closed(1)
    await_that(run.shop.observer.is_quiet, within_s=20)
    run.shop.role("projector").kill()
    with run.shop.cluster.ask() as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        last = "SELECT max(position) FROM events WHERE type = 'OrderPlaced'"
        found = connection.execute(last).fetchone()
        assert found is not None
        position = found[0]
        try:
            connection.execute("UPDATE events SET type = 'FromTheFuture' WHERE position = %s", [position])
            run.struck()
            said = run.shop.command_line.read("replay")
            assert "FromTheFuture" in said, said[-500:]
        finally:
            connection.execute("UPDATE events SET type = 'OrderPlaced' WHERE position = %s", [position])
            connection.execute("ALTER TABLE events ENABLE TRIGGER USER")
    run.shop.role("projector").start()


@row("F35", "the derivation of the work list is killed, with rows missing, and run again", group=GROUP)
def work_rebuilt(run: Run) -> None:
    with run.load(30, seconds=2):
        run.await_begun(5)
        with run.shop.cluster.ask() as connection:
            gone = connection.execute("DELETE FROM step_runs WHERE state = 'ready' AND step = 'authorize'").rowcount
            run.struck(max(1, gone))
        code = run.shop.command_line.begin("work", "rebuild", **run.fail_points("rebuilding_work:kill")).wait(60)
        assert code == -9, f"it ended with {code}"
    assert run.command("work", "rebuild") == 0
    run.await_closed(1)
