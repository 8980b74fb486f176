"""etcd fails, where leases and live settings are: orders go on by the last good settings, and read models when there are leases again."""

from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.servers.simulator import await_that

GROUP = "coordination"


def set_batch(run: Run, size: int) -> int:
    """The exit code of the command that sets it."""
    return run.command("settings", "set", f"batch={size}", "--reason", "a row of the fault matrix")


@row("F87", "the store of settings and leases loses its leader, then two of its three members", group=GROUP, level="N")
def members_fail(run: Run) -> None:
    etcd = run.etcd
    assert etcd is not None
    with run.load(120, seconds=8):
        run.await_begun(5)
        for harm in ("kill", "freeze", "cut_off"):
            getattr(etcd.leader(), harm)()
            run.struck()
            assert set_batch(run, 50 + run.injected) == 0
            etcd.recover()
        for member in etcd.members[:2]:
            member.kill()
            run.struck()
        assert set_batch(run, 10) != 0
        run.last(3.0)
        etcd.recover()
    run.await_closed(1)
    await_that(lambda: set_batch(run, 60) == 0, within_s=30)
    await_that(run.shop.observer.is_quiet, within_s=30)
