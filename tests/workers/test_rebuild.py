"""Deriving the work list while others append."""

import pytest

from domain.errors import StoreUnavailable
from tests.workers.shop import PostgresShop
from workers import rebuild
from workers.rebuild import Rebuilt


def test_appends_that_are_under_way_hide_no_order_from_a_rebuild(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("o1", "o2")
    shop.store.sql("DELETE FROM step_runs")
    not_yet, mark = [0, 0], shop.store.low_water_mark
    monkeypatch.setattr(shop.store, "low_water_mark", lambda: not_yet.pop() if not_yet else mark())
    assert rebuild.rebuild(shop.store, shop.policy) == Rebuilt(orders=2, wanted=2, missing=2)


def test_a_rebuild_says_so_when_an_append_never_ends(shop: PostgresShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.place("o1")
    monkeypatch.setattr(shop.store, "low_water_mark", lambda: 0)
    monkeypatch.setattr(rebuild, "PATIENCE_S", 0.1)
    with pytest.raises(StoreUnavailable):
        rebuild.rebuild(shop.store, shop.policy)
