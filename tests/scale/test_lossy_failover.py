"""F37: the primary dies, and the replica that takes over misses what was committed last. What that costs, and what it does not.

Lost are commits, and with them orders that were acknowledged: the checker names them, and so does `orderwright reconcile`, as money at
the gateway that nobody here knows of. Not lost is the gateway's memory of idempotency keys: what is done again is asked for under the
same keys, so nobody is charged twice. With synchronous replication nothing is lost at all.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.chaos.load import Order, Submission, make_orders
from tests.chaos.shop import NO_PERSON_NEEDED, Plan, Shop
from tests.checker.evidence import Evidence
from tests.checker.verdict import Verdict
from tests.servers.postgres_pair import PrimaryAndReplica

ORDERS = 40
BEHAVIOUR = {**NO_PERSON_NEEDED, "reject_share": 0.0, "hard_decline_share": 0.0, "faults": {"drop_after": 0.03}}
SETTLE_S = 90

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(300)]


def plain_orders(prefix: str) -> list[Order]:
    """Without the rare goods: what is shipped then depends on the order alone, not on who came first."""
    made = make_orders(3 * ORDERS, prefix=prefix, chance=Random(7))
    return [order for order in made if all(line["sku"] != "RARE" for line in order["lines"])][:ORDERS]


def submit(shop: Shop, orders: list[Order]) -> None:
    Submission(shop.command_line, shop.history, orders, shop.folder, rate=500).finish()


@contextmanager
def open_pair_shop(folder: Path, pair: PrimaryAndReplica) -> Iterator[Shop]:
    plan = Plan(dsn=pair.dsn, settings={"ORDERWRIGHT_LEASE_S": "3"}, behaviour=BEHAVIOUR)
    shop = Shop(folder, pair.primary, Random(3), plan)
    try:
        shop.start()
        shop.stock_up(orders=3 * ORDERS)
        yield shop
    except BaseException:
        shop.keep_evidence()
        raise
    finally:
        shop.close()


def captures(evidence: Evidence) -> Counter[str]:
    return Counter(row["key"] for row in evidence.books("captures"))


def lost_orders(verdict: Verdict) -> set[str]:
    [findings] = [judgement.findings for judgement in verdict.judgements if judgement.name == "K1"]
    return {order_id for order_id, _ in findings}


def differences(shop: Shop) -> list[dict[str, str]]:
    """What `orderwright reconcile` lists."""
    said = shop.command_line.read("reconcile", "--json", "--patience", "0")
    return list(json.loads(said[said.index("[") : said.rindex("]") + 1]))


def fail_over(shop: Shop, pair: PrimaryAndReplica, orders: Sequence[Order]) -> None:
    """While orders are being worked on, and once some of them have been paid for."""
    shop.await_progress(placed=len(orders), closed=len(orders) - ORDERS + ORDERS // 4)
    pair.kill_primary()
    pair.promote()


def test_what_an_asynchronous_replica_misses_is_named_and_nothing_is_captured_again(
    tmp_path: Path, pair: PrimaryAndReplica
) -> None:
    kept, lost, after = plain_orders("KEPT"), plain_orders("LOST"), plain_orders("AFTER")
    with open_pair_shop(tmp_path, pair) as shop:
        submit(shop, kept)
        shop.await_progress(placed=ORDERS, closed=1)
        pair.await_replica()
        pair.cut_replica()
        submit(shop, lost)
        fail_over(shop, pair, [*kept, *lost])
        submit(shop, after)
        shop.settle(within_s=SETTLE_S)
        check_the_bound(shop, {order["order_id"] for order in lost})

        submit(shop, lost)
        shop.settle(within_s=SETTLE_S)
        _, verdict = shop.judge()
        assert verdict.valid, verdict.as_text()
        assert differences(shop) == [], "submitted again, they find their own payments"


def check_the_bound(shop: Shop, missing: set[str]) -> None:
    evidence, verdict = shop.judge()
    assert lost_orders(verdict) == missing, "the loss bound: what was acknowledged after the replica was cut off"
    assert verdict.counts["closed"] == 2 * ORDERS, "everything else went its way"
    charged = {row["order_id"] for row in evidence.books("captures")} & missing
    assert charged, "nothing was paid for in the lost time, so this proves nothing"
    listed = differences(shop)
    assert charged <= {one["order_id"] for one in listed if one["kind"] == "unknown here"}
    assert {one["order_id"] for one in listed} <= missing, "no other order differs from the gateway's books"
    assert set(captures(evidence).values()) == {1}, "captured once, whoever asked how often"


def test_with_a_synchronous_replica_nothing_that_was_acknowledged_is_lost(
    tmp_path: Path, pair: PrimaryAndReplica
) -> None:
    pair.primary.alter(synchronous_standby_names="*", synchronous_commit="remote_apply")
    orders = plain_orders("SAFE")
    with open_pair_shop(tmp_path, pair) as shop:
        submit(shop, orders)
        fail_over(shop, pair, orders)
        shop.settle(within_s=SETTLE_S)
        _, verdict = shop.judge()
        assert verdict.valid, verdict.as_text()
        assert verdict.counts["closed"] == ORDERS
        assert differences(shop) == []
