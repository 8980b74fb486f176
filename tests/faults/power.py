"""A disk that loses power: what was written and not synchronized is gone, as after a real power cut.

It is an ext4 file system in a file, which only root can mount. Its `shutdown` call stops it at one instant without letting the journal
out: from then on nothing reaches the file, every write and every synchronization fails, and so nobody can promise anything any more.
The journal's own interval is set so high that only a synchronization brings data to the file.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.simulator import await_that

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_THE_JOURNAL = struct.pack("I", 2)
OPTIONS = "loop,commit=300"
GONE_S = 30.0


def why_not() -> str:
    """Why no disk can lose power here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can mount a disk that loses power"
    if shutil.which("mkfs.ext4", path=_path()) is None:
        return "mkfs.ext4 is not installed"
    return "" if os.access("/dev/loop-control", os.W_OK) else "there are no loop devices"


class Disk:
    """Mounted at a folder."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image
        self._canary = folder / "unsynchronized"

    def synchronize(self) -> None:
        """What is there now was written long ago."""
        _run("sync", "--file-system", str(self.folder))

    def lose_power(self) -> None:
        """At this instant. Something that nobody synchronized was written just before."""
        self._canary.write_text("gone", encoding="ascii")
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, WITHOUT_THE_JOURNAL)
        finally:
            os.close(folder)

    def restore_power(self) -> None:
        """As after a boot: everybody who had a file open must be gone, and the journal is played back."""
        await_that(lambda: _run("umount", str(self.folder), check=False) == 0, within_s=GONE_S)
        self.mount()
        assert not self._canary.exists(), "the disk has kept what nobody synchronized"

    def mount(self) -> None:
        _run("mount", "-o", OPTIONS, str(self._image), str(self.folder))


@contextmanager
def disk(image: Path, folder: Path, megabytes: int) -> Iterator[Disk]:
    """A new one; it is gone with all that it held at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    made = Disk(image, folder)
    made.mount()
    try:
        yield made
    finally:
        _run("umount", "--lazy", str(folder), check=False)
        image.unlink()


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _run(*command: str, check: bool = True) -> int:
    environment = {**os.environ, "PATH": _path()}
    return subprocess.run(command, check=check, capture_output=True, timeout=30, env=environment).returncode
