"""A container engine of our own: dockerd, started by hand as root in a temporary folder, and ended by its pid.

It listens on a socket in that folder only, and publishes ports on 127.0.0.1 only. The bridge and its rules in the kernel are what
every dockerd makes; a second dockerd on the machine would use the same ones, so there must be none.
"""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

START_S = 60.0
STOP_S = 60.0


class Engine:
    """Runs while the block does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes `docker`, `docker-compose` and testcontainers speak to it."""
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self._folder}/docker.sock",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not shutil.which("dockerd"):
            raise SystemExit(
                "containers: needs root and dockerd (Debian: apt install docker.io docker-compose debootstrap)"
            )
        if Path("/var/run/docker.sock").is_socket():
            raise SystemExit("containers: another dockerd seems to run on this machine (/var/run/docker.sock)")
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = str(self._folder)
        command = ["dockerd", "--ip", "127.0.0.1", "-H", f"unix://{folder}/docker.sock", "--pidfile", f"{folder}/pid"]
        command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        with (self._folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._await()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_S)
            self._unmount()

    def _unmount(self) -> None:
        """A network of the host stays mounted behind dockerd (seen with 20.10), and then the folder cannot be deleted."""
        for line in Path("/proc/self/mounts").read_text().splitlines():
            place = line.split()[1]
            if place.startswith(f"{self._folder}/"):
                subprocess.run(["umount", place], timeout=STOP_S, check=False)

    def _await(self) -> None:
        until = time.monotonic() + START_S
        while subprocess.run(
            ["docker", "version"], env=self.environment, capture_output=True, timeout=START_S, check=False
        ).returncode:
            if time.monotonic() > until or self._process is None or self._process.poll() is not None:
                raise SystemExit(f"containers: dockerd did not start; see {self._folder}/dockerd.log")
            time.sleep(0.2)


def files_limit() -> int:
    """How many files a container may open here at most."""
    return min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
