"""One `dev` or demo in a folder."""

import fcntl
from pathlib import Path

import pytest

from domain.errors import Misconfigured
from workers.demo.folder import MARK, alone_in


def test_a_second_dev_in_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(Misconfigured, match="dev runs in"), alone_in(tmp_path):
        pass


def test_when_the_first_has_ended_the_next_may_run(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        assert (tmp_path / "dev.lock").exists()


def test_a_dev_beside_a_running_demo_is_refused(tmp_path: Path) -> None:
    with (tmp_path / MARK).open("ab") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        with pytest.raises(Misconfigured, match="a demo runs in"), alone_in(tmp_path):
            pass
