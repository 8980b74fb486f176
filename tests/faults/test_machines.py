"""The faults of machines do what they say; where there is no root or no library they are not looked at."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import disk, islands, power
from tests.faults.clocks import Clock
from tests.faults.nursery import ROOT

DIAL = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=1).close()"
FOLLOW = """
import sys, threading
from pathlib import Path
from tests.faults.clocks import follow
follow(Path(sys.argv[1]))
threading.Event().wait(60)
"""


@pytest.mark.skipif(bool(islands.why_not()), reason=islands.why_not())
def test_an_island_reaches_what_was_bridged_until_its_packets_are_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, islands.Island() as island:
        port = server.getsockname()[1]
        assert not reaches(island, port)
        island.bridge(port)
        assert reaches(island, port)
        island.lose()
        assert not reaches(island, port)
        island.heal()
        assert reaches(island, port)


def reaches(island: islands.Island, port: int) -> bool:
    command = [*island.prefix, sys.executable, "-c", DIAL, str(port)]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.skipif(bool(disk.why_not()), reason=disk.why_not())
def test_a_disk_is_full_to_the_last_byte_while_the_block_runs(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with disk.small_disk(folder, 2):
        with disk.filled(folder):
            assert disk.free_bytes(folder) == 0
            with pytest.raises(OSError, match="No space") as full:
                (folder / "more").write_bytes(b"x" * 65536)
            assert full.value.errno == errno.ENOSPC
        (folder / "more").write_bytes(b"x" * 65536)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(bool(power.why_not()), reason=power.why_not())
def test_a_disk_that_loses_power_keeps_only_what_was_synchronized(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with power.disk(tmp_path / "image", folder, 16) as plugged:
        (folder / "kept").write_text("kept")
        plugged.synchronize()
        (folder / "lost").write_text("lost")
        plugged.lose_power()
        with pytest.raises(OSError, match=r"Input/output error|Read-only"):
            (folder / "late").write_text("late")
        plugged.restore_power()
        assert (folder / "kept").read_text() == "kept"
        assert not (folder / "lost").exists()


def test_a_process_follows_a_wrong_clock_and_says_so(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    follower = subprocess.Popen([sys.executable, "-c", FOLLOW, str(tmp_path / "clock")], cwd=ROOT)
    try:
        clock.jump(3600.0)
        assert clock.seen_s() == pytest.approx(3600.0, abs=60)
        clock.jump(-3600.0)
        assert clock.seen_s() == pytest.approx(-3600.0, abs=60)
    finally:
        follower.kill()
        follower.wait(10)
