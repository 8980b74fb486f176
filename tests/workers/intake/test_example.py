"""The example in the documentation does what it shows."""

import runpy
from pathlib import Path

import pytest

from tests.workers.intake.world import FaultyStore, new_intake
from workers import producer
from workers.doors import DirectDoor

EXAMPLE = Path(__file__).parents[3] / "examples" / "submit_orders.py"


def test_the_example_submits_its_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    store = FaultyStore()
    monkeypatch.setattr(producer, "open_door", lambda _url: DirectDoor(new_intake(store), lambda: None))
    runpy.run_path(str(EXAMPLE))
    assert capsys.readouterr().out == "SHOP-2026-000123\n"
    assert store.orders() == ["SHOP-2026-000123"]
