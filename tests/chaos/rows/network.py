"""Between the processes: silence, lost answers, cuts, slowness. Worker-1 and the relay reach everything through the proxies."""

from tests.chaos.groups import LEASE_S
from tests.chaos.matrix import row
from tests.chaos.run import Run

GROUP = "network"


@row("F19", "the answer to a commit is lost", group=GROUP)
def lost_answers(run: Run) -> None:
    proxy = run.shop.proxies["database"]
    with run.load(60, seconds=3):
        for _ in range(8):
            run.last(run.chance.uniform(0.1, 0.3))
            proxy.one_way()
            run.last(0.05)
            proxy.heal()
            run.struck()


@row("F19b", "the connection is cut within an answer", group=GROUP)
def cut_answers(run: Run) -> None:
    proxy = run.shop.proxies["database"]
    with run.load(60, seconds=3):
        for _ in range(10):
            before = proxy.cut
            proxy.cut_after(run.chance.randrange(10, 3000))
            run.last(0.25)
            proxy.heal()
            run.struck(proxy.cut - before)


@row("F25", "a worker is cut off from the database in silence; another takes over", group=GROUP)
def partitioned(run: Run) -> None:
    proxy = run.shop.proxies["database"]
    run.shop.behave(latency={"fixed_ms": 300})
    with run.load(40):
        run.await_begun(1)
        took = run.take_over_s("worker-1", proxy.blackhole, within_s=3 * LEASE_S)
        run.struck()
        run.await_closed(0.9)
        proxy.heal()
    assert took <= LEASE_S + 2.5, f"taken over only after {took:.1f} s"


@row("F27", "requests arrive, answers are lost, for a while", group=GROUP, level="N")
def asymmetric(run: Run) -> None:
    proxy = run.shop.proxies["database"]
    with run.load(60, seconds=4):
        for _ in range(3):
            proxy.one_way()
            run.struck()
            run.last(2)
            proxy.heal()
            run.last(0.5)


@row("F28", "resets in mid result, again and again", group=GROUP, level="N")
def reset(run: Run) -> None:
    proxy = run.shop.proxies["database"]
    with run.load(100, seconds=6):
        for _ in range(30):
            run.last(0.2)
            run.struck(proxy.reset())


@row("F23", "every statement of a worker takes 200 ms longer", group=GROUP, level="N")
def slow(run: Run) -> None:
    run.shop.proxies["database"].delay(0.1)
    run.struck()
    run.submit(60, seconds=2)
    run.await_closed(1, within_s=60)


@row("F66b", "the way to the gateway is silent", group=GROUP)
def silent_gateway(run: Run) -> None:
    run.shop.role("worker-2").kill()
    with run.load(40):
        run.await_begun(1)
        run.shop.proxies["gateway"].blackhole()
        run.struck()
        run.last(3)
        run.shop.proxies["gateway"].heal()


@row("F71b", "answers of the gateway are cut off", group=GROUP)
def cut_gateway(run: Run) -> None:
    proxy = run.shop.proxies["gateway"]
    run.shop.role("worker-2").kill()
    with run.load(40, seconds=2):
        for _ in range(10):
            before = proxy.cut
            proxy.cut_after(run.chance.randrange(1, 400))
            run.last(0.2)
            run.struck(proxy.cut - before)
        proxy.heal()
