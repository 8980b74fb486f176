"""`orderwright dev`: one tree of processes that looks after itself and leaves nothing behind."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.program import Program, order_file
from tests.servers.simulator import await_that

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def children(pid: int) -> dict[int, str]:
    """The pids of all children with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid and line:
            found[int(entry.name)] = line
    return found


def roles(pid: int) -> dict[str, int]:
    return {
        line.split(" -m workers ")[1].split()[0]: child for child, line in children(pid).items() if "workers" in line
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_tree_works_heals_and_leaves_nothing_behind(alone: Program, tmp_path: Path) -> None:
    where = ("--data-dir", "data")
    with alone.running("dev", "--workers", "1", *where) as dev:
        dev.await_word("Ctrl-C ends all of it")
        order_file(tmp_path / "o.jsonl", 5)
        alone.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1", *where)
        before = roles(dev.process.pid)
        assert before.keys() == {"simulator", "worker", "relay", "intake", "projector", "keeper"}
        os.kill(before["worker"], signal.SIGKILL)
        alone.call("submit", "o.jsonl", *where)
        await_that(lambda: roles(dev.process.pid).get("worker", before["worker"]) != before["worker"])
        listed = ("orders", "list", "--stage", "closed", "--json", *where)
        await_that(lambda: len(alone.call(*listed).json()) == 5, within_s=60)
        everybody = children(dev.process.pid)
        assert dev.end(signal.SIGINT).code == 0
    assert not [line for pid, line in everybody.items() if Path(f"/proc/{pid}").exists()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_children_end_when_their_supervisor_is_killed(alone: Program) -> None:
    with alone.running("dev", "--workers", "1", "--headless", "--data-dir", "data") as dev:
        await_that(lambda: len(roles(dev.process.pid)) == 6, within_s=60)
        ours = {pid for pid, line in children(dev.process.pid).items() if "workers" in line}
        dev.process.kill()
        dev.process.wait()
        await_that(lambda: not [pid for pid in ours if _lives(pid)], within_s=60)
    alone.call("migrate", "check", "--data-dir", "data")  # adopts the server that was left, and stops it
    assert not list((alone.folder / "data" / "postgres").rglob("postmaster.pid"))


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
