"""Workers that die, freeze or are asked to leave at the worst moment. The gateway misbehaves a little all the while."""

import signal

from tests.chaos.groups import LEASE_S
from tests.chaos.matrix import row
from tests.chaos.run import Run
from tests.faults import signals
from tests.servers.simulator import await_that

GROUP = "workers"


@row("F1", "kill -9 between the gateway's answer and the commit", group=GROUP)
def after_the_answer(run: Run) -> None:
    run.arm(f"after_call_before_commit:kill@4%;seed={run.seed}")
    run.submit(40)
    run.await_closed(0.9)


@row("F2", "kill -9 after the intent, before the call", group=GROUP)
def before_the_call(run: Run) -> None:
    run.arm(f"after_append_before_calls:kill@15%;seed={run.seed},before_call:kill@1%")
    run.submit(40)
    run.await_closed(0.9)


@row("F3", "kill -9 after the claim, before the frame is acknowledged", group=GROUP)
def before_the_ack(run: Run) -> None:
    run.arm(f"after_claim_before_ack:kill@20%;seed={run.seed},after_ack:kill@5%")
    run.submit(40)
    run.await_closed(0.9)


@row("F4", "kill -9 in the midst of a batch, with stock locked", group=GROUP)
def within_a_batch(run: Run) -> None:
    run.arm("in_turn:kill@37,before_stock_commit:kill@4,before_append:kill@20")
    run.submit(60)
    run.await_fired(6)
    run.arm("none")
    run.await_closed(0.9)


@row("F5", "kill -9 of all workers at random times", group=GROUP)
def at_random_times(run: Run) -> None:
    with run.load(60, seconds=3):
        for _ in range(6):
            run.last(run.chance.uniform(0.2, 0.8))
            run.kill(run.chance.choice(["worker-1", "worker-2"]))


@row("F5b", "kill -9 of a worker that holds runs: its beacon is out, another takes over in 1 s", group=GROUP)
def taken_over_by_beacon(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 400})
    with run.load(40):
        run.await_begun(1)
        took = run.take_over_s("worker-1", lambda: run.kill("worker-1"))
    assert took < LEASE_S - 0.5, f"taken over only after {took:.1f} s, as if there were no beacon"


@row("F7", "an error that nobody expects in every thread of a worker", group=GROUP, errors=("Traceback", "consumer"))
def in_every_thread(run: Run) -> None:
    run.arm("before_renew:raise@2,consuming:raise@5,before_call:raise@7,after_renew:raise@3", "worker-1")
    run.arm("before_claim:raise@3,after_sweep:raise@4,before_load:raise@9", "worker-2")
    run.submit(40)
    run.await_closed(0.9)
    codes = [code for name, code in run.supervisor.codes if name.startswith("worker")]
    assert 0 not in codes, f"a worker ended as if all were well: {codes}"


@row("F8", "SIGTERM under load", group=GROUP)
def asked_to_leave(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 100})
    with run.load(60, seconds=1.5):
        for _ in range(2):
            run.await_begun(5)
            for name in ("worker-1", "worker-2", "relay", "projector"):
                code = run.shop.role(name).stop()
                run.struck()
                assert code == 0, f"{name} ended with {code}"
                run.shop.role(name).start()


@row("F10", "SIGTERM twice: an end at once", group=GROUP, errors=("grace time over",))
def asked_twice(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 3000})
    with run.load(20):
        run.await_begun(0)
        await_that(lambda: run.shop.role("worker-1").is_running())
        for name in ("worker-1", "relay"):
            role = run.shop.role(name)
            role.ask(signal.SIGTERM)
            run.last(0.3)
            role.ask(signal.SIGTERM)
            run.struck()
            code = role.wait(3)
            assert code in {0, 143, -15, 1}, f"{name} ended with {code}"


@row("F11", "SIGSTOP past the lease, another takes over, SIGCONT: the late writer is refused", group=GROUP)
def frozen_past_its_lease(run: Run) -> None:
    run.shop.behave(latency={"fixed_ms": 300})
    with run.load(40):
        run.await_begun(1)
        frozen = run.shop.role("worker-1").pid
        took = run.take_over_s("worker-1", lambda: signals.freeze([frozen]), within_s=3 * LEASE_S)
        run.struck()
        run.await_closed(0.5)
        signals.thaw([frozen])
    assert took <= LEASE_S + 2.5, f"taken over only {took:.1f} s after the freeze; the lease is {LEASE_S} s"


@row("F84", "workers in other time zones than the database", group=GROUP)
def elsewhere(run: Run) -> None:
    for name, zone in (("worker-1", "Pacific/Chatham"), ("worker-2", "America/St_Johns"), ("relay", "Asia/Kathmandu")):
        run.shop.role(name).restart(TZ=zone)
        run.struck()
    run.submit(20)


@row("F96", "kill -9 of every process at once, database included", group=GROUP)
def everything_at_once(run: Run) -> None:
    with run.load(60, seconds=2):
        run.await_begun(10)
        run.shop.cluster.kill()
        for role in [*run.shop.roles, run.shop.simulator]:
            signals.kill(role.pid)
            run.struck()
        run.struck()
        run.shop.cluster.start()
