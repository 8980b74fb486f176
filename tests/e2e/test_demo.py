"""The demonstration: all real orders, several real processes, and books that agree to the cent."""

import signal
from pathlib import Path

import pytest

from tests.e2e.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, dict[str, object]]:
    program = Program(tmp_path_factory.mktemp("demo"), {"DATABASE_URL": "host=127.0.0.1 port=9"})
    with program.running("demo", "--json", "--data-dir", "d", "--rate", "400") as demo:
        code = demo.process.wait(150)
        text = demo.log.read_text(encoding="utf-8")
    assert "Traceback" not in text
    report = next(line for line in text.splitlines() if line.startswith("{"))
    assert code == 0, text
    import json

    return program, json.loads(report)


def test_every_order_ends_and_the_sums_are_equal(played: tuple[Program, dict[str, object]]) -> None:
    _, report = played
    assert (report["orders"], report["ended"], report["problems"]) == (830, 830, [])
    assert report["ours"] == report["theirs"]
    assert report["people"]["cancelled"]  # type: ignore[index]
    assert report["people"]["released"]  # type: ignore[index]
    assert report["faults"]


def test_every_kind_of_end_is_there(played: tuple[Program, dict[str, object]]) -> None:
    _, report = played
    ends = {(axes["order"], axes["payment"]) for axes in report["axes"]}  # type: ignore[attr-defined]
    assert {("delivered", "paid"), ("cancelled", "none"), ("cancelled", "voided")} <= ends


def test_afterwards_the_orders_can_be_looked_at(played: tuple[Program, dict[str, object]]) -> None:
    program = Program(played[0].folder, {})
    assert program.call("orders", "show", "NW-10248", "--data-dir", "d", "--json").json()["order_id"] == "NW-10248"
    assert program.call("work", "audit", "--data-dir", "d").code == 0
    assert program.call("replay", "--verify", "--data-dir", "d").code == 0
    logs = "".join(path.read_text() for path in (program.folder / "d" / "logs").iterdir())
    assert "Traceback" not in logs
    assert not list((program.folder / "d").rglob("postmaster.pid"))


def test_a_folder_that_holds_something_else_is_left_alone(alone: Program, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    ended = alone.call("demo", "--data-dir", "mine")
    assert ended.code == 3
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_database_of_the_users_own_is_never_touched(alone: Program) -> None:
    assert alone.call("demo", "--database-url", "host=127.0.0.1 port=9").code == 2


def test_an_interrupted_demo_ends_all_it_started_and_a_second_one_is_refused_meanwhile(alone: Program) -> None:
    with alone.running("demo", "--data-dir", "d") as demo:
        demo.await_word("two warehouses")
        second = alone.call("demo", "--data-dir", "d")
        assert second.code == 3
        assert "a demo runs in" in second.err
        assert demo.end(signal.SIGINT).code == 130
    assert not list((alone.folder / "d").rglob("postmaster.pid"))
